//! The methods that a config can call.

use super::call::Arguments;
use super::comparison::as_key;
use super::object::{DictObject, Entries, List, Node, Object, Slot};
use super::{Evaluator, unsupported};
use crate::{Error, Key};

const DICT: [&str; 10] =
    ["clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];
const LIST: [&str; 11] =
    ["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
const STR: [&str; 12] = [
    "endswith",
    "format",
    "join",
    "lower",
    "lstrip",
    "replace",
    "rsplit",
    "rstrip",
    "split",
    "startswith",
    "strip",
    "upper",
];

/// The method by which lists and dicts copy themselves.
pub(super) const COPY: &str = "copy";

/// Whether `object` has a method `name`.
pub(super) fn exists(object: &Object, name: &str) -> bool {
    match object {
        Object::Dict(_) => DICT.contains(&name),
        Object::List(_) => LIST.contains(&name),
        Object::Str(_) => STR.contains(&name),
        _ => false,
    }
}

/// The keys of a dict.
pub(super) fn keys(dict: &DictObject) -> Vec<Node> {
    let entries = dict.entries().into_iter();
    entries.map(|(key, slot)| key_node(key, &slot)).collect()
}

fn key_node(key: Key, slot: &Slot) -> Node {
    let object = match key {
        Key::Str(text) => Object::str(text),
        Key::Int(number) => Object::Int(number),
    };
    Node::new(object, slot.key_span.clone())
}

impl Evaluator<'_> {
    /// `receiver.name(arguments)` for a method that [`exists`].
    pub(super) fn call_method(
        &self,
        receiver: &Object,
        name: &str,
        arguments: Arguments,
    ) -> Result<Object, Error> {
        match receiver {
            Object::Dict(dict) => self.dict_method(dict, name, arguments),
            Object::List(list) => self.list_method(list, name, arguments),
            Object::Str(text) => self.str_method(text, name, arguments),
            _ => Err(unsupported(&format!("the method `{name}` is"))),
        }
    }

    fn dict_method(&self, dict: &DictObject, name: &str, mut arguments: Arguments) -> Result<Object, Error> {
        match name {
            "clear" => {
                let [] = arguments.exactly()?;
                dict.clear();
                Ok(Object::None)
            }
            COPY => {
                let [] = arguments.exactly()?;
                let mut entries = dict.entries();
                self.budget.charge(entries.len())?;
                if !dict.config {
                    return Ok(Object::dict(entries));
                }
                for slot in entries.values_mut() {
                    slot.node = self.hook(slot.node.clone())?;
                }
                Ok(Object::config_dict(entries))
            }
            "get" => {
                let (key, default) = arguments.one_or_two()?;
                let found = dict.get(&as_key(&key.object)?).or(default);
                Ok(found.map_or(Object::None, |node| node.object))
            }
            "items" => {
                let [] = arguments.exactly()?;
                let pairs = self.entries_of_dict(dict)?.into_iter().map(|(key, slot)| {
                    let pair = vec![key_node(key, &slot), slot.node];
                    Node::new(Object::tuple(pair), None)
                });
                Ok(Object::iterable(pairs.collect()))
            }
            "keys" => {
                let [] = arguments.exactly()?;
                self.budget.charge(dict.len())?;
                Ok(Object::iterable(keys(dict)))
            }
            "values" => {
                let [] = arguments.exactly()?;
                let values = self.entries_of_dict(dict)?.into_values().map(|slot| slot.node);
                Ok(Object::iterable(values.collect()))
            }
            "pop" => {
                let (key, default) = arguments.one_or_two()?;
                let key = as_key(&key.object)?;
                self.budget.charge(dict.len())?;
                match dict.remove(&key).or(default) {
                    Some(node) => Ok(node.object),
                    None if dict.config => Ok(Object::None),
                    None => Err(Error::new(format!("there is no key `{key}` to pop"))),
                }
            }
            "popitem" => {
                let [] = arguments.exactly()?;
                let (key, node) = dict.pop_last().ok_or_else(|| Error::new("the dict is empty"))?;
                let key = match key {
                    Key::Str(text) => Object::str(text),
                    Key::Int(number) => Object::Int(number),
                };
                Ok(Object::tuple(vec![Node::new(key, None), node]))
            }
            "setdefault" => {
                let (key_node, default) = arguments.one_or_two()?;
                let key = as_key(&key_node.object)?;
                if let Some(node) = dict.get(&key) {
                    return Ok(node.object);
                }
                let default = default.unwrap_or(Node::new(Object::None, None));
                self.set_item(dict, key.clone(), key_node.span, default)?;
                Ok(dict.get(&key).map_or(Object::None, |node| node.object))
            }
            "update" => {
                let keywords = std::mem::take(&mut arguments.keywords);
                let mut changes = match arguments.at_most_one()? {
                    Some(node) => self.entries_from(&node.object)?,
                    None => Entries::new(),
                };
                changes.extend(keywords);
                self.update(dict, changes)?;
                Ok(Object::None)
            }
            _ => Err(unsupported(&format!("the method `{name}` is"))),
        }
    }

    fn entries_of_dict(&self, dict: &DictObject) -> Result<Entries, Error> {
        self.budget.charge(dict.len())?;
        Ok(dict.entries())
    }

    fn list_method(&self, list: &List, name: &str, mut arguments: Arguments) -> Result<Object, Error> {
        self.budget.charge(1)?;
        match name {
            "append" => {
                let [node] = arguments.exactly()?;
                list.extend(vec![node]);
            }
            "clear" => {
                let [] = arguments.exactly()?;
                list.replace(Vec::new());
            }
            COPY => {
                let [] = arguments.exactly()?;
                self.budget.charge(list.len())?;
                return Ok(Object::list(list.items()));
            }
            "count" => {
                let [wanted] = arguments.exactly()?;
                let mut count = 0;
                for item in list.items() {
                    count += i64::from(self.equal(&item.object, &wanted.object)?);
                }
                return Ok(Object::Int(count));
            }
            "extend" => {
                let [items] = arguments.exactly()?;
                list.extend(self.iterate(&items.object)?);
            }
            "index" => {
                let [wanted] = arguments.exactly()?;
                let at = self.find(list, &wanted)?;
                return Ok(Object::Int(i64::try_from(at).unwrap_or(i64::MAX)));
            }
            "insert" => {
                let [index, node] = arguments.exactly()?;
                self.budget.charge(list.len())?;
                list.insert(position(&index, list.len())?, node);
            }
            "pop" => {
                self.budget.charge(list.len())?;
                let index = match arguments.at_most_one()? {
                    Some(index) => position(&index, list.len())?,
                    None => list.len().saturating_sub(1),
                };
                let popped = list.remove(index).ok_or_else(|| Error::new("pop index out of range"))?;
                return Ok(popped.object);
            }
            "remove" => {
                let [wanted] = arguments.exactly()?;
                list.remove(self.find(list, &wanted)?);
            }
            "reverse" => {
                let [] = arguments.exactly()?;
                let mut items = list.items();
                self.budget.charge(items.len())?;
                items.reverse();
                list.replace(items);
            }
            "sort" => {
                let reverse = arguments.take_keyword("reverse").is_some_and(|node| node.object.truth());
                let [] = arguments.exactly()?;
                list.replace(self.sort(list.items(), reverse)?);
            }
            _ => return Err(unsupported(&format!("the method `{name}` is"))),
        }
        Ok(Object::None)
    }

    fn find(&self, list: &List, wanted: &Node) -> Result<usize, Error> {
        for (at, item) in list.items().iter().enumerate() {
            if self.equal(&item.object, &wanted.object)? {
                return Ok(at);
            }
        }
        Err(Error::new("the list has no such item"))
    }

    fn str_method(&self, text: &str, name: &str, arguments: Arguments) -> Result<Object, Error> {
        self.budget.charge_text(text.len())?;
        let result = match name {
            "endswith" => {
                let [end] = arguments.exactly()?;
                return Ok(Object::Bool(text.ends_with(text_of(&end)?)));
            }
            "startswith" => {
                let [start] = arguments.exactly()?;
                return Ok(Object::Bool(text.starts_with(text_of(&start)?)));
            }
            "format" => return self.str_format(text, &arguments).map(Object::str),
            "join" => {
                let [items] = arguments.exactly()?;
                let mut joined = String::new();
                for (at, item) in self.iterate(&items.object)?.iter().enumerate() {
                    if at > 0 {
                        joined.push_str(text);
                    }
                    joined.push_str(text_of(item)?);
                    self.budget.charge_text(joined.len())?;
                }
                joined
            }
            "lower" => {
                let [] = arguments.exactly()?;
                text.to_lowercase()
            }
            "upper" => {
                let [] = arguments.exactly()?;
                text.to_uppercase()
            }
            "replace" => {
                let [from, to] = arguments.exactly()?;
                let (from, to) = (text_of(&from)?, text_of(&to)?);
                let places = text.matches(from).count();
                self.budget.charge_text(text.len().saturating_add(places.saturating_mul(to.len())))?;
                text.replace(from, to)
            }
            "split" | "rsplit" => {
                let parts: Vec<&str> = match arguments.at_most_one()? {
                    None => text.split_whitespace().collect(),
                    Some(separator) => match text_of(&separator)? {
                        "" => return Err(Error::new("the separator is empty")),
                        separator => text.split(separator).collect(),
                    },
                };
                self.budget.charge(parts.len())?;
                let parts = parts.into_iter().map(|part| Node::new(Object::str(part), None));
                return Ok(Object::list(parts.collect()));
            }
            "strip" | "lstrip" | "rstrip" => {
                let signs = arguments.at_most_one()?;
                let signs = signs.as_ref().map(text_of).transpose()?;
                let strips = |sign: char| signs.map_or(sign.is_whitespace(), |signs| signs.contains(sign));
                match name {
                    "strip" => text.trim_matches(strips),
                    "lstrip" => text.trim_start_matches(strips),
                    _ => text.trim_end_matches(strips),
                }
                .to_owned()
            }
            _ => return Err(unsupported(&format!("the method `{name}` is"))),
        };
        Ok(Object::str(result))
    }
}

fn text_of(node: &Node) -> Result<&str, Error> {
    match &node.object {
        Object::Str(text) => Ok(text),
        other => Err(Error::new(format!("expected a str, found {}", other.described()))),
    }
}

/// The position that an index, perhaps negative, means in a list; one past either end is cut off.
fn position(index: &Node, len: usize) -> Result<usize, Error> {
    let Some(index) = index.object.as_int() else {
        let name = index.object.described();
        return Err(Error::new(format!("an index must be an int, not {name}")));
    };
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let at = if index < 0 { index.saturating_add(len).max(0) } else { index };
    Ok(usize::try_from(at).unwrap_or(usize::MAX))
}
