//! `Softmax`.

use occam_graph::ops::Softmax;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::{Site, int};

impl OnnxForm for Softmax {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        at.whole("Softmax", [int("axis", self.axis)?]);
        Ok(())
    }
}
