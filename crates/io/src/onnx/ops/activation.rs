//! `Relu`, `Clip`.

use occam_graph::Array;
use occam_graph::ops::Activation;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::Site;

impl OnnxForm for Activation {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        match self {
            Activation::Relu => at.whole("Relu", []),
            Activation::Relu6 => {
                let min = at.constant("min", &Array::from_f32([], vec![0.0])?)?;
                let max = at.constant("max", &Array::from_f32([], vec![6.0])?)?;
                let x = at.input(0)?.0.to_owned();
                at.last("Clip", &[&x, &min, &max], []);
            }
        }
        Ok(())
    }
}
