//! Convolutions.

use super::window::{Window, sizes};
use super::{Def, Site};
use crate::axes::{Block, input, output};
use crate::{AxisMap, Bindings, DType, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Conv", |s| conv(s, 1, Some(2), None))
        .axes(|s, _| axes(s, 1, Some(2)))
        .macs(|s, o, b| macs(s, 1, o, b)),
    Def::new("ConvInteger", |s| conv(s, 1, None, Some(DType::I32)))
        .axes(|s, _| axes(s, 1, None))
        .macs(|s, o, b| macs(s, 1, o, b)),
    Def::new("QLinearConv", |s| conv(s, 3, Some(8), Some(s.fact(7)?.dtype)))
        .axes(|s, _| axes(s, 3, Some(8)))
        .macs(|s, o, b| macs(s, 3, o, b)),
    Def::new("ConvTranspose", transpose).axes(transpose_axes).macs(transpose_macs),
    Def::new("DeformConv", |s| conv(s, 1, Some(3), None))
        .axes(|s, _| axes(s, 1, Some(3)))
        .macs(|s, o, b| macs(s, 1, o, b)),
];

/// Groups of channels of an operator.
fn groups(site: &Site<'_>) -> Result<usize> {
    match site.op.size("group")?.unwrap_or(1) {
        0 => Err(Error::Op("attribute `group` must be at least 1".into())),
        n => Ok(n),
    }
}

/// The window of an operator with `weight` `[.., .., K..]`; none where its size is not known.
fn window(site: &Site<'_>, weight: &Fact) -> Result<Option<Window>> {
    let rank = weight.rank().saturating_sub(2);
    let kernel: Option<Vec<usize>> = weight.shape.iter().skip(2).map(Dim::known).collect();
    let given = match site.op.ints("kernel_shape")? {
        Some(_) => Some(sizes(site.op, "kernel_shape", rank, 1, 1)?),
        None => None,
    };
    match (kernel, given) {
        (Some(k), Some(g)) if k != g => {
            Err(Error::Op(format!("attribute `kernel_shape` {g:?} differs from the weight's {k:?}")))
        }
        (Some(k), _) | (None, Some(k)) => Ok(Some(Window::of(site.op, k)?)),
        (None, None) => Ok(None),
    }
}

/// Input and weight, of one rank of at least 3.
fn operands<'a>(site: &Site<'a>, weight: usize) -> Result<(&'a Fact, &'a Fact)> {
    let (x, w) = (site.fact(0)?, site.fact(weight)?);
    if x.rank() < 3 || x.rank() != w.rank() {
        return Err(Error::Op(format!("input {x} and weight {w} must have the same rank of at least 3")));
    }
    Ok((x, w))
}

fn check_bias(site: &Site<'_>, bias: Option<usize>, channels: &Dim) -> Result<()> {
    match bias.and_then(|i| site.get(i)) {
        Some(b) if !matches!(b.fact.shape.as_slice(), [d] if d.may_equal(channels)) => {
            Err(Error::Op(format!("bias {} must have {channels} elements", b.fact)))
        }
        _ => Ok(()),
    }
}

/// `x [N, C, D..]` with `weight [O, C / groups, K..]` gives `[N, O, P..]`, `P` the positions of the window.
fn conv(site: &Site<'_>, weight: usize, bias: Option<usize>, dtype: Option<DType>) -> Result<Vec<Inferred>> {
    let (x, w) = operands(site, weight)?;
    let groups = groups(site)?;
    let ([n, c, spatial @ ..], [o, per_group, ..]) = (x.shape.as_slice(), w.shape.as_slice()) else {
        return Err(Error::Op(format!("{x} and {w} do not fit")));
    };
    if let (Some(c), Some(per_group)) = (c.known(), per_group.known())
        && per_group.checked_mul(groups) != Some(c)
    {
        return Err(Error::Op(format!("weight {w} in {groups} groups does not fit {c} input channels")));
    }
    if o.known().is_some_and(|o| !o.is_multiple_of(groups)) {
        return Err(Error::Op(format!("{o} output channels cannot be split into {groups} groups")));
    }
    check_bias(site, bias, o)?;
    let positions = match window(site, w)? {
        Some(window) => window.outputs(site, spatial)?,
        None => (0..spatial.len()).map(|i| site.unknown(format!("axis{i}"))).collect(),
    };
    let shape: Vec<Dim> = [n.clone(), o.clone()].into_iter().chain(positions).collect();
    Ok(vec![Inferred::new(dtype.unwrap_or(x.dtype), shape)])
}

