//! `LayerNormalization`; before operator set 17 in terms of its formula.

use occam_graph::ops::LayerNorm;

use super::OnnxForm;
use crate::Result;
use crate::onnx::proto::AttributeProto;
use crate::onnx::site::Site;

impl OnnxForm for LayerNorm {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        if at.opset() >= 17 {
            let attributes =
                [AttributeProto::int("axis", -1), AttributeProto::float("epsilon", self.eps as f32)];
            at.whole("LayerNormalization", attributes);
            return Ok(());
        }
        let last = || [AttributeProto::ints("axes", [-1]), AttributeProto::int("keepdims", 1)];
        let name = |at: &Site<'_>, i| at.input(i).map(|(name, _)| name.to_owned());
        let (x, weight, bias) = (name(at, 0)?, name(at, 1)?, name(at, 2)?);
        let eps = at.number("eps", self.eps)?;
        let mean = at.before("mean", "ReduceMean", &[&x], last());
        let centered = at.before("centered", "Sub", &[&x, &mean], []);
        let square = at.before("square", "Mul", &[&centered, &centered], []);
        let variance = at.before("variance", "ReduceMean", &[&square], last());
        let shifted = at.before("shifted", "Add", &[&variance, &eps], []);
        let deviation = at.before("deviation", "Sqrt", &[&shifted], []);
        let normal = at.before("normal", "Div", &[&centered, &deviation], []);
        let scaled = at.before("scaled", "Mul", &[&normal, &weight], []);
        at.last("Add", &[&scaled, &bias], []);
        Ok(())
    }
}
