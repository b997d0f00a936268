//! Parts of values, values side by side, and axes in another order.

use super::contents::{self, picked, positions};
use super::{Def, NarrowUse, Site, axis_of};
use crate::axes::{Block, input, output};
use crate::{AxisMap, Dim, Error, Fact, Inferred, Known, Result, Size};

pub(super) const TABLE: &[Def] = &[
    Def::new("Transpose", transpose).axes(transpose_axes).narrow(NarrowUse::Moved),
    Def::new("Concat", concat).axes(concat_axes).narrow(NarrowUse::Moved),
    Def::new("Split", split).axes(split_axes).narrow(NarrowUse::Moved),
    Def::new("Slice", slice).axes(slice_axes).narrow(NarrowUse::Moved),
];

/// The order of axes that `Transpose` asks for: by axis of the result that of the operand.
///
/// # Errors
/// It is no order of `rank` axes.
pub fn order_of(perm: Option<&[i64]>, rank: usize) -> Result<Vec<usize>> {
    let Some(perm) = perm else { return Ok((0..rank).rev().collect()) };
    let order = perm.iter().map(|&a| axis_of(a, rank)).collect::<Result<Vec<_>>>()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted.into_iter().eq(0..rank) {
        Ok(order)
    } else {
        Err(Error::Op(format!("{perm:?} is no order of {rank} axes")))
    }
}

/// Elements between neighbours along each axis; none where sizes are not known.
fn strides(fact: &Fact) -> Option<Vec<i64>> {
    let mut strides = vec![1; fact.rank()];
    let mut step = 1i64;
    for (d, s) in fact.shape.iter().zip(&mut strides).rev() {
        *s = step;
        step = step.checked_mul(i64::try_from(d.known()?).ok()?)?;
    }
    Some(strides)
}

fn transpose(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.known(0)?;
    let order = order_of(site.op.ints("perm")?, x.fact.rank())?;
    let dims: Vec<Dim> = order.iter().filter_map(|&i| x.fact.shape.get(i).cloned()).collect();
    let content = x.content.and_then(|_| {
        let own = strides(x.fact)?;
        let moved: Vec<i64> = order.iter().filter_map(|&i| own.get(i).copied()).collect();
        picked(&x, &dims, positions(&dims, 0, &moved)?)
    });
    Ok(vec![Inferred::from(Fact { dtype: x.fact.dtype, shape: dims }).with(content)])
}

fn transpose_axes(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let rank = site.get(0).map_or(0, |x| x.fact.rank());
    let order = site.op.ints("perm").and_then(|p| order_of(p, rank)).unwrap_or_default();
    order.iter().enumerate().fold(AxisMap::default(), |m, (o, &i)| m.same(input(0, i), output(0, o)))
}

/// The attribute `axis`, which has no default.
fn axis(site: &Site<'_>, rank: usize) -> Result<usize> {
    match site.op.int("axis")? {
        Some(axis) => axis_of(axis, rank),
        None => Err(Error::Op("attribute `axis` is missing".into())),
    }
}

fn concat(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let first = site.fact(0)?;
    let axis = axis(site, first.rank())?;
    let mut dims = first.shape.clone();
    let mut total = Dim::Known(0);
    let all: Vec<Known<'_>> = (0..site.inputs.len()).map(|i| site.known(i)).collect::<Result<_>>()?;
    for (i, x) in all.iter().enumerate() {
        let x = x.fact;
        if x.dtype != first.dtype || x.rank() != first.rank() {
            return Err(Error::Op(format!("input {i} is {x}, but input 0 is {first}")));
        }
        for (a, (own, d)) in dims.iter_mut().zip(&x.shape).enumerate().filter(|(a, _)| *a != axis) {
            if !own.may_equal(d) {
                return Err(Error::Op(format!("axis {a} of input {i}, {x}, is not {own}")));
            }
            if own.known().is_none() && d.known().is_some() {
                *own = d.clone();
            }
        }
        if let Some(d) = x.shape.get(axis) {
            total = total.plus(d)?;
            if !contents::is_small(&total) {
                total = site.unknown(axis);
            }
        }
    }
    if let Some(d) = dims.get_mut(axis) {
        *d = total;
    }
    let content = if first.rank() == 1 { joined(&all, first) } else { None };
    Ok(vec![Inferred::from(Fact { dtype: first.dtype, shape: dims }).with(content)])
}

