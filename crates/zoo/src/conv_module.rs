//! A convolution with the layers that belong to it.

use occam_graph::ValueId;
use occam_graph::ops::{Activation, Conv};

pub(crate) use crate::act_cfg::ActCfg;
use crate::padding::Padding;
use crate::{Init, Net, NormCfg, Result};

/// mmcv's `ConvModule`: `conv`, then `bn`, then `activate`, the latter two where they are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvModule<'a> {
    pub norm: Option<&'a NormCfg>,
    pub act: Option<Activation>,
    /// What the convolution does at the border.
    pub padding: Padding,
    /// Whether the convolution has a bias although a norm layer follows.
    pub biased: bool,
    /// First values of the convolution's weight.
    pub weight: Init,
    /// First value of the norm layer's bias.
    pub norm_bias: f32,
}

impl<'a> ConvModule<'a> {
    /// A module with the original's first values.
    pub fn new(norm: Option<&'a NormCfg>, act: Option<&ActCfg>) -> Self {
        Self {
            norm,
            act: act.map(ActCfg::function),
            padding: Padding::Own,
            biased: false,
            weight: Init::KaimingNormalFanOut,
            norm_bias: 0.0,
        }
    }

    /// The same without activation.
    pub fn linear(self) -> Self {
        Self { act: None, ..self }
    }

    /// Adds the module `name` with `out` channels and a kernel of `kernel` times `kernel`.
    ///
    /// # Errors
    /// The input does not fit.
    pub fn build(
        &self,
        net: &mut Net,
        name: &str,
        x: ValueId,
        [out, kernel]: [usize; 2],
        conv: Conv,
    ) -> Result<ValueId> {
        net.layer(name, &[x], |net| {
            let bias = self.biased || self.norm.is_none();
            let (x, conv) = self.padding.apply(net, x, kernel, conv)?;
            let mut y = net.conv2d_with("conv", x, [out, kernel], conv, bias, self.weight)?;
            if let Some(norm) = self.norm {
                y = net.norm_with("bn", y, norm, [1.0, self.norm_bias])?;
            }
            if let Some(act) = self.act {
                let from = y;
                y = net.layer("activate", &[from], |net| Ok(net.this(act, &[from])?))?;
            }
            Ok(y)
        })
    }
}
