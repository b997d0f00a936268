//! Arithmetic of sizes of which some are symbols.

use std::cmp::Ordering;

use crate::content::{Content, Size};
use crate::dim::DimExpr;
use crate::{Array, DType, Data, Dim};

/// `sizes` as the elements of a value of an integer type; none for other types.
pub(super) fn content(dtype: DType, shape: Vec<usize>, sizes: Vec<Size>) -> Option<Content> {
    match dtype {
        DType::I64 => Some(Content::sizes(shape, sizes)),
        DType::I32 => {
            let known: Option<Vec<i64>> = sizes.iter().map(Size::known).collect();
            let Some(known) = known else { return Some(Content::Sizes { shape, sizes }) };
            let small: Option<Vec<i32>> = known.iter().map(|&n| i32::try_from(n).ok()).collect();
            Array::new(shape, Data::I32(small?)).ok().map(Content::Array)
        }
        _ => None,
    }
}

/// What `d` says, where it could be made.
fn made(d: crate::Result<Dim>) -> Size {
    d.map_or(Size::Unknown, |d| Size::of(&d))
}

fn int(n: Option<i64>) -> Size {
    n.map_or(Size::Unknown, Size::Int)
}

/// `a + b`
pub(super) fn add(a: &Size, b: &Size) -> Size {
    match (a, b) {
        (Size::Int(a), Size::Int(b)) => int(a.checked_add(*b)),
        (Size::Dim(d), Size::Int(n)) | (Size::Int(n), Size::Dim(d)) => made(d.offset(*n)),
        (Size::Dim(a), Size::Dim(b)) => made(a.plus(b)),
        _ => Size::Unknown,
    }
}

/// `a - b`
pub(super) fn sub(a: &Size, b: &Size) -> Size {
    match (a, b) {
        (Size::Int(a), Size::Int(b)) => int(a.checked_sub(*b)),
        (Size::Dim(d), Size::Int(n)) => n.checked_neg().map_or(Size::Unknown, |n| made(d.offset(n))),
        (Size::Dim(a), Size::Dim(b)) if a == b => Size::Int(0),
        _ => Size::Unknown,
    }
}

/// `a * b`
pub(super) fn mul(a: &Size, b: &Size) -> Size {
    match (a, b) {
        (Size::Int(a), Size::Int(b)) => int(a.checked_mul(*b)),
        (_, Size::Int(0)) | (Size::Int(0), _) => Size::Int(0),
        (Size::Dim(d), Size::Int(n)) | (Size::Int(n), Size::Dim(d)) => {
            usize::try_from(*n).map_or(Size::Unknown, |n| made(d.times(&Dim::Known(n))))
        }
        (Size::Dim(a), Size::Dim(b)) => made(a.times(b)),
        _ => Size::Unknown,
    }
}

/// `a - b * floor(a / b)`; known for numbers alone.
pub(super) fn modulo(a: &Size, b: &Size) -> Size {
    let (Size::Int(a), Size::Int(b)) = (a, b) else { return Size::Unknown };
    let rest = a.checked_rem(*b);
    int(rest.map(|r| if r != 0 && (r < 0) != (*b < 0) { r + b } else { r }))
}

/// `a / b`, towards zero.
pub(super) fn div(a: &Size, b: &Size) -> Size {
    match (a, b) {
        (Size::Int(a), Size::Int(b)) => int(a.checked_div(*b)),
        (Size::Dim(d), Size::Int(n)) => match usize::try_from(*n) {
            Ok(n) if n > 0 => made(quotient(d, n)),
            _ => Size::Unknown,
        },
        _ => Size::Unknown,
    }
}

/// `floor(d / n)`, without the division where `d` is a multiple of `n` whatever its symbols are.
fn quotient(d: &Dim, n: usize) -> crate::Result<Dim> {
    if let Dim::Expr(e) = d
        && let DimExpr::Mul(a, b) = &**e
    {
        for (symbol, factor) in [(a, b), (b, a)] {
            if let Some(k) = factor.known().filter(|k| k % n == 0) {
                return symbol.times(&Dim::Known(k / n));
            }
        }
    }
    d.floor_div(n)
}

/// How `a` compares with `b`, where that does not depend on symbols.
pub(super) fn compare(a: &Size, b: &Size) -> Option<Ordering> {
    match (a, b) {
        (Size::Int(a), Size::Int(b)) => Some(a.cmp(b)),
        // Sizes are not negative.
        (Size::Dim(_), Size::Int(n)) if *n < 0 => Some(Ordering::Greater),
        (Size::Int(n), Size::Dim(_)) if *n < 0 => Some(Ordering::Less),
        (Size::Dim(a), Size::Dim(b)) if a == b => Some(Ordering::Equal),
        _ => None,
    }
}

/// The smaller one.
pub(super) fn min(a: &Size, b: &Size) -> Size {
    match compare(a, b) {
        Some(Ordering::Greater) => b.clone(),
        Some(_) => a.clone(),
        None => Size::Unknown,
    }
}

/// The larger one.
pub(super) fn max(a: &Size, b: &Size) -> Size {
    match compare(a, b) {
        Some(Ordering::Less) => b.clone(),
        Some(_) => a.clone(),
        None if matches!((a, b), (Size::Dim(_), Size::Int(0))) => a.clone(),
        None if matches!((a, b), (Size::Int(0), Size::Dim(_))) => b.clone(),
        None => Size::Unknown,
    }
}