/// As of [`crate::ops::Conv`].
fn axes(site: &Site<'_>, weight: usize, bias: Option<usize>) -> AxisMap {
    let at = |index: usize| site.op.position(index).unwrap_or(index);
    let (w_at, map) = (at(weight), AxisMap::default());
    let mut map = map.same(input(0, 0), output(0, 0)).same(input(w_at, 0), output(0, 1));
    if let Some(b) = bias.and_then(|b| site.op.position(b)) {
        map = map.same(input(b, 0), output(0, 1));
    }
    let (Ok(w), Ok(groups)) = (site.fact(weight), groups(site)) else { return map };
    let known = |axis: usize| w.shape.get(axis).and_then(Dim::known);
    match (groups, known(1), known(0)) {
        (1, _, _) => map.same(input(0, 1), input(w_at, 1)),
        (groups, Some(1), Some(o)) => {
            let each = Block { a_start: 0, b_start: 0, count: groups, a_step: 1, b_step: o / groups };
            map.blocks(input(0, 1), output(0, 1), vec![each])
        }
        (groups, Some(n), Some(o)) if groups.checked_mul(n).is_some_and(|c| c <= 1 << 20) => {
            let runs = (0..groups).map(|g| Block::range(g * n, 0, n)).collect();
            map.blocks(input(0, 1), input(w_at, 1), runs).tied(output(0, 1), groups, o / groups)
        }
        _ => map,
    }
}

/// `N · O · P.. · (C / groups) · K..`
fn macs(site: &Site<'_>, weight: usize, outputs: &[&Fact], bindings: &Bindings) -> Result<u64> {
    let Some(out) = outputs.first() else { return Ok(0) };
    let w = site.fact(weight)?;
    let filter = Fact { dtype: w.dtype, shape: w.shape.iter().skip(1).cloned().collect() };
    Ok(out.numel(bindings)?.saturating_mul(filter.numel(bindings)?))
}

/// `x [N, C, D..]` with `weight [C, O / groups, K..]` gives `[N, O, D'..]`, where
/// `D' = stride · (D − 1) + output_padding + reach − before − after`, or what `output_shape` says.
fn transpose(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, w) = operands(site, 1)?;
    let groups = groups(site)?;
    let ([n, c, spatial @ ..], [of, per_group, ..]) = (x.shape.as_slice(), w.shape.as_slice()) else {
        return Err(Error::Op(format!("{x} and {w} do not fit")));
    };
    if !c.may_equal(of) || c.known().is_some_and(|c| !c.is_multiple_of(groups)) {
        return Err(Error::Op(format!("weight {w} in {groups} groups does not fit {c} input channels")));
    }
    let o = per_group.times(&Dim::Known(groups))?;
    check_bias(site, Some(2), &o)?;
    let window = window(site, w)?;
    let rank = spatial.len();
    let given = match site.op.ints("output_shape")?.filter(|l| !l.is_empty()) {
        // Some exporters count the batch and the channels too.
        Some(list) if list.len() == rank + 2 => Some(list.iter().skip(2).copied().collect::<Vec<i64>>()),
        Some(list) if list.len() == rank => Some(list.to_vec()),
        Some(list) => return Err(Error::Op(format!("output_shape {list:?} must have {rank} elements"))),
        None => None,
    };
    let extra = sizes(site.op, "output_padding", rank, 0, 0)?;
    let mut shape = vec![n.clone(), o];
    for (i, d) in spatial.iter().enumerate() {
        let stated = given.as_ref().and_then(|g| g.get(i)).map(|&n| usize::try_from(n));
        let size = match (stated, &window) {
            (Some(Ok(size)), _) => Dim::Known(size),
            (Some(Err(_)), _) => return Err(Error::Op("output_shape has a negative size".into())),
            (None, None) => site.unknown(format!("axis{i}")),
            (None, Some(window)) => {
                let stride = window.stride.get(i).copied().unwrap_or(1);
                let scaled = d.times(&Dim::Known(stride))?;
                if window.same().is_some() {
                    scaled
                } else {
                    let (before, after) = window.given(i);
                    let extra = extra.get(i).copied().unwrap_or(0);
                    let plus = (extra + window.reach(i)?) as i64 - (stride + before + after) as i64;
                    scaled.offset(plus)?
                }
            }
        };
        shape.push(size);
    }
    Ok(vec![Inferred::new(x.dtype, shape)])
}