/// The elements of lists one after another; those of which nothing is known but their number are unknown.
fn joined(all: &[Known<'_>], first: &Fact) -> Option<crate::Content> {
    let mut sizes = Vec::new();
    for x in all {
        match x.sizes() {
            Some(own) => sizes.extend(own),
            None => {
                let count = x.fact.shape.first().and_then(Dim::known).filter(|&n| n <= contents::MOST)?;
                sizes.extend(vec![Size::Unknown; count]);
            }
        }
        if sizes.len() > contents::MOST {
            return None;
        }
    }
    contents::of(first.dtype, &[sizes.len()], sizes)
}

fn concat_axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let rank = outputs.first().map_or(0, |y| y.rank());
    let Ok(axis) = axis(site, rank) else { return AxisMap::default() };
    let mut map = AxisMap::default();
    let mut offset = Some(0usize);
    for (i, x) in site.inputs.iter().flatten().enumerate() {
        map = (0..rank).filter(|&a| a != axis).fold(map, |m, a| m.same(input(i, a), output(0, a)));
        let size = x.fact.shape.get(axis).and_then(Dim::known);
        if let (Some(from), Some(n)) = (offset, size) {
            map = map.blocks(input(i, axis), output(0, axis), vec![Block::range(0, from, n)]);
        }
        offset = offset.zip(size).and_then(|(o, n)| o.checked_add(n));
    }
    map
}

/// Sizes of `parts` equal parts of `size`: the last is smaller where they do not divide it (opset 18); before, they must.
///
/// # Errors
/// There are no parts, or they do not divide the size.
pub fn equal_parts(size: usize, parts: usize, version: i64) -> Result<Vec<usize>> {
    if parts == 0 || (version < 18 && !size.is_multiple_of(parts)) {
        return Err(Error::Op(format!("size {size} cannot be split into {parts} equal parts")));
    }
    let each = size.div_ceil(parts);
    Ok((0..parts).map(|i| size.saturating_sub(i.saturating_mul(each)).min(each)).collect())
}

/// The sizes of the parts, as far as they are known.
fn parts(site: &Site<'_>, size: &Dim) -> Result<Vec<Option<Dim>>> {
    let count = site.op.outputs.len();
    let wrong = |n: usize| Err(Error::Op(format!("it has {count} outputs, but {n} parts")));
    match site.ints("split", 1)? {
        Some(Some(v)) if v.len() != count => wrong(v.len()),
        Some(Some(v)) => {
            let sizes = v.iter().map(|&n| usize::try_from(n)).collect::<Result<Vec<_>, _>>();
            let sizes = sizes.map_err(|_| Error::Op(format!("sizes {v:?} of parts are negative")))?;
            let total = sizes.iter().try_fold(0usize, |n, &d| n.checked_add(d));
            if let Some(n) = size.known().filter(|&n| Some(n) != total) {
                return Err(Error::Op(format!("parts {v:?} are not all of size {n}")));
            }
            Ok(sizes.into_iter().map(|n| Some(Dim::Known(n))).collect())
        }
        Some(None) => {
            let sizes = site.known(1)?.sizes().filter(|s| s.len() == count);
            Ok(sizes.map_or_else(|| vec![None; count], |s| s.iter().map(Size::dim).collect()))
        }
        None => {
            let parts = site.op.size("num_outputs")?.unwrap_or(count);
            if parts != count {
                return wrong(parts);
            }
            match size.known() {
                Some(n) => {
                    let sizes = equal_parts(n, parts, site.op.version)?;
                    Ok(sizes.into_iter().map(|n| Some(Dim::Known(n))).collect())
                }
                None if site.op.version < 18 => Ok(vec![size.floor_div(parts).ok(); count]),
                None => Ok(vec![None; count]),
            }
        }
    }
}

fn split(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.known(0)?;
    let axis = axis_of(site.op.int("axis")?.unwrap_or(0), x.fact.rank())?;
    let Some(size) = x.fact.shape.get(axis) else { return Ok(Vec::new()) };
    let mut start = Some(0usize);
    let mut all = Vec::with_capacity(site.op.outputs.len());
    for (i, part) in parts(site, size)?.into_iter().enumerate() {
        let mut fact = x.fact.clone();
        let count = part.as_ref().and_then(Dim::known);
        if let Some(d) = fact.shape.get_mut(axis) {
            *d = part.unwrap_or_else(|| site.unknown(i));
        }
        let end = start.zip(count).and_then(|(s, n)| s.checked_add(n));
        let content = match (start, end) {
            (Some(s), Some(e)) if fact.rank() == 1 => picked(&x, &fact.shape, s..e),
            _ => None,
        };
        start = end;
        all.push(Inferred::from(fact).with(content));
    }
    Ok(all)
}

