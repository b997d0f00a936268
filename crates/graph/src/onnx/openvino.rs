//! Operators of OpenVINO's own set.

use super::{Def, OPENVINO, Site};
use crate::axes::{input, output};
use crate::{AxisMap, DType, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[Def::new("FakeQuantize", fake_quantize).of(OPENVINO).axes(axes)];

/// Bounds that broadcast to operand 0, which keeps its shape.
fn fake_quantize(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    if x.dtype != DType::F32 {
        return Err(Error::Op(format!("takes f32, found {x}")));
    }
    match site.op.int("levels")? {
        Some(2..) => {}
        levels => return Err(Error::Op(format!("needs two `levels` or more, found {levels:?}"))),
    }
    for i in 1..5 {
        let bound = site.fact(i)?;
        let pairs = bound.shape.iter().rev().zip(x.shape.iter().rev());
        let fits = bound.rank() <= x.rank()
            && pairs.into_iter().all(|(b, of)| *b == Dim::Known(1) || b.may_equal(of));
        if bound.dtype != x.dtype || !fits {
            return Err(Error::Op(format!("bound {bound} does not fit {x}")));
        }
    }
    Ok(vec![Inferred::new(x.dtype, x.shape.iter().cloned())])
}

fn axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let map = super::elementwise(site, outputs);
    let Ok(x) = site.fact(0) else { return map };
    (1..5).fold(map, |map, i| {
        let (Ok(bound), Some(at)) = (site.fact(i), site.op.position(i)) else { return map };
        let Some(missing) = x.rank().checked_sub(bound.rank()) else { return map };
        let wide = bound.shape.iter().enumerate().filter(|(_, d)| **d != Dim::Known(1));
        wide.fold(map, |map, (axis, _)| map.same(input(at, axis), output(0, axis + missing)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{Attribute, Onnx};
    use crate::ops::OpFamily;

    #[test]
    fn bounds_broadcast() {
        let op = |levels| {
            let op = Onnx { domain: OPENVINO.into(), ..Onnx::new("FakeQuantize", 1, 5) };
            op.with("levels", Attribute::Int(levels))
        };
        let (x, one, rows) = (Fact::f32([4usize, 2, 3]), Fact::f32([1usize]), Fact::f32([4usize, 1, 1]));
        assert_eq!(op(256).infer(&[&x, &one, &one, &one, &one]).unwrap(), vec![x.clone()]);
        assert_eq!(op(256).infer(&[&x, &rows, &rows, &one, &one]).unwrap(), vec![x.clone()]);
        assert!(op(1).infer(&[&x, &one, &one, &one, &one]).is_err());
        let two = Fact::f32([2usize]);
        assert!(op(16).infer(&[&x, &two, &one, &one, &one]).is_err());
    }
}
