//! Shapes as values, and values in other shapes.

use super::contents::{self, remaining, reshaped};
use super::{Def, NarrowUse, Site};
use crate::axes::{Axis, Block, Part, input, output};
use crate::{AxisMap, Content, DType, Dim, Error, Fact, Inferred, Known, Result, Size};

pub(super) const TABLE: &[Def] = &[
    Def::new("Shape", shape).axes(sizes_only).narrow(NarrowUse::Known),
    Def::new("Size", size).axes(sizes_only).narrow(NarrowUse::Known),
    Def::new("Reshape", reshape).axes(regrouped).narrow(NarrowUse::Known),
    Def::new("Flatten", flatten).axes(regrouped).narrow(NarrowUse::Known),
    Def::new("Squeeze", squeeze).axes(regrouped).narrow(NarrowUse::Known),
    Def::new("Unsqueeze", unsqueeze).axes(regrouped).narrow(NarrowUse::Known),
    Def::new("Expand", expand).axes(expand_axes).narrow(NarrowUse::Moved),
    Def::new("Tile", tile).axes(tile_axes).narrow(NarrowUse::Moved),
];

/// The part `start..end` of `rank` axes, as `Shape` clamps it.
pub fn shape_range(rank: usize, start: Option<i64>, end: Option<i64>) -> std::ops::Range<usize> {
    let clamp = |i: i64| {
        let i = if i < 0 { i.saturating_add_unsigned(rank as u64) } else { i };
        usize::try_from(i).unwrap_or(0).min(rank)
    };
    let start = clamp(start.unwrap_or(0));
    start..end.map_or(rank, clamp).max(start)
}

fn shape(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    let range = shape_range(x.rank(), site.op.int("start")?, site.op.int("end")?);
    let sizes: Vec<Size> = x.shape.get(range).unwrap_or_default().iter().map(Size::of).collect();
    let count = sizes.len();
    Ok(vec![Inferred::new(DType::I64, [count]).with(contents::of(DType::I64, &[count], sizes))])
}

fn sizes_only(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let rank = site.get(0).map_or(0, |x| x.fact.rank());
    (0..rank).fold(AxisMap::default(), |m, i| m.size(input(0, i)))
}

fn size(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    let all = x.shape.iter().map(Size::of).fold(Size::Int(1), |n, d| contents::product(&n, &d));
    Ok(vec![Inferred::new(DType::I64, [0usize; 0]).with(contents::of(DType::I64, &[], vec![all]))])
}

/// How many elements a list of sizes has, which is the rank of what is made with it.
pub(super) fn length(list: &Known<'_>, what: &str) -> Result<usize> {
    match list.fact.shape.as_slice() {
        [] => Ok(1),
        [d] => d.known().ok_or_else(|| {
            Error::Op(format!("the number of elements of {what} must be known; others are not supported"))
        }),
        _ => Err(Error::Op(format!("{what} must be a list, found {}", list.fact))),
    }
}

fn reshape(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.known(0)?;
    let target = site.known(1)?;
    let rank = length(&target, "the shape")?;
    let sizes = target.sizes().unwrap_or_else(|| vec![Size::Unknown; rank]);
    let allow_zero = site.op.flag("allowzero")?;
    let mut dims: Vec<Option<Dim>> = Vec::with_capacity(rank);
    // -1, or the only size that is not known: the number of elements tells it.
    let mut open = Vec::new();
    for (i, s) in sizes.iter().enumerate() {
        dims.push(match s {
            Size::Int(0) if !allow_zero => match x.fact.shape.get(i) {
                Some(d) => Some(d.clone()),
                None => {
                    return Err(Error::Op(format!(
                        "size 0 at {i} is that of an axis which {} lacks",
                        x.fact
                    )));
                }
            },
            Size::Int(-1) => {
                if sizes.iter().filter(|s| **s == Size::Int(-1)).count() > 1 {
                    return Err(Error::Op("more than one size is -1".into()));
                }
                None
            }
            Size::Int(n) if *n < 0 => return Err(Error::Op(format!("size {n} is negative"))),
            other => other.dim(),
        });
        if matches!(s, Size::Int(-1) | Size::Unknown) {
            open.push(i);
        }
    }
    let others: Vec<Dim> = dims.iter().flatten().cloned().collect();
    let rest = if open.len() == 1 { remaining(&x.fact.shape, &others) } else { None };
    let dims: Vec<Dim> = dims
        .into_iter()
        .enumerate()
        .map(|(i, d)| d.or_else(|| rest.clone()).unwrap_or_else(|| site.unknown(i)))
        .collect();
    same_count(x.fact, &dims)?;
    let content = reshaped(&x, &dims);
    Ok(vec![Inferred::from(Fact { dtype: x.fact.dtype, shape: dims }).with(content)])
}

