//! Operators on numbers, strings and sequences, with Python's results.

use ruff_python_ast::{Operator, UnaryOp};

use super::Evaluator;
use super::object::{Node, Object};
use crate::Error;

impl Evaluator<'_> {
    /// `left op right`.
    pub(super) fn binary(&self, op: Operator, left: &Object, right: &Object) -> Result<Object, Error> {
        self.budget.charge(1)?;
        match (op, left, right) {
            (Operator::Add, Object::Str(a), Object::Str(b)) => {
                self.budget.charge_text(a.len() + b.len())?;
                Ok(Object::str([&**a, &**b].concat()))
            }
            (Operator::Add, Object::List(a), Object::List(b)) => {
                self.concat(a.items(), b.items()).map(Object::list)
            }
            (Operator::Add, Object::Tuple(a), Object::Tuple(b)) => {
                self.concat(a.0.clone(), b.0.clone()).map(Object::tuple)
            }
            (Operator::Mult, Object::Str(text), times) | (Operator::Mult, times, Object::Str(text)) => {
                let times = self.times(times, left, right)?;
                self.budget.charge_text(text.len().saturating_mul(times))?;
                Ok(Object::str(text.repeat(times)))
            }
            (Operator::Mult, Object::List(list), times) | (Operator::Mult, times, Object::List(list)) => {
                let times = self.times(times, left, right)?;
                self.repeat(&list.items(), times).map(Object::list)
            }
            (Operator::Mult, Object::Tuple(tuple), times) | (Operator::Mult, times, Object::Tuple(tuple)) => {
                let times = self.times(times, left, right)?;
                self.repeat(&tuple.0, times).map(Object::tuple)
            }
            (Operator::Mod, Object::Str(_), _) => Err(super::unsupported("formatting with `%` is")),
            _ => match (left.as_int(), right.as_int()) {
                (Some(a), Some(b)) => integers(op, a, b),
                _ => match (as_float(left), as_float(right)) {
                    (Some(a), Some(b)) => floats(op, a, b).map(Object::Float),
                    _ => Err(mismatch(op, left, right)),
                },
            },
        }
    }

    fn concat(&self, mut left: Vec<Node>, right: Vec<Node>) -> Result<Vec<Node>, Error> {
        self.budget.charge(left.len() + right.len())?;
        left.extend(right);
        Ok(left)
    }

    /// How often `left * right` repeats its sequence: negative counts as zero.
    fn times(&self, times: &Object, left: &Object, right: &Object) -> Result<usize, Error> {
        let times = times.as_int().ok_or_else(|| mismatch(Operator::Mult, left, right))?;
        Ok(usize::try_from(times).unwrap_or(0))
    }

    fn repeat(&self, items: &[Node], times: usize) -> Result<Vec<Node>, Error> {
        self.budget.charge(items.len().saturating_mul(times))?;
        let mut repeated = Vec::new();
        if !items.is_empty() {
            for _ in 0..times {
                repeated.extend_from_slice(items);
            }
        }
        Ok(repeated)
    }
}

/// `op operand`.
pub(super) fn unary(op: UnaryOp, operand: &Object) -> Result<Object, Error> {
    match (op, operand) {
        (UnaryOp::Not, _) => Ok(Object::Bool(!operand.truth())),
        (UnaryOp::USub, Object::Float(number)) => Ok(Object::Float(-number)),
        (UnaryOp::UAdd, Object::Float(number)) => Ok(Object::Float(*number)),
        _ => match (op, operand.as_int()) {
            (UnaryOp::USub, Some(number)) => number.checked_neg().map(Object::Int).ok_or_else(overflow),
            (UnaryOp::UAdd, Some(number)) => Ok(Object::Int(number)),
            (UnaryOp::Invert, Some(number)) => Ok(Object::Int(!number)),
            _ => {
                let (sign, name) = (op.as_str(), operand.described());
                Err(Error::new(format!("cannot apply `{sign}` to {name}")))
            }
        },
    }
}

fn mismatch(op: Operator, left: &Object, right: &Object) -> Error {
    let (op, left, right) = (op.as_str(), left.described(), right.described());
    Error::new(format!("cannot apply `{op}` to {left} and {right}"))
}

