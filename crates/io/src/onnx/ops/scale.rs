//! `Mul` by a constant.

use occam_graph::ops::Scale;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::Site;

impl OnnxForm for Scale {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let x = at.input(0)?.0.to_owned();
        let factor = at.number("factor", self.factor)?;
        at.last("Mul", &[&x, &factor], []);
        Ok(())
    }
}
