//! Elements in another arrangement: blocks and depth, sequences turned, triangles, columns and images.

use super::contents::is_small;
use super::shape::length;
use super::{Def, NarrowUse, Site};
use crate::axes::{Axis, Block, input, output};
use crate::{AxisMap, Dim, Error, Fact, Inferred, Result, Size};

pub(super) const TABLE: &[Def] = &[
    Def::new("DepthToSpace", depth_to_space).axes(depth_to_space_axes).narrow(NarrowUse::Moved),
    Def::new("SpaceToDepth", space_to_depth).axes(space_to_depth_axes).narrow(NarrowUse::Moved),
    Def::new("ReverseSequence", reverse).axes(|s, _| from(s, 2, 0)).narrow(NarrowUse::Moved),
    Def::new("Trilu", trilu).axes(|s, _| from(s, 0, 2)),
    Def::new("Col2Im", col2im).axes(batch_only),
];

fn batch_only(_: &Site<'_>, _: &[&Fact]) -> AxisMap {
    AxisMap::default().same(input(0, 0), output(0, 0))
}

/// All axes pass through but the first ones and the last ones, where positions matter.
fn from(site: &Site<'_>, first: usize, last: usize) -> AxisMap {
    let rank = site.get(0).map_or(0, |x| x.fact.rank());
    (first..rank.saturating_sub(last)).fold(AxisMap::default(), |m, i| m.same(input(0, i), output(0, i)))
}

/// Runs that tie `few` channels to `blocks` times as many: channel `c` to `c · blocks ..`, or where the channel is the inner one
/// to `k · few + c`.
fn spread(map: AxisMap, few: (Axis, &Dim), many: Axis, blocks: usize, inner: bool) -> AxisMap {
    let Some(count) = few.1.known() else { return map };
    let runs = if inner {
        (0..blocks).map(|k| Block::range(0, k * count, count)).collect()
    } else {
        vec![Block { a_start: 0, b_start: 0, count, a_step: 1, b_step: blocks }]
    };
    map.blocks(few.0, many, runs)
}

fn depth_to_space_axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let map = batch_only(site, outputs);
    let (Ok((_, _, block)), Some(few)) = (image(site), outputs.first().and_then(|y| y.shape.get(1))) else {
        return map;
    };
    let inner = !matches!(site.op.text("mode"), Ok(Some("CRD")));
    spread(map, (output(0, 1), few), input(0, 1), block * block, inner)
}

fn space_to_depth_axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let map = batch_only(site, outputs);
    match image(site) {
        Ok((_, [_, few, ..], block)) => spread(map, (input(0, 1), few), output(0, 1), block * block, true),
        Err(_) => map,
    }
}

fn image<'a>(site: &Site<'a>) -> Result<(&'a Fact, [&'a Dim; 4], usize)> {
    let x = site.fact(0)?;
    let [n, c, h, w] = x.shape.as_slice() else { return Err(Error::Op(format!("takes images, found {x}"))) };
    match site.op.size("blocksize")? {
        Some(block) if (1..1 << 16).contains(&block) => Ok((x, [n, c, h, w], block)),
        None => Err(Error::Op("attribute `blocksize` is missing".into())),
        Some(other) => Err(Error::Op(format!("a block size of {other} is not supported"))),
    }
}

/// `dim / n`, which must leave nothing.
fn whole(dim: &Dim, n: usize) -> Result<Dim> {
    match dim.known() {
        Some(size) if size % n != 0 => Err(Error::Op(format!("size {size} is no multiple of {n}"))),
        _ => dim.floor_div(n),
    }
}

fn made(site: &Site<'_>, x: &Fact, dims: [Dim; 4]) -> Vec<Inferred> {
    let dims = dims.into_iter().enumerate().map(|(i, d)| if is_small(&d) { d } else { site.unknown(i) });
    vec![Inferred::new(x.dtype, dims)]
}

fn depth_to_space(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, [n, c, h, w], block) = image(site)?;
    let side = Dim::Known(block);
    Ok(made(site, x, [n.clone(), whole(c, block * block)?, h.times(&side)?, w.times(&side)?]))
}

fn space_to_depth(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, [n, c, h, w], block) = image(site)?;
    Ok(made(site, x, [n.clone(), c.times(&Dim::Known(block * block))?, whole(h, block)?, whole(w, block)?]))
}

fn reverse(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    let axes = [site.op.int("batch_axis")?.unwrap_or(1), site.op.int("time_axis")?.unwrap_or(0)];
    match axes {
        [0, 1] | [1, 0] if x.rank() >= 2 => Ok(vec![x.clone().into()]),
        _ => Err(Error::Op(format!("batch and time axes {axes:?} of {x} are not 0 and 1"))),
    }
}

fn trilu(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    if x.rank() < 2 {
        return Err(Error::Op(format!("takes matrices, found {x}")));
    }
    Ok(vec![x.clone().into()])
}

fn col2im(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, image, block) = (site.fact(0)?, site.known(1)?, site.known(2)?);
    let [n, columns, _] = x.shape.as_slice() else {
        return Err(Error::Op(format!("takes batches of columns, found {x}")));
    };
    let rank = length(&image, "the image's shape")?;
    let sizes = image.sizes().unwrap_or_else(|| vec![Size::Unknown; rank]);
    let area = block.ints().and_then(|b| {
        b.iter().try_fold(1usize, |all, &n| all.checked_mul(usize::try_from(n).ok()?)).filter(|&n| n > 0)
    });
    let channels = match area {
        Some(area) => whole(columns, area)?,
        None => site.unknown(1),
    };
    let spatial = sizes.iter().enumerate().map(|(i, s)| s.dim().unwrap_or_else(|| site.unknown(i + 2)));
    let dims: Vec<Dim> = [n.clone(), channels].into_iter().chain(spatial).collect();
    Ok(vec![Inferred::new(x.dtype, dims)])
}