/// Refuses a shape of another number of elements, where both are known.
fn same_count(x: &Fact, shape: &[Dim]) -> Result<()> {
    let count = |shape: &[Dim]| shape.iter().try_fold(1usize, |n, d| n.checked_mul(d.known()?));
    match (count(&x.shape), count(shape)) {
        (Some(a), Some(b)) if a != b => {
            let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
            Err(Error::Op(format!("{x} cannot be viewed as [{}]", shape.join(", "))))
        }
        _ => Ok(()),
    }
}

/// The product of sizes; a symbol of its own where it is too long.
fn product(site: &Site<'_>, dims: &[Dim], tag: usize) -> Result<Dim> {
    let all = dims.iter().try_fold(Dim::Known(1), |n, d| n.times(d))?;
    Ok(if contents::is_small(&all) { all } else { site.unknown(tag) })
}

/// The place where `Flatten` divides `rank` axes.
///
/// # Errors
/// There is no such place.
pub fn flatten_axis(axis: Option<i64>, rank: usize) -> Result<usize> {
    let axis = axis.unwrap_or(1);
    if axis >= 0 && usize::try_from(axis) == Ok(rank) { Ok(rank) } else { super::axis_of(axis, rank) }
}

fn flatten(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.known(0)?;
    let axis = flatten_axis(site.op.int("axis")?, x.fact.rank())?;
    let (outer, inner) = x.fact.shape.split_at(axis);
    let dims = vec![product(site, outer, 0)?, product(site, inner, 1)?];
    let content = reshaped(&x, &dims);
    Ok(vec![Inferred::from(Fact { dtype: x.fact.dtype, shape: dims }).with(content)])
}

/// `axes` of a value of `rank`, in ascending order.
///
/// # Errors
/// One is beyond the rank, or named twice.
pub fn axes_of(axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut all = axes.iter().map(|&a| super::axis_of(a, rank)).collect::<Result<Vec<_>>>()?;
    all.sort_unstable();
    match all.windows(2).find(|w| w.first() == w.last()) {
        Some(twice) => Err(Error::Op(format!("axes {axes:?} name {twice:?} twice"))),
        None => Ok(all),
    }
}

fn squeeze(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.known(0)?;
    let fact = x.fact;
    let dims: Vec<Dim> = match site.ints("axes", 1)? {
        Some(Some(axes)) => {
            let axes = axes_of(&axes, fact.rank())?;
            for &a in &axes {
                if let Some(n) = fact.shape.get(a).and_then(Dim::known).filter(|&n| n != 1) {
                    return Err(Error::Op(format!("axis {a} of {fact} has size {n}, not 1")));
                }
            }
            fact.shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d.clone()).collect()
        }
        Some(None) => {
            let gone = length(&site.known(1)?, "the axes")?;
            let Some(rank) = fact.rank().checked_sub(gone) else {
                return Err(Error::Op(format!("{fact} does not have {gone} axes")));
            };
            (0..rank).map(|i| site.unknown(i)).collect()
        }
        None if fact.known_shape().is_some() => {
            fact.shape.iter().filter(|d| **d != Dim::Known(1)).cloned().collect()
        }
        None => {
            return Err(Error::Op(format!(
                "squeezing {fact} without axes is not supported: a size is not known"
            )));
        }
    };
    let content = reshaped(&x, &dims);
    Ok(vec![Inferred::from(Fact { dtype: fact.dtype, shape: dims }).with(content)])
}

fn unsqueeze(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.known(0)?;
    let dims = match site.ints("axes", 1)? {
        Some(Some(axes)) => {
            let rank = x.fact.rank() + axes.len();
            let axes = axes_of(&axes, rank)?;
            let mut rest = x.fact.shape.iter().cloned();
            (0..rank)
                .filter_map(|i| if axes.contains(&i) { Some(Dim::Known(1)) } else { rest.next() })
                .collect()
        }
        Some(None) => {
            let rank = x.fact.rank() + length(&site.known(1)?, "the axes")?;
            (0..rank).map(|i| site.unknown(i)).collect::<Vec<_>>()
        }
        None => return Err(Error::Op("its axes are missing".into())),
    };
    let content = reshaped(&x, &dims);
    Ok(vec![Inferred::from(Fact { dtype: x.fact.dtype, shape: dims }).with(content)])
}

