//! Between objects and values.

use super::Budget;
use super::object::{DictObject, Entries, Node, Object, Slot};
use crate::{Dict, Error, Kind, Span, Value};

/// The plain tree that an object stands for.
///
/// # Errors
/// The object is or holds something that no config can (a function, a `range`), or is nested too
/// deep, perhaps in itself.
pub(crate) fn to_value(node: &Node, budget: &Budget) -> Result<Value, Error> {
    node_to_value(node, budget, 0)
}

/// As [`to_value`], for a dict.
pub(crate) fn to_dict(dict: &DictObject, budget: &Budget) -> Result<Dict, Error> {
    entries_to_dict(dict.entries(), budget, 0)
}

fn node_to_value(node: &Node, budget: &Budget, depth: usize) -> Result<Value, Error> {
    budget.check_depth(depth).map_err(|error| error.with_span(node.span.clone()))?;
    let items = |nodes: &[Node]| -> Result<Vec<Value>, Error> {
        nodes.iter().map(|item| node_to_value(item, budget, depth + 1)).collect()
    };
    let kind = match &node.object {
        Object::None => Kind::None,
        Object::Bool(truth) => Kind::Bool(*truth),
        Object::Int(number) => Kind::Int(*number),
        Object::Float(number) => Kind::Float(*number),
        Object::Str(text) => {
            budget.charge_text(text.len())?;
            Kind::Str(text.to_string())
        }
        Object::List(list) => Kind::List(items(&list.items())?),
        Object::Tuple(tuple) => Kind::Tuple(items(&tuple.0)?),
        Object::Dict(dict) => Kind::Dict(entries_to_dict(dict.entries(), budget, depth + 1)?),
        Object::Iterable(_) => {
            return Err(Error::new("a range, generator or view cannot be a config value")
                .with_span(node.span.clone())
                .with_help("make a list of it: list(...)"));
        }
        Object::Builtin(_) | Object::Imported(_) => {
            let message = format!("{} cannot be a config value", node.object.described());
            return Err(Error::new(message).with_span(node.span.clone()));
        }
    };
    Ok(Value { kind, span: node.span.clone() })
}

fn entries_to_dict(entries: Entries, budget: &Budget, depth: usize) -> Result<Dict, Error> {
    let mut dict = Dict::new();
    for (key, slot) in entries {
        let value = node_to_value(&slot.node, budget, depth)?;
        dict.insert_spanned(key, slot.key_span, value);
    }
    Ok(dict)
}

/// The object that a value of a base file is in the files that build on it: every dict is a
/// `ConfigDict`, and nothing is shared.
pub(crate) fn from_value(value: Value) -> Node {
    let items = |items: Vec<Value>| items.into_iter().map(from_value).collect();
    let object = match value.kind {
        Kind::None => Object::None,
        Kind::Bool(truth) => Object::Bool(truth),
        Kind::Int(number) => Object::Int(number),
        Kind::Float(number) => Object::Float(number),
        Kind::Str(text) => Object::str(text),
        Kind::List(list) => Object::list(items(list)),
        Kind::Tuple(tuple) => Object::tuple(items(tuple)),
        Kind::Dict(dict) => from_dict(dict),
    };
    Node::new(object, value.span)
}

/// As [`from_value`], for a dict.
pub(crate) fn from_dict(dict: Dict) -> Object {
    let slot = |key_span: Option<Span>, value| Slot { key_span, node: from_value(value) };
    Object::config_dict(dict.into_spanned().map(|(key, span, value)| (key, slot(span, value))).collect())
}
