//! ShuffleNetV1.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Binary, ChannelShuffle, Concat, Conv, Pool, PoolKind};
use serde::Deserialize;

use super::Backbone;
use super::res_block::square;
use super::resnet::frozen_stages;
use crate::conv_module::{ActCfg, ConvModule};
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::net::unsupported;
use crate::width::make_divisible;
use crate::{Init, Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "three")]
    groups: usize,
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

fn three() -> usize {
    3
}
fn one() -> f64 {
    1.0
}
fn last() -> Vec<usize> {
    vec![2]
}
fn minus_one() -> i64 {
    -1
}
fn batch_norm() -> Option<NormCfg> {
    Some(NormCfg::default())
}

/// `ShuffleNetV1` (Zhang et al., 2018, arXiv:1707.01083): bottlenecks of grouped 1x1 convolutions, between which channels
/// change groups.
///
/// | key | default | |
/// |---|---|---|
/// | `groups` | 3 | 1, 2, 3, 4 or 8: groups of the 1x1 convolutions, and with them the widths |
/// | `widen_factor` | 1.0 | scales all widths; they are rounded to multiples of 8 |
/// | `out_indices` | (2,) | stages, of three, whose features are returned |
/// | `norm_cfg` | `dict(type='BN')` | or None: convolutions have biases then |
/// | `act_cfg` | `dict(type='ReLU')` | |
/// | `frozen_stages` | -1 | from 0 on `conv1` does not learn (its statistics move on), and so many of `layers` neither learn nor update statistics |
/// | `norm_eval` | False | norm layers use and keep their running statistics in training |
/// | `init_cfg` | None | only `Pretrained` counts |
///
/// Weights are first normal, with deviation 0.01 in the stem and one over a filter's input channels elsewhere, whatever
/// other rules of `init_cfg` say. `with_cp` is accepted and has no effect on results. Not supported: `conv_cfg`.
///
/// Parameters take mmcls' names: `conv1.conv`, `layers.0.0.g_conv_1x1_compress.conv`, ..
pub struct ShuffleNetV1 {
    config: Config,
    rules: Rules,
    widths: [usize; 3],
    frozen_stages: Option<usize>,
}

/// Number of blocks of each stage.
const BLOCKS: [usize; 3] = [4, 8, 4];

/// Channels of the stem at factor 1.
const STEM: f64 = 24.0;

/// Channels of the first stage by groups; each later stage has twice those of the one before.
const WIDTHS: [(usize, usize); 5] = [(1, 144), (2, 200), (3, 240), (4, 272), (8, 384)];

fn parse(value: &Value) -> Result<ShuffleNetV1> {
    let config: Config = value.parse()?;
    let Some((_, first)) = WIDTHS.into_iter().find(|(groups, _)| *groups == config.groups) else {
        return refuse(format!("groups={} must be 1, 2, 3, 4 or 8", config.groups));
    };
    if !(config.widen_factor.is_finite() && config.widen_factor * STEM >= 1.0) {
        return refuse(format!("widen_factor={} leaves the stem no channel", config.widen_factor));
    }
    if config.out_indices.is_empty() || config.out_indices.iter().any(|&i| i >= BLOCKS.len()) {
        return refuse("out_indices must name stages from 0 to 2");
    }
    unsupported("conv_cfg", &config.conv_cfg)?;
    if let Some(norm) = &config.norm_cfg {
        norm.check()?;
    }
    if config.act_cfg.is_none() {
        return refuse("act_cfg must not be None");
    }
    let frozen_stages = frozen_stages(config.frozen_stages, BLOCKS.len())?;
    let rules = config.init_cfg.rules(Rules::none)?;
    let widths = [1, 2, 4].map(|times| make_divisible((first * times) as f64 * config.widen_factor, 8));
    Ok(ShuffleNetV1 { config, rules, widths, frozen_stages })
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(Box::new(parse(value)?))
}

/// What all blocks of a network share.
#[derive(Clone, Copy)]
struct Block<'a> {
    module: ConvModule<'a>,
    groups: usize,
}