fn expand(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.known(0)?;
    let target = site.known(1)?;
    let own = length(&target, "the shape")?;
    let sizes = target.sizes().unwrap_or_else(|| vec![Size::Unknown; own]);
    let rank = own.max(x.fact.rank());
    let mut dims = Vec::with_capacity(rank);
    for i in 0..rank {
        let have = (i + x.fact.rank()).checked_sub(rank).and_then(|i| x.fact.shape.get(i));
        let want = (i + own).checked_sub(rank).and_then(|i| sizes.get(i));
        dims.push(match (have, want) {
            (None, Some(w)) => w.dim().unwrap_or_else(|| site.unknown(i)),
            (Some(d), None | Some(Size::Int(1))) => d.clone(),
            (Some(Dim::Known(1)), Some(w)) => w.dim().unwrap_or_else(|| site.unknown(i)),
            (Some(Dim::Known(n)), Some(Size::Int(w))) if usize::try_from(*w) != Ok(*n) => {
                return Err(Error::Op(format!("{} does not broadcast to size {w} of axis {i}", x.fact)));
            }
            // A known size other than 1 stays, whatever is asked for.
            (Some(Dim::Known(n)), Some(_)) => Dim::Known(*n),
            (Some(d), Some(w)) => match w.dim() {
                Some(w) if w == *d => w,
                Some(Dim::Known(n)) => Dim::Known(n),
                _ => site.unknown(i),
            },
            (None, None) => site.unknown(i),
        });
    }
    let strides = view(&x.fact.shape, rank);
    let content = strides
        .and_then(|s| contents::positions(&dims, 0, &s))
        .and_then(|at| contents::picked(&x, &dims, at));
    Ok(vec![Inferred::from(Fact { dtype: x.fact.dtype, shape: dims }).with(content)])
}

/// Steps of a value of `shape` along the axes of the `rank` it broadcasts to; none where sizes are not known.
fn view(shape: &[Dim], rank: usize) -> Option<Vec<i64>> {
    let mut strides = vec![0; rank];
    let mut step = 1i64;
    for (d, s) in shape.iter().rev().zip(strides.iter_mut().rev()) {
        let n = i64::try_from(d.known()?).ok()?;
        *s = if n == 1 { 0 } else { step };
        step = step.checked_mul(n)?;
    }
    Some(strides)
}

/// Axes of the same size pass through; those along which elements are repeated are free.
fn expand_axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let (Some(x), Some(y)) = (site.get(0), outputs.first()) else { return AxisMap::default() };
    let Some(before) = y.rank().checked_sub(x.fact.rank()) else { return AxisMap::default() };
    let map = (0..before).fold(AxisMap::default(), |m, i| m.size(output(0, i)));
    let pairs = x.fact.shape.iter().zip(y.shape.iter().skip(before)).enumerate();
    pairs.fold(map, |m, (i, (a, b))| match a {
        _ if a == b => m.same(input(0, i), output(0, before + i)),
        // The one element is repeated: any of its copies may go.
        Dim::Known(1) => m.size(output(0, before + i)),
        _ => m,
    })
}

fn tile(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    let repeats = site.known(1)?;
    let rank = length(&repeats, "the repeats")?;
    if rank != x.rank() {
        return Err(Error::Op(format!("{rank} repeats given for {x}")));
    }
    let sizes = repeats.sizes().unwrap_or_else(|| vec![Size::Unknown; rank]);
    let mut dims = Vec::with_capacity(rank);
    for (i, (d, r)) in x.shape.iter().zip(&sizes).enumerate() {
        dims.push(match r {
            Size::Int(n) if *n < 0 => return Err(Error::Op(format!("it repeats {n} times"))),
            r => contents::product(&Size::of(d), r).dim().unwrap_or_else(|| site.unknown(i)),
        });
    }
    let content: Option<Content> = match (x.shape.as_slice(), dims.as_slice()) {
        ([Dim::Known(n)], [Dim::Known(total)]) if *n > 0 && *total <= contents::MOST => {
            contents::picked(&site.known(0)?, &dims, (0..*total).map(|i| i % n))
        }
        _ => None,
    };
    Ok(vec![Inferred::from(Fact { dtype: x.dtype, shape: dims }).with(content)])
}

