//! `Flatten`, or `Reshape` where more than one axis stays.

use occam_graph::Array;
use occam_graph::ops::Flatten;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::{Site, int};

impl OnnxForm for Flatten {
    /// ONNX's `Flatten` always gives two axes. In the shape of a `Reshape`, 0 keeps an axis and −1 takes what is left.
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        if self.axis == 1 {
            at.whole("Flatten", [int("axis", self.axis)?]);
            return Ok(());
        }
        let mut shape = vec![0; self.axis];
        shape.push(-1);
        let shape = at.constant("shape", &Array::from_i64([shape.len()], shape)?)?;
        let x = at.input(0)?.0.to_owned();
        at.last("Reshape", &[&x, &shape], []);
        Ok(())
    }
}
