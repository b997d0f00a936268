//! EfficientNet.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Activation, Binary, DropUnit};
use serde::Deserialize;

use super::Backbone;
use super::inverted_residual::InvertedResidual;
use super::res_block::square;
use crate::arch::named;
use crate::conv_module::{ActCfg, ConvModule};
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::padding::{ConvCfg, Padding};
use crate::se_layer::SeLayer;
use crate::width::make_divisible;
use crate::{Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    arch: Option<String>,
    #[serde(default)]
    drop_path_rate: f64,
    #[serde(default = "last")]
    out_indices: Vec<usize>,
    #[serde(default)]
    frozen_stages: usize,
    #[serde(default = "ConvCfg::adaptive")]
    conv_cfg: Option<ConvCfg>,
    #[serde(default = "batch_norm")]
    norm_cfg: Option<NormCfg>,
    #[serde(default)]
    act_cfg: Option<ActCfg>,
    #[serde(default)]
    norm_eval: bool,
    #[serde(default, rename = "with_cp")]
    _with_cp: bool,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn last() -> Vec<usize> {
    vec![6]
}
fn batch_norm() -> Option<NormCfg> {
    Some(NormCfg { eps: 1e-3, ..NormCfg::default() })
}

/// `EfficientNet` (Tan and Le, 2019, arXiv:1905.11946): inverted residuals, one table of which is scaled in width and depth
/// together.
///
/// | key | default | |
/// |---|---|---|
/// | `arch` | `b0` | or `b1` to `b8`, `l2`, of EfficientNet-EdgeTPU `es`, `em`, `el`, or of EfficientNet-Lite `lite0` to `lite4` |
/// | `out_indices` | (6,) | stages whose features are returned; 0 is the stem, 6 the last convolution |
/// | `conv_cfg` | `dict(type='Conv2dAdaptivePadding')` | or `Conv2d`, or None |
/// | `norm_cfg` | `dict(type='BN', eps=1e-3)` | or None: convolutions have biases then |
/// | `act_cfg` | `dict(type='Swish')` | `dict(type='ReLU6')` for EfficientNet-Lite |
/// | `drop_path_rate` | 0 | share of samples that skip the last block in training; grows evenly from 0 over the blocks |
/// | `frozen_stages` | 0 | so many of `layers` neither learn nor update statistics |
/// | `norm_eval` | False | norm layers use and keep their running statistics in training |
/// | `init_cfg` | `Kaiming` for convolutions, `Constant` 1 for norms | |
///
/// `with_cp` is accepted and has no effect on results.
///
/// mmcls has no EfficientNet-Lite. As in its paper's code (<https://github.com/tensorflow/tpu>, `efficientnet/lite`) it has no
/// squeeze and excitation, and neither the widths of the stem and the last convolution nor the number of blocks of the first and
/// the last kind are scaled.
///
/// Parameters take mmcls' names: `layers.0.conv`, `layers.1.0.depthwise_conv.conv`, `layers.1.0.se.conv1.conv`, ..
pub struct EfficientNet {
    config: Config,
    rules: Rules,
    arch: Arch,
}

/// Which table, and what scales it.
#[derive(Debug, Clone, Copy)]
struct Arch {
    kind: Kind,
    width: f64,
    depth: f64,
}

/// Which of the three families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// EfficientNet-EdgeTPU.
    Edge,
    /// EfficientNet-Lite.
    Lite,
}

const fn arch_of(kind: Kind, width: f64, depth: f64) -> Arch {
    Arch { kind, width, depth }
}

const ARCHS: [(&str, Arch); 18] = [
    ("b0", arch_of(Kind::Plain, 1.0, 1.0)),
    ("b1", arch_of(Kind::Plain, 1.0, 1.1)),
    ("b2", arch_of(Kind::Plain, 1.1, 1.2)),
    ("b3", arch_of(Kind::Plain, 1.2, 1.4)),
    ("b4", arch_of(Kind::Plain, 1.4, 1.8)),
    ("b5", arch_of(Kind::Plain, 1.6, 2.2)),
    ("b6", arch_of(Kind::Plain, 1.8, 2.6)),
    ("b7", arch_of(Kind::Plain, 2.0, 3.1)),
    ("b8", arch_of(Kind::Plain, 2.2, 3.6)),
    ("l2", arch_of(Kind::Plain, 4.3, 5.3)),
    ("es", arch_of(Kind::Edge, 1.0, 1.0)),
    ("em", arch_of(Kind::Edge, 1.0, 1.1)),
    ("el", arch_of(Kind::Edge, 1.2, 1.4)),
    ("lite0", arch_of(Kind::Lite, 1.0, 1.0)),
    ("lite1", arch_of(Kind::Lite, 1.0, 1.1)),
    ("lite2", arch_of(Kind::Lite, 1.1, 1.2)),
    ("lite3", arch_of(Kind::Lite, 1.2, 1.4)),
    ("lite4", arch_of(Kind::Lite, 1.4, 1.8)),
];

