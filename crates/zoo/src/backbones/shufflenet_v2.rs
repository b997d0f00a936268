//! ShuffleNetV2.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{ChannelShuffle, Concat, Conv, Pool, PoolKind, Slice};
use serde::Deserialize;

use super::Backbone;
use super::res_block::square;
use super::resnet::frozen_stages;
use crate::conv_module::{ActCfg, ConvModule};
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::net::unsupported;
use crate::{Init, Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "one")]
    widen_factor: f64,
    #[serde(default = "last")]
    out_indices: Vec<usize>,
    #[serde(default = "minus_one")]
    frozen_stages: i64,
    #[serde(default)]
    conv_cfg: Option<Value>,
    #[serde(default = "batch_norm")]
    norm_cfg: Option<NormCfg>,
    #[serde(default = "ActCfg::relu")]
    act_cfg: Option<ActCfg>,
    #[serde(default)]
    norm_eval: bool,
    #[serde(default, rename = "with_cp")]
    _with_cp: bool,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn one() -> f64 {
    1.0
}
fn last() -> Vec<usize> {
    vec![3]
}
fn minus_one() -> i64 {
    -1
}
fn batch_norm() -> Option<NormCfg> {
    Some(NormCfg::default())
}

/// `ShuffleNetV2` (Ma et al., 2018, arXiv:1807.11164): blocks that work on one half of the channels, keep the other, and
/// interleave the two.
///
/// | key | default | |
/// |---|---|---|
/// | `widen_factor` | 1.0 | 0.5, 1.0, 1.5 or 2.0 |
/// | `out_indices` | (3,) | stages whose features are returned; the last one, 3, is the 1x1 convolution |
/// | `norm_cfg` | `dict(type='BN')` | or None: convolutions have biases then |
/// | `act_cfg` | `dict(type='ReLU')` | or another activation, or None |
/// | `frozen_stages` | -1 | from 0 on `conv1` does not learn (its statistics move on), and so many of `layers` neither learn nor update statistics |
/// | `norm_eval` | False | norm layers use and keep their running statistics in training |
/// | `init_cfg` | None | only `Pretrained` counts |
///
/// Weights are first normal, with deviation 0.01 in the stem and one over a filter's input channels elsewhere, whatever
/// other rules of `init_cfg` say. `with_cp` is accepted and has no effect on results. Not supported: `conv_cfg`.
///
/// Parameters take mmcls' names: `conv1.conv`, `layers.0.0.branch1.0.conv`, .., `layers.3.bn`.
pub struct ShuffleNetV2 {
    config: Config,
    rules: Rules,
    widths: [usize; 4],
    frozen_stages: Option<usize>,
}

/// Number of blocks of each stage.
const BLOCKS: [usize; 3] = [4, 8, 4];

/// Channels of the stem.
const STEM: usize = 24;

/// Channels of the stages by factor.
const WIDTHS: [(f64, [usize; 4]); 4] = [
    (0.5, [48, 96, 192, 1024]),
    (1.0, [116, 232, 464, 1024]),
    (1.5, [176, 352, 704, 1024]),
    (2.0, [244, 488, 976, 2048]),
];

fn parse(value: &Value) -> Result<ShuffleNetV2> {
    let config: Config = value.parse()?;
    let Some((_, widths)) = WIDTHS.into_iter().find(|(factor, _)| *factor == config.widen_factor) else {
        return refuse(format!("widen_factor={} must be 0.5, 1.0, 1.5 or 2.0", config.widen_factor));
    };
    if config.out_indices.is_empty() || config.out_indices.iter().any(|&i| i > BLOCKS.len()) {
        return refuse("out_indices must name stages from 0 to 3");
    }
    unsupported("conv_cfg", &config.conv_cfg)?;
    if let Some(norm) = &config.norm_cfg {
        norm.check()?;
    }
    let frozen_stages = frozen_stages(config.frozen_stages, BLOCKS.len())?;
    let rules = config.init_cfg.rules(Rules::none)?;
    Ok(ShuffleNetV2 { config, rules, widths, frozen_stages })
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(Box::new(parse(value)?))
}

/// What all blocks of a network share.
#[derive(Clone, Copy)]
struct Block<'a>(ConvModule<'a>);

