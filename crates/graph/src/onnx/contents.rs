//! Arithmetic on elements that are known before a model runs.
//!
//! Exporters compute shapes by operators; with these functions such a chain ends in sizes with symbols again.

use crate::{Array, Content, DType, Data, Dim, DimExpr, Known, Size};

/// More elements than shapes and lists of indices have are not followed: every node keeps its own.
pub const MOST: usize = crate::content::MOST;

/// Of elements of which some are symbols, fewer.
const SYMBOLS: usize = 128;

/// Parts that a followed expression may have: each reader of a shared one would look at all of it.
const PARTS: usize = 64;

/// Integers of `dtype` and `shape`; none for other types, for many elements, and where the numbers do not fit.
pub fn of(dtype: DType, shape: &[usize], sizes: Vec<Size>) -> Option<Content> {
    if sizes.len() > MOST
        || count(shape)? != sizes.len()
        || sizes.iter().all(|s| *s == Size::Unknown) && !sizes.is_empty()
    {
        return None;
    }
    let numbers: Option<Vec<i64>> = sizes.iter().map(Size::known).collect();
    match (dtype, numbers) {
        (_, None) if sizes.len() > SYMBOLS => None,
        (DType::I64 | DType::I32, None) => Some(Content::Sizes { shape: shape.to_vec(), sizes }),
        (DType::I64, Some(v)) => Array::from_i64(shape, v).ok().map(Content::Array),
        (DType::I32, Some(v)) => {
            let v = v.into_iter().map(|n| i32::try_from(n).ok()).collect::<Option<Vec<_>>>()?;
            Array::new(shape, Data::I32(v)).ok().map(Content::Array)
        }
        _ => None,
    }
}

/// Number of elements of `shape`, up to what is followed.
fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MOST)
}

/// The same elements in another shape; none where it has another number of them.
pub fn reshaped(of: &Known<'_>, shape: &[Dim]) -> Option<Content> {
    let shape = shape.iter().map(Dim::known).collect::<Option<Vec<_>>>()?;
    match of.content? {
        Content::Array(a) => {
            let fits = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) == Some(a.len());
            if fits { a.reshape(shape).ok().map(Content::Array) } else { None }
        }
        Content::Sizes { sizes, .. } if count(&shape)? == sizes.len() => {
            Some(Content::Sizes { shape, sizes: sizes.clone() })
        }
        Content::Sizes { .. } => None,
    }
}

/// Of a value's elements those at row-major positions `at`, as a value of `shape`.
pub fn picked(from: &Known<'_>, shape: &[Dim], at: impl IntoIterator<Item = usize>) -> Option<Content> {
    let shape = shape.iter().map(Dim::known).collect::<Option<Vec<_>>>()?;
    let wanted = count(&shape)?;
    let sizes = from.sizes()?;
    let picked = at.into_iter().take(wanted).map(|i| sizes.get(i).cloned()).collect::<Option<Vec<_>>>()?;
    of(from.fact.dtype, &shape, picked)
}

/// Row-major positions of a view of `shape` with `strides` that starts at `start`; none for more than are followed.
pub fn positions(shape: &[Dim], start: i64, strides: &[i64]) -> Option<Vec<usize>> {
    let shape = shape.iter().map(Dim::known).collect::<Option<Vec<_>>>()?;
    count(&shape)?;
    let mut all = vec![start];
    for (&size, &stride) in shape.iter().zip(strides) {
        let mut next = Vec::with_capacity(all.len().saturating_mul(size));
        for &from in &all {
            for i in 0..size {
                let step = i64::try_from(i).ok()?.checked_mul(stride)?;
                next.push(from.checked_add(step)?);
            }
        }
        all = next;
        if all.len() > MOST {
            return None;
        }
    }
    all.into_iter().map(|i| usize::try_from(i).ok()).collect()
}

