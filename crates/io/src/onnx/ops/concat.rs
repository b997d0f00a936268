//! `Concat`.

use occam_graph::ops::Concat;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::{Site, int};

impl OnnxForm for Concat {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        at.whole("Concat", [int("axis", self.axis)?]);
        Ok(())
    }
}