/// Element `i` of an axis that is repeated is every element `k · size + i`.
fn tile_axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let (Some(x), Some(y)) = (site.get(0), outputs.first()) else { return AxisMap::default() };
    let mut map = AxisMap::default();
    for (i, (a, b)) in x.fact.shape.iter().zip(&y.shape).enumerate() {
        map = match (a.known(), b.known()) {
            _ if a == b => map.same(input(0, i), output(0, i)),
            (Some(n), Some(all)) if n > 0 && all / n <= 64 => {
                let blocks = (0..all / n).map(|k| Block::range(0, k * n, n)).collect();
                map.blocks(input(0, i), output(0, i), blocks)
            }
            _ => map,
        };
    }
    map
}

/// Equal sizes from the front, and then from the back, are the same axes; between them, axes are joined or divided.
fn regrouped(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let (Some(x), Some(y)) = (site.get(0), outputs.first()) else { return AxisMap::default() };
    let side = |fact: &Fact, axis: fn(usize, usize) -> Axis| -> Vec<(Axis, Dim)> {
        fact.shape.iter().enumerate().map(|(i, d)| (axis(0, i), d.clone())).collect()
    };
    let (mut a, mut b) = (side(x.fact, input), side(y, output));
    let map = matched(AxisMap::default(), &mut a, &mut b, false);
    a.reverse();
    b.reverse();
    let map = matched(map, &mut a, &mut b, true);
    match (a.as_slice(), b.as_slice()) {
        // Sizes that are not known before running hide how many of the parts there are, not how long each is.
        ([(whole, n), _], [(part, m), _]) => divided(map, (*whole, n), (*part, m)),
        _ => map,
    }
}

/// `n` elements of an axis as runs of `m`, or the other way about, where one divides the other.
fn divided(map: AxisMap, (a, n): (Axis, &Dim), (b, m): (Axis, &Dim)) -> AxisMap {
    match (n.known(), m.known()) {
        (Some(n), Some(m)) if n > m && m > 0 && n % m == 0 => {
            map.regroup(a, vec![Part { axis: None, size: n / m }, Part { axis: Some(b), size: m }])
        }
        (Some(n), Some(m)) if m > n && n > 0 && m % n == 0 => {
            map.regroup(b, vec![Part { axis: None, size: m / n }, Part { axis: Some(a), size: n }])
        }
        _ => map,
    }
}

/// Takes off both lists, from the front, what corresponds; `back` says that they are in reverse.
fn matched(mut map: AxisMap, a: &mut Vec<(Axis, Dim)>, b: &mut Vec<(Axis, Dim)>, back: bool) -> AxisMap {
    let (mut i, mut j) = (0, 0);
    while let (Some((p_axis, p)), Some((q_axis, q))) = (a.get(i), b.get(j)) {
        if p == q {
            map = map.same(*p_axis, *q_axis);
            (i, j) = (i + 1, j + 1);
            continue;
        }
        match (p.known(), q.known()) {
            (Some(1), _) => i += 1,
            (_, Some(1)) => j += 1,
            (Some(n), Some(m)) if n > 1 && m > 1 => {
                let (mut end_i, mut end_j) = (i + 1, j + 1);
                let (mut left, mut right) = (n, m);
                while left != right {
                    let (side, dims, at) = if left < right {
                        (&mut left, &*a, &mut end_i)
                    } else {
                        (&mut right, &*b, &mut end_j)
                    };
                    let next = dims.get(*at).and_then(|(_, d)| d.known()).filter(|&n| n > 0);
                    let Some(product) = next.and_then(|n| side.checked_mul(n)) else {
                        a.drain(..i);
                        b.drain(..j);
                        return map;
                    };
                    *side = product;
                    *at += 1;
                }
                map = joined(
                    map,
                    a.get(i..end_i).unwrap_or_default(),
                    b.get(j..end_j).unwrap_or_default(),
                    back,
                );
                (i, j) = (end_i, end_j);
            }
            _ => break,
        }
    }
    a.drain(..i);
    b.drain(..j);
    map
}