impl Block<'_> {
    /// A convolution whose first weights have a deviation of one over a filter's input channels.
    fn conv(
        self,
        net: &mut Net,
        name: &str,
        x: ValueId,
        [out, kernel]: [usize; 2],
        conv: Conv,
        activated: bool,
    ) -> Result<ValueId> {
        let per_filter = net.channels(x)? / conv.groups.max(1);
        let module = if activated { self.module } else { self.module.linear() };
        let weight = Init::Normal { std: 1.0 / per_filter.max(1) as f64 };
        ConvModule { weight, ..module }.build(net, name, x, [out, kernel], conv)
    }

    /// With stride 2 the pooled input and the result lie side by side, else their sum is the output.
    fn build(self, net: &mut Net, x: ValueId, out: usize, stride: usize, first: bool) -> Result<ValueId> {
        let channels = net.channels(x)?;
        let mid = out / 4;
        let added = if stride == 1 { out } else { out.saturating_sub(channels) };
        let groups = if first { 1 } else { self.groups };
        let point = |groups| Conv { groups, ..square(1, 0, 1) };
        let mut y = self.conv(net, "g_conv_1x1_compress", x, [mid, 1], point(groups), true)?;
        let each = Conv { groups: mid, ..square(stride, 1, 1) };
        y = self.conv(net, "depthwise_conv3x3_bn", y, [mid, 3], each, false)?;
        if self.groups > 1 {
            y = net.op("channel_shuffle", ChannelShuffle { groups: self.groups }, &[y])?;
        }
        y = self.conv(net, "g_conv_1x1_expand", y, [added, 1], point(self.groups), false)?;
        let activate = |net: &mut Net, y: ValueId| match self.module.act {
            Some(act) => net.layer("act", &[y], |net| Ok(net.this(act, &[y])?)),
            None => Ok(y),
        };
        if stride == 1 {
            let sum = net.op("add", Binary::Add, &[x, y])?;
            return activate(net, sum);
        }
        let pool = Pool {
            kind: PoolKind::Average { count_include_pad: true },
            kernel: [3, 3],
            stride: [stride; 2],
            padding: [1, 1],
            ceil_mode: false,
        };
        let pooled = net.layer("avgpool", &[x], |net| Ok(net.this(pool, &[x])?))?;
        let y = activate(net, y)?;
        Ok(net.op("concat", Concat { axis: 1 }, &[pooled, y])?)
    }
}

impl ShuffleNetV1 {
    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let module =
            ConvModule { norm_bias: 1e-4, ..ConvModule::new(c.norm_cfg.as_ref(), c.act_cfg.as_ref()) };
        let stem = ConvModule { weight: Init::Normal { std: 0.01 }, ..module };
        let width = (STEM * c.widen_factor) as usize;
        let y = net.fixed(self.frozen_stages.is_some(), |net| {
            stem.build(net, "conv1", x, [width, 3], square(2, 1, 1))
        })?;
        let pool =
            Pool { kind: PoolKind::Max, kernel: [3, 3], stride: [2, 2], padding: [1, 1], ceil_mode: false };
        let mut y = net.layer("maxpool", &[y], |net| Ok(net.this(pool, &[y])?))?;
        let block = Block { module, groups: c.groups };
        let mut features = Vec::new();
        for (i, (count, out)) in BLOCKS.into_iter().zip(self.widths).enumerate() {
            let from = y;
            y = net.frozen(self.frozen_stages.is_some_and(|n| i < n), |net| {
                net.layer(&format!("layers.{i}"), &[from], |net| {
                    let mut y = from;
                    for j in 0..count {
                        let x = y;
                        let stride = if j == 0 { 2 } else { 1 };
                        let first = i == 0 && j == 0;
                        y = net.layer(&j.to_string(), &[x], |net| block.build(net, x, out, stride, first))?;
                    }
                    Ok(y)
                })
            })?;
            if c.out_indices.contains(&i) {
                features.push(y);
            }
        }
        Ok(features)
    }
}

impl Backbone for ShuffleNetV1 {
    fn in_channels(&self) -> usize {
        3
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| {
            net.settled(|net| net.norm_eval(self.config.norm_eval, |net| self.layers(net, x)))
        })
    }
}