fn split_axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let Some(x) = site.get(0) else { return AxisMap::default() };
    let rank = x.fact.rank();
    let Ok(axis) = site.op.int("axis").and_then(|a| axis_of(a.unwrap_or(0), rank)) else {
        return AxisMap::default();
    };
    let sizes = x.fact.shape.get(axis).and_then(|d| parts(site, d).ok()).unwrap_or_default();
    let mut map = AxisMap::default();
    let (mut offset, mut port) = (Some(0usize), 0);
    for (size, &wanted) in sizes.iter().zip(&site.op.outputs) {
        let size = size.as_ref().and_then(Dim::known);
        if wanted {
            map = (0..rank).filter(|&a| a != axis).fold(map, |m, a| m.same(input(0, a), output(port, a)));
            if let (Some(from), Some(n)) = (offset, size) {
                map = map.blocks(input(0, axis), output(port, axis), vec![Block::range(from, 0, n)]);
            }
            port += 1;
        }
        offset = offset.zip(size).and_then(|(o, n)| o.checked_add(n));
    }
    debug_assert!(port <= outputs.len() || outputs.is_empty());
    map
}

/// The elements that `start..end` by `step` takes of an axis of `size`: the first of them, and how many there are. Positions
/// count from the end where they are negative, and are clamped: a start to an element, other than in NumPy, an end to a place
/// before or behind them. The largest integers as an end mean the last element that the step leads to, backwards too, as
/// runtimes have it.
///
/// # Errors
/// `step` is 0.
pub fn slice_range(size: usize, start: i64, end: i64, step: i64) -> Result<(usize, usize)> {
    if step == 0 {
        return Err(Error::Op("a step is 0".into()));
    }
    let n = i64::try_from(size).map_err(|_| Error::Op(format!("size {size} is too large")))?;
    // Backwards, the end may be before the first element.
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let at = |i: i64| if i < 0 { i.saturating_add(n).max(low) } else { i.min(high) };
    let whole = step < 0 && (end == i64::MAX || end == i32::MAX.into());
    let (first, last) = (at(start).max(0), if whole { low } else { at(end) });
    if n == 0 {
        return Ok((0, 0));
    }
    let span = if step > 0 { last - first } else { first - last };
    if span <= 0 {
        return Ok((0, 0));
    }
    let count = span.unsigned_abs().div_ceil(step.unsigned_abs());
    Ok((usize::try_from(first).unwrap_or(0), usize::try_from(count).unwrap_or(0)))
}

/// What is taken of one axis.
struct Cut {
    axis: usize,
    start: Size,
    end: Size,
    step: Size,
}