/// `f` of every pair of elements of two integers, with broadcasting.
pub fn binary(a: &Known<'_>, b: &Known<'_>, f: impl Fn(&Size, &Size) -> Size) -> Option<Content> {
    let (left, right) = (a.content?.shape(), b.content?.shape());
    let rank = left.len().max(right.len());
    let at =
        |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).and_then(|i| s.get(i)).copied().unwrap_or(1);
    let mut shape = Vec::with_capacity(rank);
    for i in 0..rank {
        shape.push(match (at(left, i), at(right, i)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => return None,
        });
    }
    count(&shape)?;
    let (x, y) = (a.sizes()?, b.sizes()?);
    let dims: Vec<Dim> = shape.iter().map(|&n| Dim::Known(n)).collect();
    let strides = |s: &[usize]| {
        let mut step = 1i64;
        let mut out = vec![0; rank];
        for (o, i) in out.iter_mut().zip(0..rank).rev() {
            let size = at(s, i);
            *o = if size == 1 { 0 } else { step };
            step *= i64::try_from(size).unwrap_or(0);
        }
        out
    };
    let (i, j) = (positions(&dims, 0, &strides(left))?, positions(&dims, 0, &strides(right))?);
    let sizes =
        i.into_iter().zip(j).map(|(i, j)| Some(f(x.get(i)?, y.get(j)?))).collect::<Option<Vec<_>>>()?;
    of(a.fact.dtype, &shape, sizes)
}

/// Whether an expression has few enough parts to be followed.
pub fn is_small(dim: &Dim) -> bool {
    let mut open = vec![dim];
    let mut seen = 0;
    while let Some(d) = open.pop() {
        seen += 1;
        if seen > PARTS {
            return false;
        }
        if let Dim::Expr(e) = d {
            match &**e {
                DimExpr::Add(a, b) | DimExpr::Mul(a, b) => open.extend([a, b]),
                DimExpr::Offset(a, _) | DimExpr::FloorDiv(a, _) | DimExpr::CeilDiv(a, _) => open.push(a),
            }
        }
    }
    true
}

/// The size of an expression, where there is one that can be followed.
fn size(dim: crate::Result<Dim>) -> Size {
    match dim {
        Ok(d) if is_small(&d) => Size::of(&d),
        _ => Size::Unknown,
    }
}

fn int(n: Option<i64>) -> Size {
    n.map_or(Size::Unknown, Size::Int)
}

/// `a + b`
pub fn sum(a: &Size, b: &Size) -> Size {
    match (a, b) {
        (Size::Int(a), Size::Int(b)) => int(a.checked_add(*b)),
        (Size::Dim(d), Size::Int(n)) | (Size::Int(n), Size::Dim(d)) => size(d.offset(*n)),
        (Size::Dim(a), Size::Dim(b)) => size(a.plus(b)),
        _ => Size::Unknown,
    }
}

/// `a - b`
pub fn difference(a: &Size, b: &Size) -> Size {
    match (a, b) {
        (Size::Int(a), Size::Int(b)) => int(a.checked_sub(*b)),
        (Size::Dim(d), Size::Int(n)) => n.checked_neg().map_or(Size::Unknown, |n| size(d.offset(n))),
        (Size::Dim(a), Size::Dim(b)) if a == b => Size::Int(0),
        _ => Size::Unknown,
    }
}

/// `a · b`
pub fn product(a: &Size, b: &Size) -> Size {
    match (a, b) {
        (Size::Int(a), Size::Int(b)) => int(a.checked_mul(*b)),
        (_, Size::Int(0)) | (Size::Int(0), _) => Size::Int(0),
        (Size::Dim(d), Size::Int(n)) | (Size::Int(n), Size::Dim(d)) => match usize::try_from(*n) {
            Ok(n) => size(d.times(&Dim::Known(n))),
            Err(_) => Size::Unknown,
        },
        (Size::Dim(a), Size::Dim(b)) => size(a.times(b)),
        _ => Size::Unknown,
    }
}

/// `a / b`, rounded towards 0 as integers are.
pub fn quotient(a: &Size, b: &Size) -> Size {
    match (a, b) {
        (Size::Int(a), Size::Int(b)) => int(a.checked_div(*b)),
        (Size::Dim(d), Size::Int(n)) => match usize::try_from(*n) {
            Ok(n) if n > 0 => size(divided(d, n)),
            _ => Size::Unknown,
        },
        _ => Size::Unknown,
    }
}

/// `floor(d / n)`, without the division where a factor of `d` is `n`.
fn divided(d: &Dim, n: usize) -> crate::Result<Dim> {
    let (known, others) = factors(d);
    if n > 0 && known % n == 0 {
        return joined(known / n, &others);
    }
    d.floor_div(n)
}

