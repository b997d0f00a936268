//! Inverted residuals: widen, filter each channel by itself, weigh the channels, narrow (Sandler et al., 2018,
//! arXiv:1801.04381; Tan et al., 2019, arXiv:1807.11626).

use occam_graph::ValueId;
use occam_graph::ops::{Binary, Conv, DropUnit};

use super::res_block::square;
use crate::conv_module::ConvModule;
use crate::se_layer::SeLayer;
use crate::{Net, Result};

/// mmcls' `InvertedResidual`: `expand_conv` (where `mid` is not the input's width), `depthwise_conv`, `se`,
/// `linear_conv`, and the input added where the shapes allow it.
#[derive(Debug, Clone, Copy)]
pub(super) struct InvertedResidual<'a> {
    /// Norm, activation, padding and first values of the convolutions.
    pub module: ConvModule<'a>,
    /// Channels that are filtered.
    pub mid: usize,
    pub out: usize,
    /// Taps of the filter, along each axis.
    pub kernel: usize,
    pub stride: usize,
    pub se: Option<SeLayer>,
    /// Probability that a training example skips the block.
    pub drop_path: f64,
}

impl InvertedResidual<'_> {
    /// Adds the layers to the open module.
    pub fn build(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let channels = net.channels(x)?;
        let &Self { module, mid, out, kernel, stride, .. } = self;
        let mut y = x;
        if mid != channels {
            y = module.build(net, "expand_conv", y, [mid, 1], square(1, 0, 1))?;
        }
        let each = Conv { groups: mid, ..square(stride, kernel / 2, 1) };
        y = module.build(net, "depthwise_conv", y, [mid, kernel], each)?;
        if let Some(se) = self.se {
            y = se.build(net, "se", y)?;
        }
        y = module.linear().build(net, "linear_conv", y, [out, 1], square(1, 0, 1))?;
        if stride != 1 || channels != out {
            return Ok(y);
        }
        let y = net.dropout("drop_path", y, self.drop_path, DropUnit::Sample)?;
        Ok(net.op("add", Binary::Add, &[x, y])?)
    }
}
