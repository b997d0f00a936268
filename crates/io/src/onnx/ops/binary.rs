//! `Add`, `Mul`.

use occam_graph::ops::Binary;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::Site;

impl OnnxForm for Binary {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let op_type = match self {
            Binary::Add => "Add",
            Binary::Mul => "Mul",
        };
        at.whole(op_type, []);
        Ok(())
    }
}
