//! `BatchNormalization`.

use occam_graph::ops::BatchNorm;

use super::OnnxForm;
use crate::Result;
use crate::onnx::proto::AttributeProto;
use crate::onnx::site::{Site, flag};

impl OnnxForm for BatchNorm {
    /// ONNX's momentum weighs the running statistics, ours the batch's.
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let mut attributes = vec![
            AttributeProto::float("epsilon", self.eps as f32),
            AttributeProto::float("momentum", (1.0 - self.momentum) as f32),
        ];
        if at.opset() >= 14 {
            attributes.push(flag("training_mode", false));
        }
        at.whole("BatchNormalization", attributes);
        Ok(())
    }
}
