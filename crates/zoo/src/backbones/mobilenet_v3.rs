//! MobileNetV3.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::Activation::{self, HardSwish, Relu};
use serde::Deserialize;

use super::Backbone;
use super::inverted_residual::InvertedResidual;
use super::res_block::square;
use super::resnet::frozen_stages;
use crate::arch::named;
use crate::conv_module::ConvModule;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::net::unsupported;
use crate::se_layer::SeLayer;
use crate::width::make_divisible;
use crate::{Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    arch: Option<String>,
    #[serde(default)]
    conv_cfg: Option<Value>,
    #[serde(default = "batch_norm")]
    norm_cfg: Option<NormCfg>,
    #[serde(default)]
    out_indices: Option<Vec<usize>>,
    #[serde(default = "minus_one")]
    frozen_stages: i64,
    #[serde(default)]
    norm_eval: bool,
    #[serde(default, rename = "with_cp")]
    _with_cp: bool,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn batch_norm() -> Option<NormCfg> {
    Some(NormCfg { eps: 1e-3, momentum: 0.01, ..NormCfg::default() })
}
fn minus_one() -> i64 {
    -1
}

/// `MobileNetV3` (Howard et al., 2019, arXiv:1905.02244): inverted residuals, most of which weigh their channels.
///
/// | key | default | |
/// |---|---|---|
/// | `arch` | `small` | or `small_075`, `small_050`, `large` |
/// | `norm_cfg` | `dict(type='BN', eps=0.001, momentum=0.01)` | or None: convolutions have biases then |
/// | `out_indices` | the last | layers whose features are returned: 0 to 12 of the small ones, 0 to 16 of `large` |
/// | `frozen_stages` | -1 | layers up to this one neither learn nor update statistics |
/// | `norm_eval` | False | norm layers use and keep their running statistics in training |
/// | `init_cfg` | None | only `Pretrained` counts: the original's modules of a convolution fill themselves, by Kaiming's rule |
///
/// `with_cp` is accepted and has no effect on results. Not supported: `conv_cfg`.
///
/// Parameters take mmcls' names: `layer0.conv`, `layer1.depthwise_conv.conv`, `layer1.se.conv1.conv`, ..
pub struct MobileNetV3 {
    config: Config,
    rules: Rules,
    blocks: &'static [Block],
    out_indices: Vec<usize>,
    frozen_stages: Option<usize>,
}

/// One block: taps of the filter, channels that are filtered, channels that leave, whether channels are weighed,
/// activation, stride.
type Block = (usize, usize, usize, bool, Activation, usize);

/// Channels of the stem.
const STEM: usize = 16;

const SMALL: &[Block] = &[
    (3, 16, 16, true, Relu, 2),
    (3, 72, 24, false, Relu, 2),
    (3, 88, 24, false, Relu, 1),
    (5, 96, 40, true, HardSwish, 2),
    (5, 240, 40, true, HardSwish, 1),
    (5, 240, 40, true, HardSwish, 1),
    (5, 120, 48, true, HardSwish, 1),
    (5, 144, 48, true, HardSwish, 1),
    (5, 288, 96, true, HardSwish, 2),
    (5, 576, 96, true, HardSwish, 1),
    (5, 576, 96, true, HardSwish, 1),
];

const SMALL_075: &[Block] = &[
    (3, 16, 16, true, Relu, 2),
    (3, 72, 24, false, Relu, 2),
    (3, 88, 24, false, Relu, 1),
    (5, 96, 32, true, HardSwish, 2),
    (5, 192, 32, true, HardSwish, 1),
    (5, 192, 32, true, HardSwish, 1),
    (5, 96, 40, true, HardSwish, 1),
    (5, 120, 40, true, HardSwish, 1),
    (5, 240, 72, true, HardSwish, 2),
    (5, 432, 72, true, HardSwish, 1),
    (5, 432, 72, true, HardSwish, 1),
];

const SMALL_050: &[Block] = &[
    (3, 16, 8, true, Relu, 2),
    (3, 40, 16, false, Relu, 2),
    (3, 56, 16, false, Relu, 1),
    (5, 64, 24, true, HardSwish, 2),
    (5, 144, 24, true, HardSwish, 1),
    (5, 144, 24, true, HardSwish, 1),
    (5, 72, 24, true, HardSwish, 1),
    (5, 72, 24, true, HardSwish, 1),
    (5, 144, 48, true, HardSwish, 2),
    (5, 288, 48, true, HardSwish, 1),
    (5, 288, 48, true, HardSwish, 1),
];

const LARGE: &[Block] = &[
    (3, 16, 16, false, Relu, 1),
    (3, 64, 24, false, Relu, 2),
    (3, 72, 24, false, Relu, 1),
    (5, 72, 40, true, Relu, 2),
    (5, 120, 40, true, Relu, 1),
    (5, 120, 40, true, Relu, 1),
    (3, 240, 80, false, HardSwish, 2),
    (3, 200, 80, false, HardSwish, 1),
    (3, 184, 80, false, HardSwish, 1),
    (3, 184, 80, false, HardSwish, 1),
    (3, 480, 112, true, HardSwish, 1),
    (3, 672, 112, true, HardSwish, 1),
    (5, 672, 160, true, HardSwish, 2),
    (5, 960, 160, true, HardSwish, 1),
    (5, 960, 160, true, HardSwish, 1),
];

const ARCHS: [(&str, &[Block]); 4] =
    [("small", SMALL), ("small_075", SMALL_075), ("small_050", SMALL_050), ("large", LARGE)];

/// Squeezed to a quarter, and a factor for every channel from 0 to 1.
fn se_layer(channels: usize) -> SeLayer {
    let hard = Activation::HardSigmoid { bias: 3.0, divisor: 6.0, min: 0.0, max: 1.0 };
    SeLayer { squeezed: make_divisible((channels / 4) as f64, 8), activations: [Relu, hard] }
}

fn parse(value: &Value) -> Result<MobileNetV3> {
    let config: Config = value.parse()?;
    let blocks = named(config.arch.as_deref().unwrap_or("small"), &ARCHS)?;
    let last = blocks.len() + 1;
    let out_indices = config.out_indices.clone().unwrap_or_else(|| vec![last]);
    if out_indices.is_empty() || out_indices.iter().any(|&i| i > last) {
        return refuse(format!("out_indices must name layers from 0 to {last}"));
    }
    unsupported("conv_cfg", &config.conv_cfg)?;
    if let Some(norm) = &config.norm_cfg {
        norm.check()?;
    }
    let frozen_stages = frozen_stages(config.frozen_stages, last)?;
    let rules = config.init_cfg.rules(Rules::none)?;
    Ok(MobileNetV3 { config, rules, blocks, out_indices, frozen_stages })
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(Box::new(parse(value)?))
}

impl MobileNetV3 {
    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let frozen = |layer: usize| self.frozen_stages.is_some_and(|n| layer <= n);
        let plain = ConvModule::new(self.config.norm_cfg.as_ref(), None);
        let module = |act| ConvModule { act: Some(act), ..plain };
        let blocks = self.blocks;
        let mut y = net
            .frozen(frozen(0), |net| module(HardSwish).build(net, "layer0", x, [STEM, 3], square(2, 1, 1)))?;
        let mut layers = vec![y];
        for (i, &(kernel, mid, out, weighed, act, stride)) in blocks.iter().enumerate() {
            let block = InvertedResidual {
                module: module(act),
                mid,
                out,
                kernel,
                stride,
                se: weighed.then(|| se_layer(mid)),
                drop_path: 0.0,
            };
            let from = y;
            y = net.frozen(frozen(i + 1), |net| {
                net.layer(&format!("layer{}", i + 1), &[from], |net| block.build(net, from))
            })?;
            layers.push(y);
        }
        let wide = blocks.last().map_or(STEM, |&(_, mid, ..)| mid);
        let name = format!("layer{}", blocks.len() + 1);
        layers.push(net.frozen(frozen(blocks.len() + 1), |net| {
            module(HardSwish).build(net, &name, y, [wide, 1], square(1, 0, 1))
        })?);
        let wanted = |(i, y): (usize, ValueId)| self.out_indices.contains(&i).then_some(y);
        Ok(layers.into_iter().enumerate().filter_map(wanted).collect())
    }
}

impl Backbone for MobileNetV3 {
    fn in_channels(&self) -> usize {
        3
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| {
            net.settled(|net| net.norm_eval(self.config.norm_eval, |net| self.layers(net, x)))
        })
    }
}