/// With groups, output `i` of a group is position `i` of the weight's axis 1, in every group; all groups keep as many inputs,
/// unless a channel is a group of its own.
fn transpose_axes(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let mut map = AxisMap::default().same(input(0, 0), output(0, 0)).same(input(0, 1), input(1, 0));
    if let Some(b) = site.op.position(2) {
        map = map.same(input(b, 0), output(0, 1));
    }
    let (Ok(w), Ok(groups)) = (site.fact(1), groups(site)) else { return map };
    let known = |axis: usize| w.shape.get(axis).and_then(Dim::known);
    match (groups, known(0), known(1)) {
        (1, _, _) => map.same(input(1, 1), output(0, 1)),
        (groups, Some(c), Some(n)) if c == groups && c.saturating_mul(n) <= 1 << 20 => {
            let each = Block { a_start: 0, b_start: 0, count: c, a_step: 1, b_step: n };
            map.blocks(input(0, 1), output(0, 1), vec![each])
        }
        (groups, Some(c), Some(n)) if groups.saturating_mul(n) <= 1 << 20 => {
            let runs = (0..groups).map(|g| Block::range(g * n, 0, n)).collect();
            map.blocks(output(0, 1), input(1, 1), runs).tied(input(0, 1), groups, c / groups)
        }
        _ => map,
    }
}

/// `N · C · D.. · (O / groups) · K..`
fn transpose_macs(site: &Site<'_>, _: &[&Fact], bindings: &Bindings) -> Result<u64> {
    let w = site.fact(1)?;
    let filter = Fact { dtype: w.dtype, shape: w.shape.iter().skip(1).cloned().collect() };
    Ok(site.fact(0)?.numel(bindings)?.saturating_mul(filter.numel(bindings)?))
}

#[cfg(test)]
mod tests {
    use super::super::{Attribute, Onnx};
    use super::*;
    use crate::ops::OpFamily;

    fn op(name: &str, inputs: usize, ints: &[(&str, &[i64])]) -> Onnx {
        let mut op = Onnx::new(name, 22, inputs);
        for (k, v) in ints {
            op.attributes.insert((*k).into(), Attribute::Ints(v.to_vec()));
        }
        op
    }

    #[test]
    fn sizes_stay_symbolic() {
        let x = Fact::f32([Dim::symbol("N"), 3.into(), Dim::symbol("H"), 8.into()]);
        let w = Fact::f32([4usize, 3, 3, 3]);
        let out = op("Conv", 2, &[("pads", &[1, 1, 1, 1]), ("strides", &[2, 2])]).infer(&[&x, &w]).unwrap();
        assert_eq!(out[0].to_string(), "f32[N, 4, (floor((H - 1) / 2) + 1), 4]");
        let w = Fact::f32([3usize, 4, 2, 2]);
        let out = op("ConvTranspose", 2, &[("strides", &[2, 2])]).infer(&[&x, &w]).unwrap();
        assert_eq!(out[0].shape[3], Dim::Known(16));
    }

    #[test]
    fn misfits_are_named() {
        let x = Fact::f32([1usize, 3, 8, 8]);
        for (w, ints, wanted) in [
            (Fact::f32([4usize, 5, 3, 3]), ("pads", [0i64; 4].as_slice()), "does not fit 3 input channels"),
            (Fact::f32([4usize, 3, 9, 9]), ("pads", &[0; 4]), "larger than"),
            (Fact::f32([4usize, 3, 3]), ("pads", &[0; 4]), "same rank"),
            (Fact::f32([4usize, 3, 3, 3]), ("kernel_shape", &[5, 5]), "differs from the weight"),
        ] {
            let error = op("Conv", 2, &[ints]).infer(&[&x, &w]).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
