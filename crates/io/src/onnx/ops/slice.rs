//! `Slice`.

use occam_graph::Array;
use occam_graph::ops::Slice;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::Site;
use crate::onnx::to_i64;

impl OnnxForm for Slice {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let mut one = |suffix: &str, value: usize| -> Result<String> {
            at.constant(suffix, &Array::from_i64([1], vec![to_i64(value)?])?)
        };
        let (starts, ends, axes) =
            (one("starts", self.start)?, one("ends", self.end)?, one("axes", self.axis)?);
        let x = at.input(0)?.0.to_owned();
        at.last("Slice", &[&x, &starts, &ends, &axes], []);
        Ok(())
    }
}
