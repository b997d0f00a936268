//! `Clip`, `Pow`, `GlobalAveragePool`, and the root.

use occam_graph::Array;
use occam_graph::ops::GemPool;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::Site;

impl OnnxForm for GemPool {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let (x, p) = (at.input(0)?.0.to_owned(), at.input(1)?.0.to_owned());
        let least = at.constant("min", &Array::from_f32([], vec![self.eps as f32])?)?;
        let clipped = at.before("clip", "Clip", &[&x, &least], []);
        let power = at.before("pow", "Pow", &[&clipped, &p], []);
        let mean = at.before("mean", "GlobalAveragePool", &[&power], []);
        let root = at.before("root", "Reciprocal", &[&p], []);
        at.last("Pow", &[&mean, &root], []);
        Ok(())
    }
}
