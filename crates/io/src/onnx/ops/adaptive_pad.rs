//! `Pad`, by numbers where the sizes are known, else by what a run finds.

use occam_graph::ops::AdaptivePad;
use occam_graph::{Array, Dim};

use super::OnnxForm;
use crate::Result;
use crate::onnx::proto::AttributeProto;
use crate::onnx::site::Site;
use crate::onnx::to_i64;

impl OnnxForm for AdaptivePad {
    /// ONNX lists the zeros before all axes, then those behind them.
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let (x, fact) = at.input(0)?;
        let sizes: Option<Vec<usize>> = fact.shape.iter().skip(2).map(Dim::known).collect();
        let x = x.to_owned();
        let pads = match sizes.as_deref() {
            Some(&[height, width]) => {
                let ((top, bottom), (left, right)) = (self.padding(0, height)?, self.padding(1, width)?);
                let [top, bottom, left, right] =
                    [to_i64(top)?, to_i64(bottom)?, to_i64(left)?, to_i64(right)?];
                at.constant("pads", &Array::from_i64([8], vec![0, 0, top, left, 0, 0, bottom, right])?)?
            }
            _ => found_by_a_run(self, at, &x)?,
        };
        at.last("Pad", &[&x, &pads], []);
        Ok(())
    }
}

/// `max((−size mod stride) + reach − stride, 0)` zeros along each axis. `Mod` has the sign of its second operand.
fn found_by_a_run(op: &AdaptivePad, at: &mut Site<'_>, x: &str) -> Result<String> {
    let excess = op.excess()?;
    let stride = vec![to_i64(op.stride[0])?, to_i64(op.stride[1])?];
    let mut pair = |suffix: &str, values: Vec<i64>| -> Result<String> {
        at.constant(suffix, &Array::from_i64([values.len()], values)?)
    };
    let (first, behind, zeros) =
        (pair("first", vec![2])?, pair("behind", vec![4])?, pair("zeros", vec![0, 0])?);
    let (stride, more) = (pair("stride", stride)?, pair("excess", excess.to_vec())?);
    let shape = at.before("shape", "Shape", &[x], []);
    let size = at.before("size", "Slice", &[&shape, &first, &behind], []);
    let negative = at.before("negative", "Neg", &[&size], []);
    let rest = at.before("rest", "Mod", &[&negative, &stride], []);
    let mut total = at.before("total", "Add", &[&rest, &more], []);
    if excess.iter().any(|&e| e < 0) {
        total = at.before("zeros", "Max", &[&total, &zeros], []);
    }
    let (before, after) = if op.corner {
        (zeros.clone(), total)
    } else {
        let two = at.constant("two", &Array::from_i64([1], vec![2])?)?;
        let before = at.before("before", "Div", &[&total, &two], []);
        let after = at.before("after", "Sub", &[&total, &before], []);
        (before, after)
    };
    let axis = AttributeProto::int("axis", 0);
    Ok(at.before("pads", "Concat", &[&zeros, &before, &zeros, &after], [axis]))
}
