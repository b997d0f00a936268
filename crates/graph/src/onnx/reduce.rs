//! Reductions over axes.

use super::{Def, Site, contents, sizes};
use crate::axes::{input, output};
use crate::content::{Content, Size};
use crate::{AxisMap, DType, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("ReduceSum", |s| sized(s, contents::sum)).axes(sum_axes),
    Def::new("ReduceProd", |s| sized(s, contents::product)).axes(axes),
    Def::new("ReduceMax", |s| sized(s, sizes::max)).axes(axes),
    Def::new("ReduceMin", |s| sized(s, sizes::min)).axes(axes),
    Def::new("ReduceMean", numbers).axes(sum_axes),
    Def::new("ReduceSumSquare", numbers).axes(sum_axes),
    Def::new("ReduceL1", numbers).axes(sum_axes),
    Def::new("ReduceL2", numbers).axes(sum_axes),
    Def::new("ReduceLogSum", numbers).axes(axes),
    Def::new("ReduceLogSumExp", numbers).axes(axes),
];

/// What of the operand is reduced.
enum Reduced {
    /// By axis, whether it is.
    Axes(Vec<bool>),
    /// So many axes, which only running tells.
    Some(usize),
}

fn reduced(site: &Site<'_>) -> Result<Reduced> {
    let rank = site.fact(0)?.rank();
    let axes = match site.ints("axes", 1)? {
        None => Vec::new(),
        Some(Some(axes)) => axes,
        Some(None) => {
            let count = site.fact(1)?.shape.iter().try_fold(1usize, |n, d| n.checked_mul(d.known()?));
            match count {
                Some(0) => Vec::new(),
                Some(n) if n <= rank => return Ok(Reduced::Some(n)),
                Some(n) => return Err(Error::Op(format!("reduces {n} axes of {rank}"))),
                None if site.op.int("keepdims")?.unwrap_or(1) != 0 => return Ok(Reduced::Some(rank)),
                None => {
                    return Err(Error::Op(
                        "a number of axes that only running tells is not supported".into(),
                    ));
                }
            }
        }
    };
    if axes.is_empty() {
        return Ok(Reduced::Axes(vec![!site.op.flag("noop_with_empty_axes")?; rank]));
    }
    let mut flags = vec![false; rank];
    for axis in axes {
        let axis = site.axis(axis, rank)?;
        if let Some(flag) = flags.get_mut(axis) {
            *flag = true;
        }
    }
    Ok(Reduced::Axes(flags))
}

/// Type and shape of the result.
fn fact(site: &Site<'_>) -> Result<Fact> {
    let x = site.fact(0)?;
    let keep = site.op.int("keepdims")?.unwrap_or(1) != 0;
    let shape = match reduced(site)? {
        Reduced::Axes(flags) => left(&x.shape, &flags, keep),
        Reduced::Some(_) if keep => (0..x.rank()).map(|i| site.unknown(i)).collect(),
        Reduced::Some(n) => (0..x.rank() - n).map(|i| site.unknown(i)).collect(),
    };
    Ok(Fact { dtype: x.dtype, shape })
}

/// What is left of `shape` when the flagged axes are reduced: they have size 1 where they are kept.
pub(super) fn left(shape: &[Dim], flags: &[bool], keep: bool) -> Vec<Dim> {
    let each = shape.iter().zip(flags);
    if keep {
        each.map(|(d, &gone)| if gone { Dim::Known(1) } else { d.clone() }).collect()
    } else {
        each.filter(|&(_, &gone)| !gone).map(|(d, _)| d.clone()).collect()
    }
}

/// The axes that are not reduced are axes of the result.
pub(super) fn links(flags: &[bool], keep: bool) -> AxisMap {
    let mut map = AxisMap::default();
    let mut next = 0;
    for (i, &gone) in flags.iter().enumerate() {
        if !gone {
            map = map.same(input(0, i), output(0, if keep { i } else { next }));
            next += 1;
        }
    }
    map
}

/// The links, and which axes are reduced.
fn parts(site: &Site<'_>) -> (AxisMap, Vec<usize>) {
    match (reduced(site), site.op.int("keepdims")) {
        (Ok(Reduced::Axes(flags)), Ok(keep)) => {
            let gone = (0..flags.len()).filter(|&i| flags.get(i) == Some(&true)).collect();
            (links(&flags, keep.unwrap_or(1) != 0), gone)
        }
        _ => (AxisMap::default(), Vec::new()),
    }
}

fn axes(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    parts(site).0
}

/// Elements may go, but what a sum or mean of the rest is changes: channels whose weights are 0 need not be 0 here, since an
/// activation between may make something else of them.
fn sum_axes(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let (map, gone) = parts(site);
    gone.into_iter().fold(map, |m, i| m.size(input(0, i)).statistic(input(0, i)))
}

fn numbers(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    if x.dtype == DType::Bool {
        return Err(Error::Op(format!("takes numbers, found {x}")));
    }
    Ok(vec![fact(site)?.into()])
}

/// Elements that are sizes of one axis are folded with `f`.
fn sized(site: &Site<'_>, f: fn(&Size, &Size) -> Size) -> Result<Vec<Inferred>> {
    let x = site.known(0)?;
    let logical = matches!(site.op.op_type.as_str(), "ReduceMax" | "ReduceMin") && site.op.version >= 20;
    if x.fact.dtype == DType::Bool && !logical {
        return Err(Error::Op(format!("takes numbers, found {}", x.fact)));
    }
    let fact = fact(site)?;
    let whole = matches!(reduced(site)?, Reduced::Axes(flags) if flags == [true]);
    let content = x.sizes().filter(|_| whole).and_then(|elements| -> Option<Content> {
        let mut elements = elements.into_iter();
        let first = elements.next()?;
        contents::of(fact.dtype, &vec![1; fact.rank()], vec![elements.fold(first, |a, b| f(&a, &b))])
    });
    Ok(vec![Inferred { fact, content }])
}
