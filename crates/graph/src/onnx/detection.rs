//! Boxes and regions of interest.

use super::{Def, Site};
use crate::axes::{input, output};
use crate::{AxisMap, DType, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("NonMaxSuppression", |s| {
        let (boxes, scores) = (s.fact(0)?, s.fact(1)?);
        if boxes.rank() != 3 || scores.rank() != 3 {
            return Err(Error::Op(format!("boxes {boxes} and scores {scores} must have rank 3")));
        }
        Ok(vec![Inferred::new(DType::I64, [s.unknown("selected"), Dim::Known(3)])])
    }),
    Def::new("RoiAlign", |s| {
        let size = |name| Ok(Dim::Known(s.op.size(name)?.unwrap_or(1)));
        regions(s, [size("output_height")?, size("output_width")?])
    })
    .axes(channels),
    Def::new("MaxRoiPool", |s| match s.op.ints("pooled_shape")? {
        Some(&[h, w]) => match (usize::try_from(h), usize::try_from(w)) {
            (Ok(h), Ok(w)) => regions(s, [h.into(), w.into()]),
            _ => Err(Error::Op("attribute `pooled_shape` is negative".into())),
        },
        _ => Err(Error::Op("attribute `pooled_shape` must be two sizes".into())),
    })
    .axes(channels),
];

/// `[N, C, H, W]` and regions `[R, ..]` give `[R, C, OH, OW]`.
fn regions(site: &Site<'_>, [h, w]: [Dim; 2]) -> Result<Vec<Inferred>> {
    let (x, rois) = (site.fact(0)?, site.fact(1)?);
    let ([_, c, _, _], [r, _]) = (x.shape.as_slice(), rois.shape.as_slice()) else {
        return Err(Error::Op(format!("takes images of rank 4 and regions of rank 2, found {x} and {rois}")));
    };
    Ok(vec![Inferred::new(x.dtype, [r.clone(), c.clone(), h, w])])
}

fn channels(_: &Site<'_>, _: &[&Fact]) -> AxisMap {
    AxisMap::default().same(input(0, 1), output(0, 1)).same(input(1, 0), output(0, 0))
}
