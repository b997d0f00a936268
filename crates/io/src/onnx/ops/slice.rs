//! `Slice`.

use occam_graph::Array;
use occam_graph::ops::Slice;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::{Site, ints};
use crate::onnx::to_i64;

impl OnnxForm for Slice {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        if at.opset() < 10 {
            let one = |name: &str, value: usize| ints(name, &[value]);
            let bounds = [one("starts", self.start)?, one("ends", self.end)?, one("axes", self.axis)?];
            at.whole("Slice", bounds);
            return Ok(());
        }
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
