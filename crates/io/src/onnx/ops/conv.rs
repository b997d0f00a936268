//! `Conv`.

use occam_graph::Dim;
use occam_graph::ops::Conv;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::{Site, int, ints};

impl OnnxForm for Conv {
    /// ONNX lists the padding before all axes, then that behind them.
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let (_, weight) = at.input(1)?;
        let kernel: Option<Vec<usize>> = weight.shape.iter().skip(2).map(Dim::known).collect();
        let kernel = kernel.ok_or_else(|| at.refused(format!("kernel size of {weight} must be known")))?;
        let [(top, bottom), (left, right)] = self.padding;
        let attributes = [
            ints("kernel_shape", &kernel)?,
            ints("strides", &self.stride)?,
            ints("pads", &[top, left, bottom, right])?,
            ints("dilations", &self.dilation)?,
            int("group", self.groups)?,
        ];
        at.whole("Conv", attributes);
        Ok(())
    }
}
