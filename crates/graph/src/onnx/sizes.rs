//! Comparisons of sizes of which some are symbols, and what follows from them.

use std::cmp::Ordering;

use crate::Size;

/// `a - b * floor(a / b)`; known for numbers alone.
pub(super) fn modulo(a: &Size, b: &Size) -> Size {
    let (Size::Int(a), Size::Int(b)) = (a, b) else { return Size::Unknown };
    let rest = a.checked_rem(*b);
    rest.map_or(Size::Unknown, |r| Size::Int(if r != 0 && (r < 0) != (*b < 0) { r + b } else { r }))
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
