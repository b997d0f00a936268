//! Reading and setting items, slices and attributes.

use ruff_python_ast::{Expr, ExprSlice};

use super::comparison::as_key;
use super::object::{Node, Object};
use super::{Evaluator, methods, unsupported};
use crate::{Error, Key, suggest};

impl Evaluator<'_> {
    /// `container[index]`.
    pub(super) fn subscript(&mut self, container: &Node, index: &Expr) -> Result<Object, Error> {
        if let Expr::Slice(slice) = index {
            return self.slice(&container.object, slice);
        }
        let index = self.eval(index)?;
        self.item(&container.object, &index.object).map(|node| node.object)
    }

    /// `container[index]`, with the place where the item was written.
    pub(super) fn item(&self, container: &Object, index: &Object) -> Result<Node, Error> {
        match container {
            Object::Dict(dict) => {
                let key = as_key(index)?;
                dict.get(&key).ok_or_else(|| missing_key(&key, &dict.keys()))
            }
            Object::List(list) => {
                position(index, list.len()).and_then(|at| list.get(at).ok_or_else(out_of_range))
            }
            Object::Tuple(tuple) | Object::Iterable(tuple) => position(index, tuple.0.len())
                .and_then(|at| tuple.0.get(at).cloned().ok_or_else(out_of_range)),
            Object::Str(text) => {
                let at = position(index, text.chars().count())?;
                self.budget.charge_text(text.len())?;
                let sign = text.chars().nth(at).ok_or_else(out_of_range)?;
                Ok(Node::new(Object::str(sign.to_string()), None))
            }
            _ => Err(Error::new(format!("{} has no items", container.described()))),
        }
    }

    fn slice(&mut self, container: &Object, slice: &ExprSlice) -> Result<Object, Error> {
        let lower = self.bound(slice.lower.as_deref())?;
        let upper = self.bound(slice.upper.as_deref())?;
        let step = self.bound(slice.step.as_deref())?.unwrap_or(1);
        if step == 0 {
            return Err(Error::new("the step of a slice cannot be zero"));
        }
        let pick = |items: &[Node]| -> Result<Vec<Node>, Error> {
            self.budget.charge(items.len())?;
            let picked = positions(items.len(), lower, upper, step);
            Ok(picked.into_iter().filter_map(|at| items.get(at).cloned()).collect())
        };
        match container {
            Object::List(list) => pick(&list.items()).map(Object::list),
            Object::Tuple(tuple) => pick(&tuple.0).map(Object::tuple),
            Object::Iterable(tuple) => pick(&tuple.0).map(Object::iterable),
            Object::Str(text) => {
                self.budget.charge_text(text.len())?;
                let signs: Vec<char> = text.chars().collect();
                let picked = positions(signs.len(), lower, upper, step);
                let text: String = picked.into_iter().filter_map(|at| signs.get(at)).collect();
                Ok(Object::str(text))
            }
            _ => Err(Error::new(format!("cannot take a slice of {}", container.described()))),
        }
    }

    fn bound(&mut self, bound: Option<&Expr>) -> Result<Option<i64>, Error> {
        let Some(bound) = bound else {
            return Ok(None);
        };
        let node = self.eval(bound)?;
        match node.object {
            Object::None => Ok(None),
            _ => match node.object.as_int() {
                Some(number) => Ok(Some(number)),
                None => {
                    let name = node.object.described();
                    Err(Error::new(format!("the bounds of a slice must be ints, not {name}"))
                        .with_span(self.span_of(bound)))
                }
            },
        }
    }

    /// `container[index] = node`.
    pub(super) fn set_subscript(&mut self, container: &Node, index: &Expr, node: Node) -> Result<(), Error> {
        if matches!(index, Expr::Slice(_)) {
            return Err(unsupported("assigning to a slice is"));
        }
        let key = self.eval(index)?.object;
        match &container.object {
            Object::Dict(dict) => self.set_item(dict, as_key(&key)?, self.span_of(index), node),
            Object::List(list) => {
                let at = position(&key, list.len())?;
                if list.set(at, node) { Ok(()) } else { Err(out_of_range()) }
            }
            other => Err(Error::new(format!("{} cannot be changed", other.described()))),
        }
    }

    /// `del container[index]`.
    pub(super) fn delete_subscript(&mut self, container: &Node, index: &Expr) -> Result<(), Error> {
        if matches!(index, Expr::Slice(_)) {
            return Err(unsupported("deleting a slice is"));
        }
        let key = self.eval(index)?.object;
        match &container.object {
            Object::Dict(dict) => {
                let key = as_key(&key)?;
                self.budget.charge(dict.len())?;
                let removed = dict.remove(&key);
                removed.map(drop).ok_or_else(|| missing_key(&key, &dict.keys()))
            }
            Object::List(list) => {
                self.budget.charge(list.len())?;
                let at = position(&key, list.len())?;
                list.remove(at).map(drop).ok_or_else(out_of_range)
            }
            other => Err(Error::new(format!("{} cannot be changed", other.described()))),
        }
    }

    /// `container.name`, which only a `ConfigDict` has.
    pub(super) fn attribute(&self, container: &Object, name: &str) -> Result<Node, Error> {
        if let Some(node) = find_attribute(container, name) {
            return Ok(node);
        }
        if methods::exists(container, name) {
            return Err(unsupported(&format!("the method `{name}` without a call is")));
        }
        let Object::Dict(dict) = container else {
            return Err(no_attribute(container, name));
        };
        if dict.contains(&Key::from(name)) {
            return Err(plain_dict(name));
        }
        let keys = dict.keys();
        let error = Error::new(format!("there is no `{name}`"));
        Err(match suggest(name, keys.iter().filter_map(Key::as_str)) {
            Some(meant) => error.with_help(format!("did you mean `{meant}`?")),
            None => error,
        })
    }

    /// The dict whose keys can be set as attributes.
    pub(super) fn attribute_owner<'n>(
        &self,
        container: &'n Object,
        name: &str,
    ) -> Result<&'n super::object::DictObject, Error> {
        match container {
            Object::Dict(dict) if dict.config => Ok(dict),
            Object::Dict(_) => Err(plain_dict(name)),
            _ => Err(no_attribute(container, name)),
        }
    }
}