/// Axes of the same number of elements in all.
fn joined(map: AxisMap, a: &[(Axis, Dim)], b: &[(Axis, Dim)], back: bool) -> AxisMap {
    let parts = |side: &[(Axis, Dim)]| -> Vec<Part> {
        let mut all: Vec<Part> =
            side.iter().filter_map(|(axis, d)| Some(Part { axis: Some(*axis), size: d.known()? })).collect();
        if back {
            all.reverse();
        }
        all
    };
    match (a, b) {
        ([(whole, _)], many) | (many, [(whole, _)]) => map.regroup(*whole, parts(many)),
        (a, b) => {
            let outermost = |side: &[(Axis, Dim)]| {
                let first = if back { side.last() } else { side.first() };
                first.and_then(|(axis, d)| Some((*axis, d.known()?)))
            };
            match (outermost(a), outermost(b)) {
                (Some((a, n)), Some((b, m))) if n % m == 0 => map.blocks(
                    a,
                    b,
                    vec![Block { a_start: 0, b_start: 0, count: m, a_step: n / m, b_step: 1 }],
                ),
                (Some((a, n)), Some((b, m))) if m % n == 0 => map.blocks(
                    a,
                    b,
                    vec![Block { a_start: 0, b_start: 0, count: n, a_step: 1, b_step: m / n }],
                ),
                _ => map,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Attribute, Onnx};
    use super::*;
    use crate::Op;

    fn infer(op: Onnx, inputs: &[Inferred]) -> Result<Vec<Inferred>> {
        let known: Vec<Known<'_>> =
            inputs.iter().map(|i| Known { fact: &i.fact, content: i.content.as_ref() }).collect();
        Op::Onnx(op).family().infer_known("node", &known)
    }

    fn ints(v: &[i64]) -> Inferred {
        crate::Array::from_i64([v.len()], v.to_vec()).unwrap().into()
    }

    fn image() -> Inferred {
        Fact::f32([Dim::symbol("N"), Dim::Known(512), Dim::Known(7), Dim::Known(7)]).into()
    }

    #[test]
    fn reshape_follows_symbols() {
        let shape = |sizes: &[i64]| {
            infer(Onnx::new("Reshape", 13, 2), &[image(), ints(sizes)]).map(|v| v[0].fact.to_string())
        };
        assert_eq!(shape(&[0, -1]).unwrap(), "f32[N, 25088]");
        assert_eq!(shape(&[-1, 25088]).unwrap(), "f32[N, 25088]");
        assert_eq!(shape(&[0, 2, 256, 49]).unwrap(), "f32[N, 2, 256, 49]");
        assert!(shape(&[-1, -1]).is_err());
        assert!(shape(&[-2, 1]).is_err());
        assert!(shape(&[1, 1, 1, 1, 0]).is_err());
    }

    #[test]
    fn shapes_are_known() {
        let all = infer(Onnx::new("Shape", 13, 1), &[image()]).unwrap();
        let sizes = all[0].content.as_ref().unwrap().to_sizes().unwrap();
        assert_eq!(sizes[0], Size::Dim(Dim::symbol("N")));
        assert_eq!(sizes[1], Size::Int(512));
        let part = Onnx::new("Shape", 15, 1).with("start", Attribute::Int(-2));
        let part = infer(part, &[image()]).unwrap();
        assert_eq!(part[0].content.as_ref().unwrap().to_ints().unwrap(), [7, 7]);
    }

    #[test]
    fn axes_are_attributes_or_operands() {
        let old = Onnx::new("Unsqueeze", 11, 1).with("axes", Attribute::Ints(vec![0, -1]));
        assert_eq!(infer(old, &[image()]).unwrap()[0].fact.to_string(), "f32[1, N, 512, 7, 7, 1]");
        let new = infer(Onnx::new("Unsqueeze", 13, 2), &[image(), ints(&[1])]).unwrap();
        assert_eq!(new[0].fact.to_string(), "f32[N, 1, 512, 7, 7]");
        assert!(infer(Onnx::new("Unsqueeze", 13, 2), &[image(), ints(&[9])]).is_err());
        assert!(infer(Onnx::new("Unsqueeze", 13, 2), &[image(), ints(&[1, 1])]).is_err());
        assert!(infer(Onnx::new("Squeeze", 13, 2), &[image(), ints(&[1])]).is_err());
    }

    #[test]
    fn regrouped_axes_keep_channels() {
        let x: Inferred = Fact::f32([Dim::symbol("N"), Dim::Known(6), Dim::Known(4)]).into();
        let y = Fact::f32([Dim::symbol("N"), Dim::Known(24)]);
        let known = [Known { fact: &x.fact, content: None }, Known { fact: &y, content: None }];
        let map = Op::Onnx(Onnx::new("Reshape", 13, 2)).family().axes_known(&known, &[&y]);
        let part = |axis, size| Part { axis: Some(input(0, axis)), size };
        let wanted = AxisMap::default().same(input(0, 0), output(0, 0));
        assert_eq!(map, wanted.regroup(output(0, 1), vec![part(1, 6), part(2, 4)]));
        let run = Block { a_start: 0, b_start: 0, count: 6, a_step: 4, b_step: 1 };
        assert_eq!(map.regroups[0].blocks(0), [run]);
        assert_eq!(map.regroups[0].blocks(1).len(), 6);
    }
}
