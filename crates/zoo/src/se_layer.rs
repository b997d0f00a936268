//! Squeeze and excitation (Hu et al., 2018, arXiv:1709.01507).

use occam_graph::ValueId;
use occam_graph::ops::{Activation, Binary, Conv, GlobalAvgPool};

use crate::conv_module::ConvModule;
use crate::{Net, Result};

/// mmcls' `SELayer`: `x · excite(squeeze(mean(x)))` with one factor a channel.
///
/// `conv1` and its activation lead from the means of the planes to `squeezed` channels, `conv2` and its activation back
/// to a factor for every channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeLayer {
    /// Channels in between.
    pub squeezed: usize,
    /// What follows the two convolutions.
    pub activations: [Activation; 2],
}

impl SeLayer {
    /// Adds the module `name`.
    ///
    /// # Errors
    /// The input has no planes.
    pub fn build(&self, net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
        let channels = net.channels(x)?;
        let [squeeze, excite] = self.activations;
        net.layer(name, &[x], |net| {
            let y = net.layer("global_avgpool", &[x], |net| Ok(net.this(GlobalAvgPool, &[x])?))?;
            let plain = ConvModule::new(None, None);
            let module = ConvModule { act: Some(squeeze), ..plain };
            let y = module.build(net, "conv1", y, [self.squeezed, 1], Conv::default())?;
            let module = ConvModule { act: Some(excite), ..plain };
            let y = module.build(net, "conv2", y, [channels, 1], Conv::default())?;
            Ok(net.op("mul", Binary::Mul, &[x, y])?)
        })
    }
}
