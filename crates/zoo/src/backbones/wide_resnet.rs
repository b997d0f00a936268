//! Wide residual networks.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::Binary;
use serde::Deserialize;

use super::Backbone;
use super::res_block::square;
use super::resnet::frozen_stages;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::net::unsupported;
use crate::{Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    depth: usize,
    #[serde(default = "four")]
    widen_factor: usize,
    #[serde(default = "three")]
    in_channels: usize,
    #[serde(default = "sixteen")]
    stem_channels: usize,
    #[serde(default = "sixteen")]
    base_channels: usize,
    #[serde(default)]
    expansion: Option<usize>,
    #[serde(default = "three")]
    num_stages: usize,
    #[serde(default = "halving")]
    strides: Vec<usize>,
    #[serde(default = "ones")]
    dilations: Vec<usize>,
    #[serde(default = "minus_one")]
    frozen_stages: i64,
    #[serde(default)]
    conv_cfg: Option<Value>,
    #[serde(default)]
    norm_cfg: NormCfg,
    #[serde(default)]
    norm_eval: bool,
    #[serde(default)]
    zero_init_residual: bool,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn three() -> usize {
    3
}
fn four() -> usize {
    4
}
fn sixteen() -> usize {
    16
}
fn halving() -> Vec<usize> {
    vec![1, 2, 2]
}
fn ones() -> Vec<usize> {
    vec![1; 3]
}
fn minus_one() -> i64 {
    -1
}

/// `WideResNet` (Zagoruyko and Komodakis, 2016, arXiv:1605.07146), mmrazor's: few but wide blocks, each of which
/// normalizes and activates before it convolves, for small images.
///
/// | key | default | |
/// |---|---|---|
/// | `depth` | | 10, 16, 22, 28, 40 |
/// | `widen_factor` | 4 | width of the stages over `base_channels` |
/// | `in_channels`, `stem_channels`, `base_channels` | 3, 16, 16 | |
/// | `expansion` | `widen_factor` | where given, it counts instead |
/// | `num_stages`, `strides`, `dilations` | 3, (1, 2, 2), (1, 1, 1) | the last features are returned, normalized and activated |
/// | `frozen_stages` | -1 | from 0 on the stem, and stages up to this one, neither learn nor update statistics |
/// | `norm_cfg` | `dict(type='BN')` | |
/// | `norm_eval` | False | norm layers use and keep their running statistics in training |
/// | `zero_init_residual` | False | second norm weight of a block starts at 0 |
/// | `init_cfg` | `Kaiming` for convolutions, `Constant` 1 for norms | |
///
/// In the original `norm_eval` has no effect, statistics of frozen stages go on moving, and `frozen_stages=0` is an error,
/// since it asks for the last norm layer before there is one; here they do what its documentation says, and the last norm
/// layer, which follows all stages, is never frozen. Not supported: `conv_cfg`.
///
/// Parameters take mmrazor's names: `conv1`, `layer1.0.bn1`, `layer1.0.conv1`, .., `layer1.0.downsample`, `bn1`.
pub struct WideResNet {
    config: Config,
    rules: Rules,
    blocks: usize,
    frozen_stages: Option<usize>,
}

fn parse(value: &Value) -> Result<WideResNet> {
    let config: Config = value.parse()?;
    let blocks = match config.depth {
        10 => 1,
        16 => 2,
        22 => 3,
        28 => 4,
        40 => 6,
        depth => {
            return refuse(format!("there is no WideResNet of depth {depth}; known are 10, 16, 22, 28, 40"));
        }
    };
    let stages = config.num_stages;
    if stages == 0 || stages > 3 {
        return refuse(format!("num_stages={stages} must be in 1..=3"));
    }
    if config.strides.len() < stages || config.dilations.len() < stages {
        return refuse(format!("strides and dilations must have num_stages={stages} entries"));
    }
    if config.strides.contains(&0) || config.dilations.contains(&0) {
        return refuse("strides and dilations must be at least 1");
    }
    let sizes = [config.in_channels, config.stem_channels, config.base_channels, config.widen_factor];
    if sizes.contains(&0) || config.expansion == Some(0) {
        return refuse("channel counts, widen_factor and expansion must be at least 1");
    }
    unsupported("conv_cfg", &config.conv_cfg)?;
    config.norm_cfg.check()?;
    let frozen_stages = frozen_stages(config.frozen_stages, stages)?;
    let rules = config.init_cfg.rules(Rules::backbone)?;
    Ok(WideResNet { config, rules, blocks, frozen_stages })
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(Box::new(parse(value)?))
}

impl WideResNet {
    /// One block: `f(a) + x` with `a = relu(norm(x))`, where the shapes allow it, else `f(a) + shortcut(a)`.
    fn block(
        &self,
        net: &mut Net,
        x: ValueId,
        out: usize,
        [stride, dilation]: [usize; 2],
    ) -> Result<ValueId> {
        let norm = &self.config.norm_cfg;
        let shortcut = stride != 1 || net.channels(x)? != out;
        let a = net.norm("bn1", x, norm, 1.0)?;
        let a = net.relu("relu1", a)?;
        let y = net.conv2d("conv1", a, out, 3, square(stride, dilation, dilation))?;
        let y = if self.config.zero_init_residual {
            net.settled(|net| net.norm("bn2", y, norm, 0.0))?
        } else {
            net.norm("bn2", y, norm, 1.0)?
        };
        let y = net.relu("relu2", y)?;
        let y = net.conv2d("conv2", y, out, 3, square(1, 1, 1))?;
        let other = if shortcut { net.conv2d("downsample", a, out, 1, square(stride, 0, 1))? } else { x };
        Ok(net.op("add", Binary::Add, &[y, other])?)
    }

    fn layers(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let c = &self.config;
        let stem = self.frozen_stages.is_some();
        let mut y = net.frozen(stem, |net| net.conv2d("conv1", x, c.stem_channels, 3, square(1, 1, 1)))?;
        let mut out = c.base_channels.saturating_mul(c.expansion.unwrap_or(c.widen_factor));
        let stages = c.strides.iter().zip(&c.dilations).take(c.num_stages);
        for (i, (&stride, &dilation)) in stages.enumerate() {
            let from = y;
            let frozen = self.frozen_stages.is_some_and(|n| i < n);
            y = net.frozen(frozen, |net| {
                net.layer(&format!("layer{}", i + 1), &[from], |net| {
                    let mut y = from;
                    for j in 0..self.blocks {
                        let x = y;
                        let stride = if j == 0 { stride } else { 1 };
                        y = net
                            .layer(&j.to_string(), &[x], |net| self.block(net, x, out, [stride, dilation]))?;
                    }
                    Ok(y)
                })
            })?;
            out = out.saturating_mul(2);
        }
        let y = net.norm("bn1", y, &c.norm_cfg, 1.0)?;
        net.relu("relu", y)
    }
}

impl Backbone for WideResNet {
    fn in_channels(&self) -> usize {
        self.config.in_channels
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let all =
            net.ruled(&self.rules, |net| net.norm_eval(self.config.norm_eval, |net| self.layers(net, x)))?;
        Ok(vec![all])
    }
}