/// Equal blocks, of which only the first may have a stride.
#[derive(Debug, Clone, Copy)]
struct Run {
    count: usize,
    /// Taps of the filter, along each axis.
    kernel: usize,
    out: usize,
    stride: usize,
    /// Channels that are filtered, over those that enter.
    expansion: usize,
    /// Whether the filter mixes the channels: `EdgeResidual`.
    edge: bool,
}

const fn run(count: usize, [kernel, out, stride, expansion]: [usize; 4], edge: bool) -> Run {
    Run { count, kernel, out, stride, expansion, edge }
}

/// Blocks of EfficientNet. A run without stride belongs to the stage of the run before it.
const PLAIN: &[Run] = &[
    run(1, [3, 16, 1, 1], false),
    run(2, [3, 24, 2, 6], false),
    run(2, [5, 40, 2, 6], false),
    run(3, [3, 80, 2, 6], false),
    run(3, [5, 112, 1, 6], false),
    run(4, [5, 192, 2, 6], false),
    run(1, [3, 320, 1, 6], false),
];

/// Blocks of EfficientNet-EdgeTPU.
const EDGE: &[Run] = &[
    run(1, [3, 24, 1, 3], true),
    run(2, [3, 32, 2, 8], true),
    run(4, [3, 48, 2, 8], true),
    run(5, [5, 96, 2, 8], false),
    run(4, [5, 144, 1, 8], false),
    run(2, [5, 192, 2, 8], false),
];

/// Channels of the stem and of the last convolution, before they are scaled.
const ENDS: [usize; 2] = [32, 1280];

/// Number of stages, with the stem and the last convolution.
const STAGES: usize = 7;

fn parse(value: &Value) -> Result<EfficientNet> {
    let config: Config = value.parse()?;
    let arch = named(config.arch.as_deref().unwrap_or("b0"), &ARCHS)?;
    if config.out_indices.is_empty() || config.out_indices.iter().any(|&i| i >= STAGES) {
        return refuse(format!("out_indices must name stages from 0 to {}", STAGES - 1));
    }
    if let Some(norm) = &config.norm_cfg {
        norm.check()?;
    }
    if config.frozen_stages > STAGES {
        return refuse(format!("frozen_stages={} must not be above {STAGES}", config.frozen_stages));
    }
    let rules = config.init_cfg.rules(Rules::backbone)?;
    Ok(EfficientNet { config, rules, arch })
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(Box::new(parse(value)?))
}

/// mmcls' `EdgeResidual`: `conv1` widens and filters, `conv2` narrows; the input is added where the shapes allow it and
/// `shortcut` is set.
struct EdgeResidual<'a> {
    module: ConvModule<'a>,
    mid: usize,
    out: usize,
    kernel: usize,
    stride: usize,
    shortcut: bool,
    drop_path: f64,
}

impl EdgeResidual<'_> {
    fn build(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let channels = net.channels(x)?;
        let &Self { module, mid, out, kernel, stride, .. } = self;
        let y = module.build(net, "conv1", x, [mid, kernel], square(stride, kernel / 2, 1))?;
        let y = module.linear().build(net, "conv2", y, [out, 1], square(1, 0, 1))?;
        if !self.shortcut || stride != 1 || channels != out {
            return Ok(y);
        }
        let y = net.dropout("drop_path", y, self.drop_path, DropUnit::Sample)?;
        Ok(net.op("add", Binary::Add, &[x, y])?)
    }
}

impl EfficientNet {
    fn act_cfg(&self) -> ActCfg {
        let own = if self.arch.kind == Kind::Lite { Activation::Relu6 } else { Activation::Silu };
        self.config.act_cfg.unwrap_or_else(|| own.into())
    }