/// The value of an attribute; methods come first and are none.
pub(super) fn find_attribute(container: &Object, name: &str) -> Option<Node> {
    match container {
        Object::Dict(dict) if dict.config && !methods::exists(container, name) => dict.get(&Key::from(name)),
        _ => None,
    }
}

fn no_attribute(container: &Object, name: &str) -> Error {
    Error::new(format!("{} has no attribute `{name}`", container.described()))
}

fn plain_dict(name: &str) -> Error {
    Error::new(format!("a dict has no attribute `{name}`"))
        .with_help(format!("write ['{name}']: only the dicts of base files have their keys as attributes"))
}

fn missing_key(key: &Key, keys: &[Key]) -> Error {
    let error = Error::new(match key {
        Key::Str(text) => format!("there is no key {text:?}"),
        Key::Int(number) => format!("there is no key {number}"),
    });
    let meant = key.as_str().and_then(|name| suggest(name, keys.iter().filter_map(Key::as_str)));
    match meant {
        Some(meant) => error.with_help(format!("did you mean {meant:?}?")),
        None => error,
    }
}

fn out_of_range() -> Error {
    Error::new("index out of range")
}

/// The position that an index, perhaps negative, means among `len` items.
fn position(index: &Object, len: usize) -> Result<usize, Error> {
    let Some(index) = index.as_int() else {
        let name = index.described();
        return Err(Error::new(format!("an index must be an int, not {name}")));
    };
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let at = if index < 0 { index.saturating_add(len) } else { index };
    if at < len { usize::try_from(at).map_err(|_| out_of_range()) } else { Err(out_of_range()) }
}

/// The positions that a slice picks among `len` items, in order; `step` is not zero.
fn positions(len: usize, lower: Option<i64>, upper: Option<i64>, step: i64) -> Vec<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    // Backwards, the position before the first item is a valid end.
    let (lowest, highest) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let clamp = |bound: i64| {
        let bound = if bound < 0 { bound.saturating_add(len) } else { bound };
        bound.clamp(lowest, highest)
    };
    let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    let mut at = lower.map_or(first, clamp);
    let end = upper.map_or(last, clamp);
    let mut picked = Vec::new();
    while if step > 0 { at < end } else { at > end } {
        picked.extend(usize::try_from(at));
        at = at.saturating_add(step);
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_as_python_does() {
        for (lower, upper, step, expected) in [
            (None, None, 1, vec![0, 1, 2, 3]),
            (None, Some(-2), 1, vec![0, 1]),
            (Some(-1), None, 1, vec![3]),
            (None, None, -1, vec![3, 2, 1, 0]),
            (Some(2), None, -1, vec![2, 1, 0]),
            (Some(1), Some(100), 2, vec![1, 3]),
            (Some(-100), Some(i64::MAX), i64::MAX, vec![0]),
            (Some(3), Some(1), 1, vec![]),
            (Some(100), Some(-100), -3, vec![3, 0]),
        ] {
            assert_eq!(positions(4, lower, upper, step), expected, "{lower:?}:{upper:?}:{step}");
        }
        assert!(positions(0, None, None, -1).is_empty());
    }
}
