//! `Relu`.

use occam_graph::ops::Activation;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::Site;

impl OnnxForm for Activation {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let op_type = match self {
            Activation::Relu => "Relu",
        };
        at.whole(op_type, []);
        Ok(())
    }
}
