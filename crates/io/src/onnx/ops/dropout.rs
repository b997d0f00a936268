//! `Identity`.

use occam_graph::ops::Dropout;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::Site;

impl OnnxForm for Dropout {
    /// Exported graphs are for inference, where nothing is left out: the export has bypassed the node before it asks for
    /// its form.
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        at.whole("Identity", []);
        Ok(())
    }
}
