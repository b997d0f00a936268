//! Arithmetic, comparisons and logic of two values that broadcast.

use occam_graph::{Array, Data};

use super::unary::{numbers, one};
use super::{Eval, Operands};
use crate::Result;
use crate::arith::{Number, each_integer, each_number};
use crate::error::refuse;
use crate::map::zip;
use crate::numbers::{Element, array, each_type, elements};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Add", |c| arithmetic!(c, Number::add)),
    Eval::new("Sub", |c| arithmetic!(c, Number::sub)),
    Eval::new("Mul", |c| arithmetic!(c, Number::mul)),
    Eval::new("Div", |c| {
        divisors(c.array(1)?)?;
        arithmetic!(c, Number::div)
    }),
    Eval::new("Mod", |c| {
        divisors(c.array(1)?)?;
        match (c.op.flag("fmod")?, c.dtype(0)?.is_float()) {
            (true, _) => arithmetic!(c, Number::rem),
            (false, false) => arithmetic!(c, Number::floor_rem),
            (false, true) => refuse("`fmod` must be 1 for floats"),
        }
    }),
    Eval::new("Pow", power),
    Eval::new("And", |c| logic(c, |a, b| a & b)),
    Eval::new("Or", |c| logic(c, |a, b| a | b)),
    Eval::new("Xor", |c| logic(c, |a, b| a ^ b)),
    Eval::new("BitwiseAnd", |c| bitwise!(c, |a, b| a & b)),
    Eval::new("BitwiseOr", |c| bitwise!(c, |a, b| a | b)),
    Eval::new("BitwiseXor", |c| bitwise!(c, |a, b| a ^ b)),
    Eval::new("BitShift", shift),
    Eval::new("Equal", |c| {
        let (a, b) = (c.array(0)?, c.array(1)?);
        one(each_type!(a, v => joined(v, a, b, |x, y| x == y)))
    }),
    Eval::new("Less", |c| compare!(c, |a, b| a < b)),
    Eval::new("LessOrEqual", |c| compare!(c, |a, b| a <= b)),
    Eval::new("Greater", |c| compare!(c, |a, b| a > b)),
    Eval::new("GreaterOrEqual", |c| compare!(c, |a, b| a >= b)),
];

/// Numbers of one type with a function that is generic over it.
macro_rules! arithmetic {
    ($c:expr, $f:expr) => {{
        let (a, b) = ($c.array(0)?, $c.array(1)?);
        one(each_number!(a, v => joined(v, a, b, $f), else => numbers(a)))
    }};
}
use arithmetic;

/// Integers of one type.
macro_rules! bitwise {
    ($c:expr, |$x:ident, $y:ident| $f:expr) => {{
        let (a, b) = ($c.array(0)?, $c.array(1)?);
        one(each_integer!(a, v => joined(v, a, b, |$x, $y| $f), else => refuse(format!("takes integers, found {a:?}"))))
    }};
}
use bitwise;

/// Numbers of one type, truth out.
macro_rules! compare {
    ($c:expr, |$x:ident, $y:ident| $f:expr) => {{
        let (a, b) = ($c.array(0)?, $c.array(1)?);
        one(each_number!(a, v => joined(v, a, b, |$x, $y| $f), else => numbers(a)))
    }};
}
use compare;

fn joined<T: Element, R: Element + Default>(
    v: &[T],
    a: &Array,
    b: &Array,
    f: impl Fn(T, T) -> R + Sync,
) -> Result<Array> {
    let (shape, out) = zip((v, a.shape()), (elements(b)?, b.shape()), f)?;
    array(&shape, out)
}

/// Integers are not divided by 0.
fn divisors(b: &Array) -> Result<()> {
    let zero = each_integer!(b, v => v.contains(&0), else => false);
    if zero { refuse("division by 0") } else { Ok(()) }
}

fn logic(c: &Operands<'_>, f: impl Fn(bool, bool) -> bool + Sync) -> Result<Vec<Array>> {
    let (a, b) = (c.array(0)?, c.array(1)?);
    one(joined(elements::<bool>(a)?, a, b, f))
}

/// The result has the base's type: integers stay exact where the exponent is one that is not negative.
fn power(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (a, b) = (c.array(0)?, c.array(1)?);
    one(each_number!(a, base => each_number!(b, exponent => {
        let (shape, out) = zip((base, a.shape()), (exponent, b.shape()), raised)?;
        array(&shape, out)
    }, else => numbers(b)), else => numbers(a)))
}

fn raised<A: Number, B: Number>(base: A, exponent: B) -> A {
    if A::INTEGER && B::INTEGER && exponent >= B::default() {
        // Multiplication modulo 2^64 is the same for all integers, whatever their sign.
        let (mut n, mut factor, mut out) = (exponent.to_i64() as u64, base.to_i64(), 1i64);
        while n > 0 {
            if n & 1 == 1 {
                out = out.wrapping_mul(factor);
            }
            factor = factor.wrapping_mul(factor);
            n >>= 1;
        }
        A::from_i64(out)
    } else {
        A::from_f64(base.to_f64().powf(exponent.to_f64()))
    }
}

/// Bits that are shifted out are lost, also where there are as many as the type has.
fn shift(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (a, b) = (c.array(0)?, c.array(1)?);
    let left = match c.op.text("direction")? {
        Some("LEFT") => true,
        Some("RIGHT") => false,
        other => return refuse(format!("`direction` must be `LEFT` or `RIGHT`, found {other:?}")),
    };
    macro_rules! shifted {
        ($v:expr) => {
            joined($v, a, b, |x, n| {
                let n = u32::try_from(n).unwrap_or(u32::MAX);
                let moved = if left { x.checked_shl(n) } else { x.checked_shr(n) };
                moved.unwrap_or(0)
            })
        };
    }
    one(match a.data() {
        Data::U8(v) => shifted!(v),
        Data::U16(v) => shifted!(v),
        Data::U32(v) => shifted!(v),
        Data::U64(v) => shifted!(v),
        _ => refuse(format!("takes unsigned integers, found {a:?}")),
    })
}