impl Block<'_> {
    /// A 1x1 convolution to `out` channels.
    fn point(self, net: &mut Net, name: &str, x: ValueId, out: usize) -> Result<ValueId> {
        let weight = Init::Normal { std: 1.0 / net.channels(x)?.max(1) as f64 };
        ConvModule { weight, ..self.0 }.build(net, name, x, [out, 1], square(1, 0, 1))
    }

    /// A 3x3 convolution of each channel by itself, without activation.
    fn depth(self, net: &mut Net, name: &str, x: ValueId, stride: usize) -> Result<ValueId> {
        let channels = net.channels(x)?;
        let each = Conv { groups: channels, ..square(stride, 1, 1) };
        let module = ConvModule { weight: Init::Normal { std: 1.0 }, ..self.0.linear() };
        module.build(net, name, x, [channels, 3], each)
    }

    /// The half of the block that works.
    fn main_branch(self, net: &mut Net, x: ValueId, out: usize, stride: usize) -> Result<ValueId> {
        net.layer("branch2", &[x], |net| {
            let y = self.point(net, "0", x, out)?;
            let y = self.depth(net, "1", y, stride)?;
            self.point(net, "2", y, out)
        })
    }

    /// With stride 1 half of the channels stay as they are; otherwise both branches see all of them.
    fn build(self, net: &mut Net, x: ValueId, out: usize, stride: usize) -> Result<ValueId> {
        let half = out / 2;
        let (kept, worked) = if stride == 1 {
            let channels = net.channels(x)?;
            let middle = channels.div_ceil(2);
            let kept = net.op("kept", Slice { axis: 1, start: 0, end: middle }, &[x])?;
            let rest = net.op("rest", Slice { axis: 1, start: middle, end: channels }, &[x])?;
            (kept, self.main_branch(net, rest, half, 1)?)
        } else {
            let shortcut = net.layer("branch1", &[x], |net| {
                let y = self.depth(net, "0", x, stride)?;
                self.point(net, "1", y, half)
            })?;
            (shortcut, self.main_branch(net, x, half, stride)?)
        };
        let y = net.op("concat", Concat { axis: 1 }, &[kept, worked])?;
        Ok(net.op("channel_shuffle", ChannelShuffle { groups: 2 }, &[y])?)
    }
}

impl ShuffleNetV2 {
    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let module =
            ConvModule { norm_bias: 1e-4, ..ConvModule::new(c.norm_cfg.as_ref(), c.act_cfg.as_ref()) };
        let stem = ConvModule { weight: Init::Normal { std: 0.01 }, ..module };
        let y = net.fixed(self.frozen_stages.is_some(), |net| {
            stem.build(net, "conv1", x, [STEM, 3], square(2, 1, 1))
        })?;
        let pool =
            Pool { kind: PoolKind::Max, kernel: [3, 3], stride: [2, 2], padding: [1, 1], ceil_mode: false };
        let mut y = net.layer("maxpool", &[y], |net| Ok(net.this(pool, &[y])?))?;
        let [stages @ .., last] = self.widths;
        let mut features = Vec::new();
        for (i, (count, out)) in BLOCKS.into_iter().zip(stages).enumerate() {
            let from = y;
            y = net.frozen(self.frozen_stages.is_some_and(|n| i < n), |net| {
                net.layer(&format!("layers.{i}"), &[from], |net| {
                    let mut y = from;
                    for j in 0..count {
                        let x = y;
                        let stride = if j == 0 { 2 } else { 1 };
                        y =
                            net.layer(&j.to_string(), &[x], |net| Block(module).build(net, x, out, stride))?;
                    }
                    Ok(y)
                })
            })?;
            if c.out_indices.contains(&i) {
                features.push(y);
            }
        }
        let y = Block(module).point(net, &format!("layers.{}", BLOCKS.len()), y, last)?;
        if c.out_indices.contains(&BLOCKS.len()) {
            features.push(y);
        }
        Ok(features)
    }
}

impl Backbone for ShuffleNetV2 {
    fn in_channels(&self) -> usize {
        3
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| {
            net.settled(|net| net.norm_eval(self.config.norm_eval, |net| self.layers(net, x)))
        })
    }
}
