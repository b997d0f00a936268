//! Normalizations by mean and variance.

use super::activation::onto;
use super::unary::float;
use super::{Def, Site, elementwise};
use crate::axes::{input, output};
use crate::{AxisMap, DType, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("BatchNormalization", batch).axes(channelwise),
    Def::new("InstanceNormalization", instance).axes(instance_axes),
    Def::new("GroupNormalization", group).axes(group_axes),
    Def::new("LayerNormalization", layer).axes(trailing),
    Def::new("RMSNormalization", rms).axes(trailing),
    Def::new("MeanVarianceNormalization", |s| {
        let rank = s.fact(0)?.rank();
        s.op.ints("axes")?.unwrap_or(&[0, 2, 3]).iter().try_for_each(|&a| s.axis(a, rank).map(drop))?;
        float(s)
    })
    .axes(mean_variance_axes),
];

/// The size of axis 1 of operand 0.
pub(super) fn channels<'a>(site: &Site<'a>) -> Result<&'a Dim> {
    let x = site.fact(0)?;
    x.shape.get(1).ok_or_else(|| Error::Op(format!("takes a value with channels in axis 1, found {x}")))
}

/// Operands that hold one float for each of `count`.
fn vectors(site: &Site<'_>, indices: std::ops::RangeInclusive<usize>, count: &Dim) -> Result<()> {
    for i in indices {
        let v = site.fact(i)?;
        if !v.dtype.is_float() || !matches!(v.shape.as_slice(), [n] if n.may_equal(count)) {
            return Err(Error::Op(format!("input {i} must have shape [{count}], found {v}")));
        }
    }
    Ok(())
}

/// Version 14 and later say whether it trains by an attribute, earlier ones by wanting more than one output.
fn batch(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let op = site.op;
    if op.version < 9 && op.int("spatial")?.unwrap_or(1) == 0 {
        return Err(Error::Op("`spatial` 0 is not supported".into()));
    }
    let x = site.fact(0)?;
    let count = if x.rank() == 1 { &Dim::Known(1) } else { channels(site)? };
    vectors(site, 1..=4, count)?;
    let mut out = float(site)?;
    let more = op.outputs.iter().skip(1).any(|&w| w);
    if op.version < 14 && more {
        return Err(Error::Op("training before version 14 is not supported".into()));
    }
    if op.version >= 14 && op.flag("training_mode")? {
        out.push(site.fact(3)?.clone().into());
        out.push(site.fact(4)?.clone().into());
    }
    Ok(out)
}

fn instance(site: &Site<'_>) -> Result<Vec<Inferred>> {
    vectors(site, 1..=2, channels(site)?)?;
    float(site)
}

/// Scale and bias are by group before version 21 and by channel since.
fn group(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let groups = site.op.size("num_groups")?.filter(|&n| n > 0);
    let groups = groups.ok_or_else(|| Error::Op("attribute `num_groups` must be 1 or more".into()))?;
    let count = channels(site)?;
    if count.known().is_some_and(|c| c % groups != 0) {
        return Err(Error::Op(format!("{count} channels do not make {groups} groups")));
    }
    let wanted = if site.op.version < 21 { Dim::Known(groups) } else { count.clone() };
    vectors(site, 1..=2, &wanted)?;
    float(site)
}

/// The first axis of those that are normalized together; they are the last ones.
fn first(site: &Site<'_>) -> Result<usize> {
    site.axis(site.op.int("axis")?.unwrap_or(-1), site.fact(0)?.rank())
}

/// Computed and handed out in another type than `f32` only where the values have that.
fn stash(site: &Site<'_>) -> Result<DType> {
    Ok(site.op.dtype("stash_type")?.unwrap_or(DType::F32))
}

fn layer(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    let first = first(site)?;
    onto(x, site.fact(1)?, "the scale")?;
    if let Some(bias) = site.get(2) {
        onto(x, bias.fact, "the bias")?;
    }
    let shape: Vec<Dim> =
        x.shape.iter().enumerate().map(|(i, d)| if i < first { d.clone() } else { Dim::Known(1) }).collect();
    let statistic = Fact { dtype: stash(site)?, shape };
    let mut out = float(site)?;
    out.extend([statistic.clone().into(), statistic.into()]);
    Ok(out)
}

/// The result has the scale's type.
fn rms(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, scale) = (site.fact(0)?, site.fact(1)?);
    first(site)?;
    stash(site)?;
    float(site)?;
    onto(x, scale, "the scale")?;
    Ok(vec![Fact { dtype: scale.dtype, shape: x.shape.clone() }.into()])
}

/// Every axis passes, and channels are those of all further operands.
fn channelwise(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let mut map = elementwise(site, outputs);
    if site.get(0).is_some_and(|k| k.fact.rank() > 1) {
        let operands = site.inputs.iter().flatten().count();
        map = (1..operands).fold(map, |m, i| m.same(input(i, 0), output(0, 1)));
        map = (1..outputs.len()).fold(map, |m, i| m.same(output(i, 0), output(0, 1)));
    }
    map
}

/// `map` with mean and variance over `axes` of the result.
fn over(map: AxisMap, axes: impl IntoIterator<Item = usize>) -> AxisMap {
    axes.into_iter().fold(map, |m, i| m.statistic(output(0, i)))
}

fn rank(site: &Site<'_>) -> usize {
    site.get(0).map_or(0, |k| k.fact.rank())
}

fn instance_axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    over(channelwise(site, outputs), 2..rank(site))
}

fn mean_variance_axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let axes = site.op.ints("axes").ok().flatten().unwrap_or(&[0, 2, 3]);
    over(elementwise(site, outputs), axes.iter().filter_map(|&a| site.axis(a, rank(site)).ok()))
}

/// All groups keep as many channels.
fn group_axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let map = if site.op.version < 21 { elementwise(site, outputs) } else { channelwise(site, outputs) };
    let map = over(map, 1..rank(site));
    let groups = site.op.size("num_groups").ok().flatten().filter(|&g| g > 0);
    match (groups, channels(site).ok().and_then(Dim::known)) {
        (Some(groups), Some(count)) => map.tied(output(0, 1), groups, count / groups),
        _ => map,
    }
}

/// Every axis passes, and the last ones are those of scale and bias.
fn trailing(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let mut map = elementwise(site, outputs);
    let Some(x) = site.get(0).map(|k| k.fact) else { return map };
    map = over(map, first(site).unwrap_or(0)..x.rank());
    for (n, k) in site.inputs.iter().flatten().enumerate().skip(1) {
        let Some(skip) = x.rank().checked_sub(k.fact.rank()) else { continue };
        for (i, (d, o)) in k.fact.shape.iter().zip(x.shape.iter().skip(skip)).enumerate() {
            if d == o {
                map = map.same(input(n, i), output(0, i + skip));
            }
        }
    }
    map
}
