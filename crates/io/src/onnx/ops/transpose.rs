//! `Transpose`.

use occam_graph::ops::Transpose;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::{Site, ints};

impl OnnxForm for Transpose {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        at.whole("Transpose", [ints("perm", &self.perm)?]);
        Ok(())
    }
}
