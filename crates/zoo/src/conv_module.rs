//! A convolution with the layers that belong to it.

use occam_graph::ValueId;
use occam_graph::ops::{Activation, Conv};
use serde::Deserialize;

use crate::{Init, Net, NormCfg, Result};

/// `act_cfg`: which activation follows convolutions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActCfg {
    #[serde(rename = "type")]
    kind: Kind,
    /// Where the original writes the result; no result depends on it.
    #[serde(default, rename = "inplace")]
    _inplace: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Kind {
    #[serde(rename = "ReLU")]
    Relu,
    #[serde(rename = "ReLU6")]
    Relu6,
}

impl ActCfg {
    /// `dict(type='ReLU')`
    pub fn relu() -> Option<Self> {
        Some(Self { kind: Kind::Relu, _inplace: true })
    }

    /// `dict(type='ReLU6')`
    pub fn relu6() -> Option<Self> {
        Some(Self { kind: Kind::Relu6, _inplace: true })
    }

    /// The function.
    pub fn function(&self) -> Activation {
        match self.kind {
            Kind::Relu => Activation::Relu,
            Kind::Relu6 => Activation::Relu6,
        }
    }
}

/// mmcv's `ConvModule`: `conv`, then `bn`, then `activate`, the latter two where they are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvModule<'a> {
    pub norm: Option<&'a NormCfg>,
    pub act: Option<Activation>,
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
