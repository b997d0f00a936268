//! Residual blocks (He et al., 2016, arXiv:1512.03385).

use occam_graph::ValueId;
use occam_graph::ops::{Activation, Binary, Conv, DropUnit, Pool, PoolKind};
use serde::Deserialize;

use crate::se_layer::SeLayer;
use crate::width::make_divisible;
use crate::{Net, NormCfg, Result};

/// Which convolution of a bottleneck has the stride.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Style {
    /// The 3x3 one.
    Pytorch,
    /// The first 1x1 one.
    Caffe,
}

/// What all blocks of a network share.
pub(super) struct BlockCfg<'a> {
    pub norm: &'a NormCfg,
    pub style: Style,
    pub avg_down: bool,
    pub bottleneck: bool,
    /// Output channels over inner channels.
    pub expansion: usize,
    /// Of the 3x3 convolution of a bottleneck.
    pub groups: usize,
    /// Inner channels over what `expansion` alone gives.
    pub widening: [usize; 2],
    /// Output channels over those to which a bottleneck's squeeze and excitation squeezes; none without one.
    pub se_ratio: Option<usize>,
    pub zero_init_residual: bool,
}

/// What is a single block's own.
pub(super) struct BlockPlace {
    pub out: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Probability of leaving out all but the shortcut, by sample.
    pub drop_path: f64,
}

/// Rates at most this large leave nothing out.
const LEAST_DROP_PATH: f64 = 1e-5;

/// A convolution with equal sides.
pub(super) fn square(stride: usize, padding: usize, dilation: usize) -> Conv {
    Conv { stride: [stride; 2], padding: [(padding, padding); 2], dilation: [dilation; 2], groups: 1 }
}

impl BlockCfg<'_> {
    /// One block: `relu(f(x) + shortcut(x))`.
    pub fn build(
        &self,
        net: &mut Net,
        x: ValueId,
        &BlockPlace { out, stride, dilation, drop_path }: &BlockPlace,
    ) -> Result<ValueId> {
        let shortcut = stride != 1 || net.channels(x)? != out;
        let mid = out / self.expansion;
        let y = if self.bottleneck {
            let (first, second) = match self.style {
                Style::Pytorch => (1, stride),
                Style::Caffe => (stride, 1),
            };
            let [wider, narrower] = self.widening;
            let mid = mid.saturating_mul(wider) / narrower.max(1);
            let y = net.conv2d("conv1", x, mid, 1, square(first, 0, 1))?;
            let y = net.norm("bn1", y, self.norm, 1.0)?;
            let y = net.relu("relu", y)?;
            let grouped = Conv { groups: self.groups, ..square(second, dilation, dilation) };
            let y = net.conv2d("conv2", y, mid, 3, grouped)?;
            let y = net.norm("bn2", y, self.norm, 1.0)?;
            let y = net.relu("relu", y)?;
            let y = net.conv2d("conv3", y, out, 1, square(1, 0, 1))?;
            self.last_norm(net, "bn3", y)?
        } else {
            let y = net.conv2d("conv1", x, mid, 3, square(stride, dilation, dilation))?;
            let y = net.norm("bn1", y, self.norm, 1.0)?;
            let y = net.relu("relu", y)?;
            let y = net.conv2d("conv2", y, out, 3, square(1, 1, 1))?;
            self.last_norm(net, "bn2", y)?
        };
        let identity = if shortcut { self.downsample(net, x, out, stride)? } else { x };
        let y = match self.se_ratio {
            Some(ratio) => {
                let squeezed = make_divisible((out / ratio.max(1)) as f64, 8);
                let activations = [Activation::Relu, Activation::Sigmoid];
                SeLayer { squeezed, activations }.build(net, "se_layer", y)?
            }
            None => y,
        };
        let y = if drop_path > LEAST_DROP_PATH {
            net.dropout("drop_path", y, drop_path, DropUnit::Sample)?
        } else {
            // A module all the same, which does nothing.
            net.layer("drop_path", &[y], |_| Ok(y))?
        };
        let sum = net.op("add", Binary::Add, &[y, identity])?;
        net.relu("relu", sum)
    }

    fn last_norm(&self, net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
        if self.zero_init_residual {
            return net.settled(|net| net.norm(name, x, self.norm, 0.0));
        }
        net.norm(name, x, self.norm, 1.0)
    }

    fn downsample(&self, net: &mut Net, x: ValueId, out: usize, stride: usize) -> Result<ValueId> {
        net.layer("downsample", &[x], |net| {
            if !self.avg_down || stride == 1 {
                let y = net.conv2d("0", x, out, 1, square(stride, 0, 1))?;
                return net.norm("1", y, self.norm, 1.0);
            }
            let pool = Pool {
                kind: PoolKind::Average { count_include_pad: false },
                kernel: [stride; 2],
                stride: [stride; 2],
                padding: [0, 0],
                ceil_mode: true,
            };
            let y = net.layer("0", &[x], |net| Ok(net.this(pool, &[x])?))?;
            let y = net.conv2d("1", y, out, 1, square(1, 0, 1))?;
            net.norm("2", y, self.norm, 1.0)
        })
    }
}