/// A size as a number times what is no product.
fn factors(dim: &Dim) -> (usize, Vec<Dim>) {
    let mut known = 1usize;
    let mut others = Vec::new();
    let mut open = vec![dim];
    while let Some(d) = open.pop() {
        match d {
            Dim::Known(n) => match known.checked_mul(*n) {
                Some(product) => known = product,
                None => others.push(d.clone()),
            },
            Dim::Expr(e) => match &**e {
                DimExpr::Mul(a, b) => open.extend([b, a]),
                _ => others.push(d.clone()),
            },
            Dim::Symbol(_) => others.push(d.clone()),
        }
    }
    (known, others)
}

fn joined(known: usize, others: &[Dim]) -> crate::Result<Dim> {
    let mut all = match others.split_first() {
        None => return Ok(Dim::Known(known)),
        Some((first, rest)) => rest.iter().try_fold(first.clone(), |all, d| all.times(d))?,
    };
    if known != 1 {
        all = all.times(&Dim::Known(known))?;
    }
    Ok(all)
}

/// The size that makes `shape · size` as many elements as `of` has; none where that cannot be told.
pub fn remaining(of: &[Dim], shape: &[Dim]) -> Option<Dim> {
    if !of.iter().chain(shape).all(is_small) {
        return None;
    }
    let all = |dims: &[Dim]| {
        dims.iter().map(factors).try_fold((1usize, Vec::new()), |(n, mut others), (k, more)| {
            others.extend(more);
            Some((n.checked_mul(k)?, others))
        })
    };
    let (whole, mut left) = all(of)?;
    let (part, gone) = all(shape)?;
    for d in &gone {
        let at = left.iter().position(|l| l == d)?;
        left.remove(at);
    }
    if part == 0 {
        return None;
    }
    let dim = if whole % part == 0 {
        joined(whole / part, &left)
    } else {
        joined(whole, &left).and_then(|d| d.floor_div(part))
    };
    dim.ok().filter(is_small)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fact;

    #[test]
    fn symbols_are_followed() {
        let n = Size::Dim(Dim::symbol("N"));
        assert_eq!(difference(&sum(&n, &Size::Int(2)), &Size::Int(2)), n);
        assert_eq!(quotient(&product(&n, &Size::Int(6)), &Size::Int(3)), product(&Size::Int(2), &n));
        assert_eq!(quotient(&Size::Int(-7), &Size::Int(2)), Size::Int(-3));
        assert_eq!(quotient(&Size::Int(1), &Size::Int(0)), Size::Unknown);
        assert_eq!(super::super::sizes::min(&n, &Size::Int(2)), Size::Unknown);
        assert_eq!(sum(&Size::Int(i64::MAX), &Size::Int(1)), Size::Unknown);
    }

    /// An expression that doubles at every step is let go instead of being looked at for ever.
    #[test]
    fn doubling_ends() {
        let mut n = Size::Dim(Dim::symbol("N"));
        for _ in 0..100 {
            n = sum(&n, &n);
        }
        assert_eq!(n, Size::Unknown);
    }

    #[test]
    fn what_is_left_of_a_shape() {
        let n = || Dim::symbol("N");
        let of = [n(), Dim::Known(512), Dim::Known(7), Dim::Known(7)];
        assert_eq!(remaining(&of, &[n()]), Some(Dim::Known(25088)));
        assert_eq!(remaining(&of, &[Dim::Known(25088)]), Some(n()));
        assert_eq!(remaining(&of, &[Dim::symbol("M")]), None);
        assert_eq!(remaining(&of, &[Dim::Known(0)]), None);
    }

    #[test]
    fn elements_broadcast() {
        let fact = Fact::new(DType::I64, [2usize]);
        let shape = Content::sizes(vec![2], vec![Size::Dim(Dim::symbol("H")), Size::Int(4)]);
        let two = Content::sizes(vec![], vec![Size::Int(2)]);
        let scalar = Fact::new(DType::I64, [0usize; 0]);
        let (a, b) =
            (Known { fact: &fact, content: Some(&shape) }, Known { fact: &scalar, content: Some(&two) });
        let twice = binary(&a, &b, product).unwrap();
        assert_eq!(twice.shape(), [2]);
        assert_eq!(twice.to_sizes().unwrap()[1], Size::Int(8));
    }
}
