//! Sampling at the points of a grid.

use super::{Def, Site};
use crate::axes::{input, output};
use crate::{AxisMap, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("GridSample", sample).axes(|_, _| {
        AxisMap::default()
            .same(input(0, 0), output(0, 0))
            .same(input(1, 0), output(0, 0))
            .same(input(0, 1), output(0, 1))
    }),
    Def::new("AffineGrid", affine),
];

/// `[N, C, D..]` at the points `[N, P.., axes]` gives `[N, C, P..]`.
fn sample(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, grid) = (site.fact(0)?, site.fact(1)?);
    let misfit = || Error::Op(format!("grid {grid} does not fit {x}"));
    let ([n, c, ..], [_, points @ .., axes]) = (x.shape.as_slice(), grid.shape.as_slice()) else {
        return Err(misfit());
    };
    if x.rank() < 3 || grid.rank() != x.rank() || !axes.may_equal(&Dim::Known(x.rank() - 2)) {
        return Err(misfit());
    }
    let shape = [n, c].into_iter().chain(points).cloned();
    Ok(vec![Inferred::new(x.dtype, shape)])
}

/// Matrices `[N, axes, axes + 1]` and the size `[N, C, D..]` give `[N, D.., axes]`.
fn affine(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let theta: &Fact = site.fact(0)?;
    let [n, axes, _] = theta.shape.as_slice() else {
        return Err(Error::Op(format!("matrices must have rank 3, found {theta}")));
    };
    let sizes = site.known(1)?.sizes();
    let axes = match (axes.known(), &sizes) {
        (Some(n), _) => n,
        (None, Some(s)) if s.len() > 2 => s.len() - 2,
        _ => return Err(Error::Op(format!("the number of axes of {theta} must be known"))),
    };
    if axes > 8 || sizes.as_ref().is_some_and(|s| s.len() != axes + 2) {
        return Err(Error::Op(format!("the size does not fit matrices {theta}")));
    }
    let size = |i: usize| sizes.as_ref().and_then(|s| s.get(i + 2)).and_then(|s| s.dim());
    let spatial = (0..axes).map(|i| size(i).unwrap_or_else(|| site.unknown(format!("axis{i}"))));
    let shape: Vec<Dim> = std::iter::once(n.clone()).chain(spatial).chain([Dim::Known(axes)]).collect();
    Ok(vec![Inferred::new(theta.dtype, shape)])
}