    fn width(&self, channels: usize) -> usize {
        make_divisible(channels as f64 * self.arch.width, 8)
    }

    /// Blocks by stage, scaled.
    fn stages(&self) -> Vec<Vec<Run>> {
        let mut stages: Vec<Vec<Run>> = Vec::new();
        let table = if self.arch.kind == Kind::Edge { EDGE } else { PLAIN };
        for (i, run) in table.iter().enumerate() {
            let fixed = self.arch.kind == Kind::Lite && (i == 0 || i + 1 == table.len());
            let depth = if fixed { 1.0 } else { self.arch.depth };
            let count = (run.count as f64 * depth).ceil() as usize;
            let run = Run { count: 1, out: self.width(run.out), ..*run };
            let blocks = (0..count).map(|i| Run { stride: if i == 0 { run.stride } else { 1 }, ..run });
            match stages.last_mut() {
                Some(stage) if run.stride == 1 => stage.extend(blocks),
                _ => stages.push(blocks.collect()),
            }
        }
        stages
    }

    /// Block `place` of a stage.
    fn block(
        &self,
        net: &mut Net,
        module: ConvModule<'_>,
        x: ValueId,
        run: Run,
        place: usize,
        drop_path: f64,
    ) -> Result<ValueId> {
        let channels = net.channels(x)?;
        let Run { kernel, out, stride, .. } = run;
        let mid = channels.saturating_mul(run.expansion);
        if run.edge {
            // The first stage of EfficientNet-EdgeTPU is another from its second block on.
            let shortcut = place == 0 || run.expansion != 3;
            let mid = if shortcut { mid } else { channels.saturating_mul(4) };
            return EdgeResidual { module, mid, out, kernel, stride, shortcut, drop_path }.build(net, x);
        }
        let activations = [self.act_cfg().function(), Activation::Sigmoid];
        // A quarter of what enters, whatever the expansion.
        let se = SeLayer { squeezed: make_divisible((channels / 4) as f64, 1), activations };
        let se = (self.arch.kind == Kind::Plain).then_some(se);
        InvertedResidual { module, mid, out, kernel, stride, se, drop_path }.build(net, x)
    }
}

impl Backbone for EfficientNet {
    fn in_channels(&self) -> usize {
        3
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| net.norm_eval(self.config.norm_eval, |net| self.layers(net, x)))
    }
}

impl EfficientNet {
    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let frozen = |layer: usize| layer < self.config.frozen_stages;
        let c = &self.config;
        let padding = c.conv_cfg.as_ref().map_or(Padding::Own, ConvCfg::padding);
        let act = self.act_cfg();
        let module = ConvModule { padding, ..ConvModule::new(c.norm_cfg.as_ref(), Some(&act)) };
        let stages = self.stages();
        let blocks: usize = stages.iter().map(Vec::len).sum();
        let ends_scaled = self.arch.kind != Kind::Lite;
        let [stem, wide] = ENDS.map(|channels| if ends_scaled { self.width(channels) } else { channels });
        let mut y =
            net.frozen(frozen(0), |net| module.build(net, "layers.0", x, [stem, 3], square(2, 1, 1)))?;
        let mut layers = vec![y];
        let mut before = 0;
        for (i, stage) in stages.iter().enumerate() {
            let from = y;
            y = net.frozen(frozen(i + 1), |net| {
                net.layer(&format!("layers.{}", i + 1), &[from], |net| {
                    let mut y = from;
                    for (j, &run) in stage.iter().enumerate() {
                        let x = y;
                        let share = (before + j) as f64 / (blocks - 1).max(1) as f64;
                        let rate = c.drop_path_rate * share;
                        y =
                            net.layer(&j.to_string(), &[x], |net| self.block(net, module, x, run, j, rate))?;
                    }
                    Ok(y)
                })
            })?;
            before += stage.len();
            layers.push(y);
        }
        let name = format!("layers.{}", stages.len() + 1);
        layers.push(net.frozen(frozen(stages.len() + 1), |net| {
            module.build(net, &name, y, [wide, 1], square(1, 0, 1))
        })?);
        let wanted = |(i, y): (usize, ValueId)| c.out_indices.contains(&i).then_some(y);
        Ok(layers.into_iter().enumerate().filter_map(wanted).collect())
    }
}
