//! MobileNetV2.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Binary, Conv};
use serde::Deserialize;

use super::Backbone;
use super::res_block::square;
use super::resnet::frozen_stages;
use crate::conv_module::{ActCfg, ConvModule};
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::net::unsupported;
use crate::width::make_divisible;
use crate::{Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "colors")]
    in_channels: usize,
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
    #[serde(default = "ActCfg::relu6")]
    act_cfg: Option<ActCfg>,
    #[serde(default)]
    norm_eval: bool,
    #[serde(default, rename = "with_cp")]
    _with_cp: bool,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn colors() -> usize {
    3
}
fn one() -> f64 {
    1.0
}
fn last() -> Vec<usize> {
    vec![7]
}
fn minus_one() -> i64 {
    -1
}
fn batch_norm() -> Option<NormCfg> {
    Some(NormCfg::default())
}

/// `MobileNetV2` (Sandler et al., 2018, arXiv:1801.04381): blocks that widen, filter each channel by itself, and narrow
/// again without activation.
///
/// | key | default | |
/// |---|---|---|
/// | `in_channels` | 3 | channels of the image; the original has 3 alone |
/// | `widen_factor` | 1.0 | scales all widths; they are rounded to multiples of 8 |
/// | `out_indices` | (7,) | stages whose features are returned; the last one, 7, is the 1x1 convolution to 1280 channels |
/// | `norm_cfg` | `dict(type='BN')` | or None: convolutions have biases then |
/// | `act_cfg` | `dict(type='ReLU6')` | or another activation, or None |
/// | `frozen_stages` | -1 | from 0 on `conv1` does not learn (its statistics move on), and layers up to this one neither learn nor update statistics |
/// | `norm_eval` | False | norm layers use and keep their running statistics in training |
/// | `init_cfg` | `Kaiming` for convolutions, `Constant` 1 for norms | `conv1` and `conv2` keep these in any case |
///
/// `with_cp` is accepted and has no effect on results. Not supported: `conv_cfg`.
///
/// Parameters take mmcls' names: `conv1.conv`, `layer1.0.conv.0.conv`, .., `conv2.bn`.
pub struct MobileNetV2 {
    config: Config,
    rules: Rules,
    frozen_stages: Option<usize>,
}

/// Inner over outer width, width, number of blocks and stride of each stage.
const STAGES: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];

fn parse(value: &Value) -> Result<MobileNetV2> {
    let config: Config = value.parse()?;
    if config.in_channels == 0 {
        return refuse("in_channels must be 1 or more");
    }
    if !(config.widen_factor.is_finite() && config.widen_factor > 0.0) {
        return refuse(format!("widen_factor={} must be above 0", config.widen_factor));
    }
    if config.out_indices.is_empty() || config.out_indices.iter().any(|&i| i > STAGES.len()) {
        return refuse("out_indices must name stages from 0 to 7");
    }
    unsupported("conv_cfg", &config.conv_cfg)?;
    if let Some(norm) = &config.norm_cfg {
        norm.check()?;
    }
    let frozen_stages = frozen_stages(config.frozen_stages, STAGES.len())?;
    let rules = config.init_cfg.rules(Rules::backbone)?;
    Ok(MobileNetV2 { config, rules, frozen_stages })
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(Box::new(parse(value)?))
}

/// One block: `f(x)`, or `x + f(x)` where the shapes allow it.
fn block(
    net: &mut Net,
    module: ConvModule<'_>,
    x: ValueId,
    out: usize,
    stride: usize,
    expansion: usize,
) -> Result<ValueId> {
    let channels = net.channels(x)?;
    let inner = channels.saturating_mul(expansion);
    let y = net.layer("conv", &[x], |net| {
        let mut y = x;
        if expansion != 1 {
            y = module.build(net, "0", y, [inner, 1], square(1, 0, 1))?;
        }
        let (filter, narrow) = if expansion == 1 { ("0", "1") } else { ("1", "2") };
        let each = Conv { groups: inner, ..square(stride, 1, 1) };
        y = module.build(net, filter, y, [inner, 3], each)?;
        module.linear().build(net, narrow, y, [out, 1], square(1, 0, 1))
    })?;
    if stride == 1 && channels == out {
        return Ok(net.op("add", Binary::Add, &[x, y])?);
    }
    Ok(y)
}

impl MobileNetV2 {
    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let module = ConvModule::new(c.norm_cfg.as_ref(), c.act_cfg.as_ref());
        let mut features = Vec::new();
        let stem = [make_divisible(32.0 * c.widen_factor, 8), 3];
        // The original's modules of a convolution fill themselves, after their parents.
        let mut y = net.fixed(self.frozen_stages.is_some(), |net| {
            net.settled(|net| module.build(net, "conv1", x, stem, square(2, 1, 1)))
        })?;
        for (i, [expansion, width, count, stride]) in STAGES.into_iter().enumerate() {
            let out = make_divisible(width as f64 * c.widen_factor, 8);
            let from = y;
            y = net.frozen(self.frozen_stages.is_some_and(|n| i < n), |net| {
                net.layer(&format!("layer{}", i + 1), &[from], |net| {
                    let mut y = from;
                    for j in 0..count {
                        let x = y;
                        let stride = if j == 0 { stride } else { 1 };
                        y = net.layer(&j.to_string(), &[x], |net| {
                            block(net, module, x, out, stride, expansion)
                        })?;
                    }
                    Ok(y)
                })
            })?;
            if c.out_indices.contains(&i) {
                features.push(y);
            }
        }
        let out = (1280.0 * c.widen_factor.max(1.0)) as usize;
        let y = net.settled(|net| module.build(net, "conv2", y, [out, 1], square(1, 0, 1)))?;
        if c.out_indices.contains(&STAGES.len()) {
            features.push(y);
        }
        Ok(features)
    }
}

impl Backbone for MobileNetV2 {
    fn in_channels(&self) -> usize {
        self.config.in_channels
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| net.norm_eval(self.config.norm_eval, |net| self.layers(net, x)))
    }
}