/// What `Slice` takes; none where its axes are not known.
fn cuts(site: &Site<'_>) -> Result<Option<Vec<Cut>>> {
    let rank = site.fact(0)?.rank();
    let sizes = |name: &str, index: usize| -> Result<Option<Vec<Size>>> {
        match site.op.ints(name)? {
            Some(v) => Ok(Some(v.iter().map(|&n| Size::Int(n)).collect())),
            None => match site.get(index) {
                None => Ok(None),
                Some(k) => {
                    let count = super::shape::length(&k, name)?;
                    Ok(Some(k.sizes().unwrap_or_else(|| vec![Size::Unknown; count])))
                }
            },
        }
    };
    let missing = |name: &str| Error::Op(format!("its {name} are missing"));
    let starts = sizes("starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = sizes("ends", 2)?.ok_or_else(|| missing("ends"))?;
    let steps = sizes("steps", 4)?.unwrap_or_else(|| vec![Size::Int(1); starts.len()]);
    let axes = match site.ints("axes", 3)? {
        None => (0..rank).take(starts.len()).collect(),
        Some(None) => return Ok(None),
        Some(Some(axes)) => axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<Vec<_>>>()?,
    };
    let counts = [ends.len(), steps.len(), axes.len()];
    if counts.iter().any(|&n| n != starts.len()) {
        return Err(Error::Op(format!("{} starts, but {counts:?} ends, steps and axes", starts.len())));
    }
    let all = starts.into_iter().zip(ends).zip(steps).zip(axes);
    Ok(Some(all.map(|(((start, end), step), axis)| Cut { axis, start, end, step }).collect()))
}

/// How many elements a cut leaves of an axis.
fn left(cut: &Cut, size: &Dim) -> Result<Option<Dim>> {
    let (Size::Int(step), Size::Int(start)) = (&cut.step, &cut.start) else {
        // Where only the step is known it is still checked.
        if cut.step == Size::Int(0) {
            slice_range(0, 0, 0, 0)?;
        }
        return Ok(None);
    };
    if let (Some(n), Size::Int(end)) = (size.known(), &cut.end) {
        return Ok(Some(Dim::Known(slice_range(n, *start, *end, *step)?.1)));
    }
    slice_range(0, *start, 0, *step)?;
    let Ok(step) = usize::try_from(*step) else { return Ok(None) };
    if *start < 0 || step == 0 {
        return Ok(None);
    }
    let span = match &cut.end {
        // What exporters write for `to the last`.
        Size::Int(end) if *end >= i64::from(i32::MAX) => size.offset(-*start),
        Size::Int(end) if *end < 0 => size.offset(end.saturating_sub(*start)),
        Size::Dim(end) if end == size => size.offset(-*start),
        _ => return Ok(None),
    };
    Ok(span.and_then(|s| s.ceil_div(step)).ok().filter(contents::is_small))
}

fn slice(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.known(0)?;
    let mut dims = x.fact.shape.clone();
    let Some(cuts) = cuts(site)? else {
        let dims: Vec<Dim> = (0..x.fact.rank()).map(|i| site.unknown(i)).collect();
        return Ok(vec![Inferred::new(x.fact.dtype, dims)]);
    };
    let mut strides = strides(x.fact);
    let mut first = Some(0i64);
    for cut in &cuts {
        let Some(d) = dims.get_mut(cut.axis) else { continue };
        let before = d.known();
        *d = left(cut, d)?.unwrap_or_else(|| site.unknown(cut.axis));
        let (Some(n), Size::Int(start), Size::Int(end), Size::Int(step)) =
            (before, &cut.start, &cut.end, &cut.step)
        else {
            strides = None;
            continue;
        };
        let (from, _) = slice_range(n, *start, *end, *step)?;
        if let Some(s) = strides.as_mut().and_then(|s| s.get_mut(cut.axis)) {
            let offset = i64::try_from(from).ok().and_then(|f| f.checked_mul(*s));
            first = first.zip(offset).and_then(|(f, o)| f.checked_add(o));
            *s = s.saturating_mul(*step);
        }
    }
    let content = x.content.and_then(|_| picked(&x, &dims, positions(&dims, first?, &strides?)?));
    Ok(vec![Inferred::from(Fact { dtype: x.fact.dtype, shape: dims }).with(content)])
}

/// Other axes pass through; of a cut one the run that is taken, where the step is 1.
fn slice_axes(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let (Some(x), Ok(Some(cuts))) = (site.get(0), cuts(site)) else { return AxisMap::default() };
    let mut map = AxisMap::default();
    for (axis, d) in x.fact.shape.iter().enumerate() {
        map = match cuts.iter().find(|c| c.axis == axis) {
            None => map.same(input(0, axis), output(0, axis)),
            Some(Cut { start: Size::Int(start), end: Size::Int(end), step: Size::Int(1), .. }) => {
                match d.known().and_then(|n| slice_range(n, *start, *end, 1).ok()) {
                    Some((from, count)) => {
                        map.blocks(input(0, axis), output(0, axis), vec![Block::range(from, 0, count)])
                    }
                    None => map,
                }
            }
            Some(_) => map,
        };
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_clamped_as_numpy_does() {
        assert_eq!(slice_range(5, 1, 4, 1).unwrap(), (1, 3));
        assert_eq!(slice_range(5, -2, i64::MAX, 1).unwrap(), (3, 2));
        assert_eq!(slice_range(5, -1, i64::MIN, -1).unwrap(), (4, 5));
        assert_eq!(slice_range(5, 20, 0, -4).unwrap(), (4, 1));
        assert_eq!(slice_range(5, 4, 1, 1).unwrap(), (0, 0));
        // Values from ONNX Runtime.
        assert_eq!(slice_range(4, -8, i32::MIN.into(), -1).unwrap(), (0, 1));
        assert_eq!(slice_range(3, -1, i32::MAX.into(), -1).unwrap(), (2, 3));
        assert_eq!(slice_range(4, 5, i64::MAX, -1).unwrap(), (3, 4));
        assert_eq!(slice_range(0, 0, -1, -1).unwrap(), (0, 0));
        assert!(slice_range(5, 0, 5, 0).is_err());
    }

    #[test]
    fn parts_are_equal_or_the_last_is_smaller() {
        assert_eq!(equal_parts(7, 4, 18).unwrap(), [2, 2, 2, 1]);
        assert!(equal_parts(7, 4, 13).is_err());
        assert!(equal_parts(7, 0, 18).is_err());
        assert_eq!(equal_parts(1, 3, 18).unwrap(), [1, 0, 0]);
    }
}
