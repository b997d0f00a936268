//! Operators of OpenVINO's own set.

use occam_graph::Array;
use occam_graph::onnx::OPENVINO;

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::view::{broadcast_strides, strides, walk};

pub(super) const TABLE: &[Eval] = &[Eval::new("FakeQuantize", fake_quantize).of(OPENVINO)];

/// `round((x − il) / (ih − il) · (levels − 1)) / (levels − 1) · (oh − ol) + ol`, halves to even; `ol` where `x` is at most the
/// lesser of `il` and `ih`, `oh` where it is above the larger.
fn fake_quantize(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let levels = match c.op.int("levels")? {
        Some(n @ 2..) => n as f32,
        levels => return refuse(format!("needs two `levels` or more, found {levels:?}")),
    };
    let shape = x.shape();
    let bounds = (1..5).map(|i| c.array(i)).collect::<Result<Vec<_>>>()?;
    let [il, ih, ol, oh] = bounds.as_slice() else { return refuse("takes four bounds") };
    let steps = [
        strides(shape),
        broadcast_strides(il.shape(), shape),
        broadcast_strides(ih.shape(), shape),
        broadcast_strides(ol.shape(), shape),
        broadcast_strides(oh.shape(), shape),
    ];
    let (x, il, ih, ol, oh) = (x.as_f32()?, il.as_f32()?, ih.as_f32()?, ol.as_f32()?, oh.as_f32()?);
    let mut y = x.to_vec();
    walk(shape, [&steps[0], &steps[1], &steps[2], &steps[3], &steps[4]], |[i, a, b, e, f]| {
        if let (Some(y), Some(&il), Some(&ih), Some(&ol), Some(&oh)) =
            (y.get_mut(i), il.get(a), ih.get(b), ol.get(e), oh.get(f))
        {
            *y = if *y <= il.min(ih) {
                ol
            } else if *y > il.max(ih) {
                oh
            } else {
                let step = ((*y - il) / (ih - il) * (levels - 1.0)).round_ties_even();
                step / (levels - 1.0) * (oh - ol) + ol
            };
        }
    });
    Ok(vec![Array::from_f32(shape, y)?])
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;
    use crate::ops::evaluate;

    #[test]
    fn steps_lie_between_the_bounds() {
        let f = |shape: &[usize], v: &[f32]| Array::from_f32(shape, v.to_vec()).unwrap();
        let op = Onnx { domain: OPENVINO.into(), ..Onnx::new("FakeQuantize", 1, 5) };
        let op = op.with("levels", Attribute::Int(4));
        let x = f(&[2, 4], &[-9.0, -0.2, 0.6, 9.0, -9.0, 0.3, 1.2, 9.0]);
        let (low, high) = (f(&[2, 1], &[-1.0, 0.0]), f(&[2, 1], &[2.0, 3.0]));
        let y = evaluate(&op, &[x.clone(), low.clone(), high.clone(), low, high]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [-1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 1.0, 3.0]);
        let [zero, one] = [0.0, 1.0].map(|v| f(&[1], &[v]));
        let y = evaluate(&op, &[x, zero.clone(), one.clone(), one, zero]).unwrap();
        for (found, wanted) in y[0].as_f32().unwrap().iter().zip([1.0, 1.0, 1.0 / 3.0, 0.0f32]) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
    }
}
