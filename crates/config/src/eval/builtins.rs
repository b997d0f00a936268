//! The functions that a config can call.

use std::cmp::Ordering;

use super::call::Arguments;
use super::object::{Node, Object};
use super::subscript::find_attribute;
use super::{Evaluator, unsupported};
use super::{methods, numbers};
use crate::Error;

macro_rules! builtins {
    ($($variant:ident $name:literal,)*) => {
        /// A function that a config can call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Builtin {
            $($variant,)*
        }

        impl Builtin {
            pub(super) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The function's name in Python.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

builtins! {
    Abs "abs",
    All "all",
    Any "any",
    Bool "bool",
    Dict "dict",
    Enumerate "enumerate",
    Float "float",
    Getattr "getattr",
    Hasattr "hasattr",
    Int "int",
    Len "len",
    List "list",
    Max "max",
    Min "min",
    Range "range",
    Reversed "reversed",
    Round "round",
    Sorted "sorted",
    Str "str",
    Sum "sum",
    Tuple "tuple",
    Zip "zip",
}

impl Builtin {
    /// The function called `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|builtin| builtin.name() == name)
    }
}

/// Calls a function.
pub(super) fn call(
    evaluator: &Evaluator<'_>,
    builtin: Builtin,
    arguments: Arguments,
) -> Result<Object, Error> {
    match builtin {
        Builtin::Abs => arguments.exactly().and_then(|[node]| abs(&node.object)),
        Builtin::All => every(evaluator, arguments, false),
        Builtin::Any => every(evaluator, arguments, true),
        Builtin::Bool => {
            let node = arguments.at_most_one()?;
            Ok(Object::Bool(node.is_some_and(|node| node.object.truth())))
        }
        Builtin::Dict => dict(evaluator, arguments),
        Builtin::Enumerate => enumerate(evaluator, arguments),
        Builtin::Float => float(arguments),
        Builtin::Getattr => getattr(evaluator, arguments),
        Builtin::Hasattr => {
            let [object, name] = arguments.exactly()?;
            let name = attribute_name(&name)?;
            let found =
                find_attribute(&object.object, &name).is_some() || methods::exists(&object.object, &name);
            Ok(Object::Bool(found))
        }
        Builtin::Int => int(arguments),
        Builtin::Len => {
            let [node] = arguments.exactly()?;
            if let Object::Str(text) = &node.object {
                evaluator.budget.charge_text(text.len())?;
            }
            len(&node.object)
        }
        Builtin::List => items(evaluator, arguments).map(Object::list),
        Builtin::Max => extreme(evaluator, arguments, Ordering::Greater),
        Builtin::Min => extreme(evaluator, arguments, Ordering::Less),
        Builtin::Range => range(evaluator, arguments),
        Builtin::Reversed => {
            let [node] = arguments.exactly()?;
            let mut items = evaluator.iterate(&node.object)?;
            items.reverse();
            Ok(Object::iterable(items))
        }
        Builtin::Round => {
            let (number, digits) = arguments.one_or_two()?;
            numbers::round(&number.object, optional_int(digits)?)
        }
        Builtin::Sorted => sorted(evaluator, arguments),
        Builtin::Str => match arguments.at_most_one()? {
            Some(node) => evaluator.str(&node).map(Object::str),
            None => Ok(Object::str("")),
        },
        Builtin::Sum => sum(evaluator, arguments),
        Builtin::Tuple => items(evaluator, arguments).map(Object::tuple),
        Builtin::Zip => zip(evaluator, arguments),
    }
}

fn attribute_name(name: &Node) -> Result<String, Error> {
    match &name.object {
        Object::Str(text) => Ok(text.to_string()),
        other => {
            Err(Error::new(format!("the name of an attribute must be a str, not {}", other.described())))
        }
    }
}

fn optional_int(node: Option<Node>) -> Result<Option<i64>, Error> {
    match node.map(|node| node.object) {
        None | Some(Object::None) => Ok(None),
        Some(object) => match object.as_int() {
            Some(number) => Ok(Some(number)),
            None => Err(Error::new(format!("expected an int, found {}", object.described()))),
        },
    }
}

fn abs(object: &Object) -> Result<Object, Error> {
    match object {
        Object::Float(number) => Ok(Object::Float(number.abs())),
        _ => match object.as_int() {
            Some(number) => number.checked_abs().map(Object::Int).ok_or_else(super::arithmetic::overflow),
            None => Err(Error::new(format!("{} has no absolute value", object.described()))),
        },
    }
}

/// `any`, which stops at the first truth, or `all`, which stops at the first falsehood.
fn every(evaluator: &Evaluator<'_>, arguments: Arguments, stop_at: bool) -> Result<Object, Error> {
    let [node] = arguments.exactly()?;
    let items = evaluator.iterate(&node.object)?;
    let stops = items.iter().any(|item| item.object.truth() == stop_at);
    Ok(Object::Bool(stops == stop_at))
}

fn dict(evaluator: &Evaluator<'_>, mut arguments: Arguments) -> Result<Object, Error> {
    let keywords = std::mem::take(&mut arguments.keywords);
    let mut entries = match arguments.at_most_one()? {
        Some(node) => evaluator.entries_from(&node.object)?,
        None => return Ok(Object::dict(keywords)),
    };
    entries.extend(keywords);
    Ok(Object::dict(entries))
}

fn enumerate(evaluator: &Evaluator<'_>, mut arguments: Arguments) -> Result<Object, Error> {
    let start = arguments.take_keyword("start");
    let span = arguments.span.clone();
    let (items, second) = arguments.one_or_two()?;
    let mut number = optional_int(start.or(second))?.unwrap_or(0);
    let mut pairs = Vec::new();
    for item in evaluator.iterate(&items.object)? {
        let index = Node::new(Object::Int(number), span.clone());
        pairs.push(Node::new(Object::tuple(vec![index, item]), span.clone()));
        number = number.checked_add(1).ok_or_else(super::arithmetic::overflow)?;
    }
    Ok(Object::iterable(pairs))
}

fn float(arguments: Arguments) -> Result<Object, Error> {
    let Some(node) = arguments.at_most_one()? else {
        return Ok(Object::Float(0.0));
    };
    let number = match &node.object {
        Object::Str(text) => {
            numbers::parse_float(text).ok_or_else(|| Error::new(format!("{text:?} is no number")))?
        }
        other => super::arithmetic::as_float(other)
            .ok_or_else(|| Error::new(format!("cannot convert {} to a float", other.described())))?,
    };
    Ok(Object::Float(number))
}

fn int(arguments: Arguments) -> Result<Object, Error> {
    let Some(node) = arguments.at_most_one()? else {
        return Ok(Object::Int(0));
    };
    let number = match &node.object {
        Object::Str(text) => {
            numbers::parse_int(text).ok_or_else(|| Error::new(format!("{text:?} is no 64-bit int")))?
        }
        Object::Float(number) => numbers::truncate(*number)?,
        other => other
            .as_int()
            .ok_or_else(|| Error::new(format!("cannot convert {} to an int", other.described())))?,
    };
    Ok(Object::Int(number))
}

fn getattr(evaluator: &Evaluator<'_>, arguments: Arguments) -> Result<Object, Error> {
    arguments.no_keywords()?;
    let (object, name, default) = match &*arguments.positional {
        [object, name] => (object, name, None),
        [object, name, default] => (object, name, Some(default)),
        _ => return Err(Error::new("`getattr` takes 2 or 3 arguments")),
    };
    let name = attribute_name(name)?;
    match (find_attribute(&object.object, &name), default) {
        (Some(node), _) => Ok(node.object),
        (None, Some(default)) if !methods::exists(&object.object, &name) => Ok(default.object.clone()),
        _ => evaluator.attribute(&object.object, &name).map(|node| node.object),
    }
}

fn len(object: &Object) -> Result<Object, Error> {
    let len = match object {
        Object::Str(text) => text.chars().count(),
        Object::List(list) => list.len(),
        Object::Tuple(tuple) | Object::Iterable(tuple) => tuple.0.len(),
        Object::Dict(dict) => dict.len(),
        _ => return Err(Error::new(format!("{} has no length", object.described()))),
    };
    i64::try_from(len).map(Object::Int).map_err(|_| super::arithmetic::overflow())
}

fn items(evaluator: &Evaluator<'_>, arguments: Arguments) -> Result<Vec<Node>, Error> {
    match arguments.at_most_one()? {
        Some(node) => evaluator.iterate(&node.object),
        None => Ok(Vec::new()),
    }
}

/// `max` or `min`: the first item that no other surpasses.
fn extreme(
    evaluator: &Evaluator<'_>,
    mut arguments: Arguments,
    surpasses: Ordering,
) -> Result<Object, Error> {
    if arguments.keywords.contains_key(&crate::Key::from("key")) {
        return Err(unsupported("`key` functions are"));
    }
    let default = arguments.take_keyword("default");
    arguments.no_keywords()?;
    let candidates = match &*arguments.positional {
        [only] => evaluator.iterate(&only.object)?,
        _ => arguments.positional,
    };
    let mut candidates = candidates.into_iter();
    let Some(mut best) = candidates.next() else {
        return match default {
            Some(default) => Ok(default.object),
            None => Err(Error::new(format!("`{}` of nothing", arguments.function))),
        };
    };
    for candidate in candidates {
        if evaluator.order(&candidate.object, &best.object)? == Some(surpasses) {
            best = candidate;
        }
    }
    Ok(best.object)
}

fn range(evaluator: &Evaluator<'_>, arguments: Arguments) -> Result<Object, Error> {
    arguments.no_keywords()?;
    let mut numbers = Vec::new();
    for node in &arguments.positional {
        let name = node.object.described();
        let number = node.object.as_int();
        numbers.push(number.ok_or_else(|| Error::new(format!("`range` takes ints, not {name}")))?);
    }
    let (mut at, end, step) = match *numbers {
        [end] => (0, end, 1),
        [start, end] => (start, end, 1),
        [start, end, step] if step != 0 => (start, end, step),
        [_, _, _] => return Err(Error::new("the step of a `range` cannot be zero")),
        _ => return Err(Error::new("`range` takes 1 to 3 arguments")),
    };
    let mut items = Vec::new();
    while if step > 0 { at < end } else { at > end } {
        evaluator.budget.charge(1)?;
        items.push(Node::new(Object::Int(at), arguments.span.clone()));
        match at.checked_add(step) {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(Object::iterable(items))
}

fn sorted(evaluator: &Evaluator<'_>, mut arguments: Arguments) -> Result<Object, Error> {
    if arguments.keywords.contains_key(&crate::Key::from("key")) {
        return Err(unsupported("`key` functions are"));
    }
    let reverse = arguments.take_keyword("reverse").is_some_and(|node| node.object.truth());
    let [node] = arguments.exactly()?;
    evaluator.sort(evaluator.iterate(&node.object)?, reverse).map(Object::list)
}

fn sum(evaluator: &Evaluator<'_>, arguments: Arguments) -> Result<Object, Error> {
    let (items, start) = arguments.one_or_two()?;
    let mut total = start.map_or(Object::Int(0), |node| node.object);
    for item in evaluator.iterate(&items.object)? {
        total = evaluator.binary(ruff_python_ast::Operator::Add, &total, &item.object)?;
    }
    Ok(total)
}

fn zip(evaluator: &Evaluator<'_>, arguments: Arguments) -> Result<Object, Error> {
    arguments.no_keywords()?;
    let span = arguments.span.clone();
    let mut columns = Vec::new();
    for node in &arguments.positional {
        columns.push(evaluator.iterate(&node.object)?.into_iter());
    }
    let mut rows = Vec::new();
    while !columns.is_empty() {
        let row: Vec<Node> = columns.iter_mut().filter_map(Iterator::next).collect();
        if row.len() < columns.len() {
            break;
        }
        rows.push(Node::new(Object::tuple(row), span.clone()));
    }
    Ok(Object::iterable(rows))
}

impl Evaluator<'_> {
    /// The items that a loop over `object` goes through.
    pub(super) fn iterate(&self, object: &Object) -> Result<Vec<Node>, Error> {
        let items = match object {
            Object::List(list) => list.items(),
            Object::Tuple(tuple) | Object::Iterable(tuple) => tuple.0.clone(),
            Object::Dict(dict) => methods::keys(dict),
            Object::Str(text) => {
                self.budget.charge(text.len())?;
                let signs = text.chars().map(|sign| Object::str(sign.to_string()));
                signs.map(|sign| Node::new(sign, None)).collect()
            }
            _ => return Err(Error::new(format!("cannot loop over {}", object.described()))),
        };
        self.budget.charge(items.len())?;
        Ok(items)
    }

    /// Sorts stably. Written as a merge of halves, because comparing can fail.
    pub(super) fn sort(&self, mut items: Vec<Node>, reverse: bool) -> Result<Vec<Node>, Error> {
        if items.len() < 2 {
            return Ok(items);
        }
        let right = items.split_off(items.len() / 2);
        let mut left = self.sort(items, reverse)?.into_iter().peekable();
        let mut right = self.sort(right, reverse)?.into_iter().peekable();
        let mut merged = Vec::new();
        let swaps = if reverse { Ordering::Greater } else { Ordering::Less };
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let from_right = self.order(&b.object, &a.object)? == Some(swaps);
            merged.extend(if from_right { right.next() } else { left.next() });
        }
        merged.extend(left);
        merged.extend(right);
        Ok(merged)
    }
}
