//! Comparisons.

use std::cmp::Ordering;

use ruff_python_ast::CmpOp;

use super::Evaluator;
use super::arithmetic::as_float;
use super::object::{Node, Object};
use crate::{Error, Key};

impl Evaluator<'_> {
    /// `left op right`.
    pub(super) fn compare(&self, op: CmpOp, left: &Object, right: &Object) -> Result<bool, Error> {
        match op {
            CmpOp::Eq => self.equal(left, right),
            CmpOp::NotEq => Ok(!self.equal(left, right)?),
            CmpOp::Is => identical(left, right),
            CmpOp::IsNot => Ok(!identical(left, right)?),
            CmpOp::In => self.contains(right, left),
            CmpOp::NotIn => Ok(!self.contains(right, left)?),
            // NaN is in no order with anything.
            CmpOp::Lt => Ok(self.order(left, right)? == Some(Ordering::Less)),
            CmpOp::Gt => Ok(self.order(left, right)? == Some(Ordering::Greater)),
            CmpOp::LtE => Ok(self.order(left, right)?.is_some_and(Ordering::is_le)),
            CmpOp::GtE => Ok(self.order(left, right)?.is_some_and(Ordering::is_ge)),
        }
    }

    /// `left == right`.
    pub(super) fn equal(&self, left: &Object, right: &Object) -> Result<bool, Error> {
        self.equal_at(left, right, 0)
    }

    fn equal_at(&self, left: &Object, right: &Object, depth: usize) -> Result<bool, Error> {
        self.budget.check_depth(depth)?;
        if left.is_same(right) {
            return Ok(true);
        }
        match (left, right) {
            (Object::None, Object::None) => Ok(true),
            (Object::Str(a), Object::Str(b)) => {
                self.budget.charge_text(a.len().min(b.len()))?;
                Ok(a == b)
            }
            (Object::List(a), Object::List(b)) => {
                self.budget.charge(a.len() + b.len())?;
                self.all_equal(&a.items(), &b.items(), depth)
            }
            (Object::Tuple(a), Object::Tuple(b)) => self.all_equal(&a.0, &b.0, depth),
            (Object::Dict(a), Object::Dict(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                self.budget.charge(a.len())?;
                for (key, slot) in a.entries() {
                    match b.get(&key) {
                        Some(other) if self.equal_at(&slot.node.object, &other.object, depth + 1)? => {}
                        _ => return Ok(false),
                    }
                }
                Ok(true)
            }
            _ => match (left.as_int(), right.as_int()) {
                (Some(a), Some(b)) => Ok(a == b),
                _ => Ok(matches!((as_float(left), as_float(right)), (Some(a), Some(b)) if a == b)),
            },
        }
    }

    fn all_equal(&self, left: &[Node], right: &[Node], depth: usize) -> Result<bool, Error> {
        if left.len() != right.len() {
            return Ok(false);
        }
        for (a, b) in left.iter().zip(right) {
            if !self.equal_at(&a.object, &b.object, depth + 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Which of two numbers, strings, lists or tuples comes first.
    pub(super) fn order(&self, left: &Object, right: &Object) -> Result<Option<Ordering>, Error> {
        self.order_at(left, right, 0)
    }

    fn order_at(&self, left: &Object, right: &Object, depth: usize) -> Result<Option<Ordering>, Error> {
        self.budget.check_depth(depth)?;
        let (a, b) = match (left, right) {
            (Object::Str(a), Object::Str(b)) => {
                self.budget.charge_text(a.len().min(b.len()))?;
                return Ok(Some(a.cmp(b)));
            }
            (Object::List(_), Object::List(_)) | (Object::Tuple(_), Object::Tuple(_)) => {
                (self.iterate(left)?, self.iterate(right)?)
            }
            _ => {
                return match (left.as_int(), right.as_int()) {
                    (Some(a), Some(b)) => Ok(Some(a.cmp(&b))),
                    _ => match (as_float(left), as_float(right)) {
                        (Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
                        _ => {
                            let (left, right) = (left.described(), right.described());
                            Err(Error::new(format!("cannot order {left} and {right}")))
                        }
                    },
                };
            }
        };
        for (a, b) in a.iter().zip(&b) {
            if !self.equal_at(&a.object, &b.object, depth + 1)? {
                return self.order_at(&a.object, &b.object, depth + 1);
            }
        }
        Ok(Some(a.len().cmp(&b.len())))
    }

    /// `item in container`.
    pub(super) fn contains(&self, container: &Object, item: &Object) -> Result<bool, Error> {
        match (container, item) {
            (Object::Dict(dict), _) => Ok(as_key(item).is_ok_and(|key| dict.contains(&key))),
            (Object::Str(text), Object::Str(part)) => {
                self.budget.charge_text(text.len())?;
                Ok(text.contains(&**part))
            }
            (Object::Str(_), _) => Err(Error::new(format!("a str cannot contain {}", item.described()))),
            _ => {
                for other in self.iterate(container)? {
                    if self.equal(&other.object, item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

/// `left is right`.
fn identical(left: &Object, right: &Object) -> Result<bool, Error> {
    match (left, right) {
        (Object::None, Object::None) => Ok(true),
        (Object::Bool(a), Object::Bool(b)) => Ok(a == b),
        (
            Object::Int(_) | Object::Float(_) | Object::Str(_),
            Object::Int(_) | Object::Float(_) | Object::Str(_),
        ) => {
            Err(super::unsupported("`is` between numbers or strings is").with_help("compare them with `==`"))
        }
        _ => Ok(left.is_same(right)),
    }
}

/// Longest key of a dict, in bytes: looking one up takes time in its length.
const MAX_KEY: usize = 4096;

/// An object as a dict's key.
pub(super) fn as_key(object: &Object) -> Result<Key, Error> {
    match object {
        Object::Str(text) if text.len() > MAX_KEY => {
            Err(Error::new(format!("a dict's key cannot be longer than {MAX_KEY} bytes")))
        }
        Object::Str(text) => Ok(Key::from(&**text)),
        Object::Int(number) => Ok(Key::Int(*number)),
        _ => {
            let name = object.described();
            Err(Error::new(format!("a dict's key must be a str or int, not {name}")))
        }
    }
}