pub(super) fn overflow() -> Error {
    Error::new("the result does not fit a 64-bit int")
}

fn division_by_zero() -> Error {
    Error::new("division by zero")
}

pub(super) fn as_float(object: &Object) -> Option<f64> {
    match object {
        Object::Float(number) => Some(*number),
        _ => object.as_int().map(|number| number as f64),
    }
}

fn integers(op: Operator, a: i64, b: i64) -> Result<Object, Error> {
    let result = match op {
        Operator::Add => a.checked_add(b),
        Operator::Sub => a.checked_sub(b),
        Operator::Mult => a.checked_mul(b),
        Operator::Div | Operator::FloorDiv | Operator::Mod if b == 0 => return Err(division_by_zero()),
        Operator::Div => return Ok(Object::Float(a as f64 / b as f64)),
        Operator::FloorDiv => a.checked_div_euclid(b).map(|quotient| {
            // Euclid's quotient is the floor for positive divisors and the ceiling for negative.
            let exact = a.wrapping_rem(b) == 0;
            if b < 0 && !exact { quotient - 1 } else { quotient }
        }),
        Operator::Mod => {
            // The rest has the sign of the divisor.
            let rest = a.wrapping_rem(b);
            Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
        }
        Operator::Pow if b < 0 => return floats(op, a as f64, b as f64).map(Object::Float),
        Operator::Pow => power(a, b),
        Operator::BitAnd => Some(a & b),
        Operator::BitOr => Some(a | b),
        Operator::BitXor => Some(a ^ b),
        Operator::LShift => u32::try_from(b).ok().and_then(|bits| shift_left(a, bits)),
        Operator::RShift if b < 0 => return Err(Error::new("negative shift count")),
        Operator::RShift => Some(a >> b.min(63)),
        Operator::MatMult => return Err(mismatch(op, &Object::Int(a), &Object::Int(b))),
    };
    result.map(Object::Int).ok_or_else(overflow)
}

fn power(base: i64, exponent: i64) -> Option<i64> {
    match (base, exponent) {
        (_, 0) | (1, _) => Some(1),
        (0, _) => Some(0),
        (-1, _) => Some(if exponent % 2 == 0 { 1 } else { -1 }),
        _ => base.checked_pow(u32::try_from(exponent).ok()?),
    }
}

fn shift_left(number: i64, bits: u32) -> Option<i64> {
    if number == 0 {
        return Some(0);
    }
    number.checked_mul(1_i64.checked_shl(bits).filter(|&factor| factor > 0)?)
}

fn floats(op: Operator, a: f64, b: f64) -> Result<f64, Error> {
    match op {
        Operator::Add => Ok(a + b),
        Operator::Sub => Ok(a - b),
        Operator::Mult => Ok(a * b),
        Operator::Div | Operator::FloorDiv | Operator::Mod if b == 0.0 => Err(division_by_zero()),
        Operator::Div => Ok(a / b),
        Operator::FloorDiv => Ok(floor_division(a, b).0),
        Operator::Mod => Ok(floor_division(a, b).1),
        Operator::Pow => {
            if a == 0.0 && b < 0.0 {
                return Err(Error::new("zero cannot be raised to a negative power"));
            }
            let result = a.powf(b);
            if result.is_nan() && !a.is_nan() && !b.is_nan() {
                return Err(super::unsupported("complex numbers are"));
            }
            if result.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(Error::new("the result is too large for a float"));
            }
            Ok(result)
        }
        _ => Err(mismatch(op, &Object::Float(a), &Object::Float(b))),
    }
}

/// CPython's `float.__divmod__`: the rest has the sign of the divisor, and the quotient is a whole
/// number even where `a / b` rounds away from it.
fn floor_division(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest == 0.0 {
        rest = 0.0_f64.copysign(b);
    } else if (b < 0.0) != (rest < 0.0) {
        rest += b;
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return (0.0_f64.copysign(a / b), rest);
    }
    let floor = quotient.floor();
    let floor = if quotient - floor > 0.5 { floor + 1.0 } else { floor };
    (floor, rest)
}
