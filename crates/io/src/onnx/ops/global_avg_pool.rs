//! `GlobalAveragePool`.

use occam_graph::ops::GlobalAvgPool;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::Site;

impl OnnxForm for GlobalAvgPool {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        at.whole("GlobalAveragePool", []);
        Ok(())
    }
}
