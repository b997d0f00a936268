//! ConvNeXt.

use occam_config::{Registry, Value};
use occam_graph::ops::{Activation, Binary, Conv, DropUnit, Flatten, GlobalAvgPool, Transpose, Unflatten};
use occam_graph::{Role, ValueId};
use serde::Deserialize;

use super::Backbone;
use super::res_block::square;
use crate::arch::{OutIndices, arch, named};
use crate::conv_module::ActCfg;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::transformer::{LayerNorm2dCfg, linear};
use crate::{Init, Net, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    arch: Option<Value>,
    #[serde(default = "three")]
    in_channels: usize,
    #[serde(default = "four")]
    stem_patch_size: usize,
    #[serde(default = "LayerNorm2dCfg::small_eps")]
    norm_cfg: LayerNorm2dCfg,
    #[serde(default = "gelu")]
    act_cfg: ActCfg,
    #[serde(default = "yes")]
    linear_pw_conv: bool,
    #[serde(default)]
    use_grn: bool,
    #[serde(default)]
    drop_path_rate: f64,
    #[serde(default = "millionth")]
    layer_scale_init_value: f64,
    #[serde(default = "last")]
    out_indices: OutIndices,
    #[serde(default)]
    frozen_stages: usize,
    #[serde(default = "yes")]
    gap_before_final_norm: bool,
    #[serde(default, rename = "with_cp")]
    _with_cp: bool,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn three() -> usize {
    3
}
fn four() -> usize {
    4
}
fn gelu() -> ActCfg {
    Activation::Gelu { tanh: false }.into()
}
fn yes() -> bool {
    true
}
fn millionth() -> f64 {
    1e-6
}
fn last() -> OutIndices {
    OutIndices::One(-1)
}

/// `ConvNeXt` (Liu et al., 2022, arXiv:2201.03545): blocks of a 7x7 convolution of each channel by itself, a layer norm over
/// the channels, and two linear layers with an activation in between at every place.
///
/// | key | default | |
/// |---|---|---|
/// | `arch` | `'tiny'` | or `'atto'`, `'femto'`, `'pico'`, `'nano'`, `'small'`, `'base'`, `'large'`, `'xlarge'`, `'huge'`, or `dict(depths=, channels=)` |
/// | `in_channels` | 3 | |
/// | `stem_patch_size` | 4 | side and step of the first convolution |
/// | `norm_cfg` | `dict(type='LN2d', eps=1e-6)` | |
/// | `act_cfg` | `dict(type='GELU')` | |
/// | `linear_pw_conv` | True | whether the linear layers are such, or 1x1 convolutions |
/// | `layer_scale_init_value` | 1e-6 | first value of `gamma`, a learned factor a channel of what a block adds; without one where 0 |
/// | `drop_path_rate` | 0 | share of samples that skip the last block in training; grows evenly from 0 over the blocks |
/// | `out_indices` | -1 | stages whose features are returned |
/// | `gap_before_final_norm` | True | whether `norm{i}` norms the features' means, `[N, C]`, or the features |
/// | `frozen_stages` | 0 | so many stages, and what comes before each, neither learn nor leave out |
/// | `init_cfg` | `TruncNormal` with deviation 0.02 for convolutions and linear layers, `Constant` 1 for layer norms | |
///
/// `with_cp` is accepted and has no effect on results. Not supported: `use_grn=True`, the response normalization of ConvNeXt
/// V2.
///
/// Parameters take mmcls' names: `downsample_layers.0.0`, `stages.0.0.depthwise_conv`, `stages.0.0.gamma`, .., `norm3`.
pub struct ConvNeXt {
    config: Config,
    rules: Rules,
    arch: Arch,
    out_indices: Vec<usize>,
}

/// Figures of one architecture.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arch {
    /// Blocks of the stages.
    depths: Vec<usize>,
    /// Channels of the stages.
    channels: Vec<usize>,
}

fn known() -> [(&'static str, Arch); 10] {
    let arch = |third: usize, second_last: usize, first: usize| Arch {
        depths: vec![third, third, second_last, third],
        channels: (0..4).map(|i| first << i).collect(),
    };
    [
        ("atto", arch(2, 6, 40)),
        ("femto", arch(2, 6, 48)),
        ("pico", arch(2, 6, 64)),
        ("nano", arch(2, 8, 80)),
        ("tiny", arch(3, 9, 96)),
        ("small", arch(3, 27, 96)),
        ("base", arch(3, 27, 128)),
        ("large", arch(3, 27, 192)),
        ("xlarge", arch(3, 27, 256)),
        ("huge", arch(3, 27, 352)),
    ]
}

/// Features of the inner linear layer over those of the block.
const EXPANSION: usize = 4;

/// From `[N, C, H, W]` to `[N, H, W, C]`.
const CHANNELS_LAST: [usize; 4] = [0, 2, 3, 1];

/// From `[N, H, W, C]` to `[N, C, H, W]`.
const CHANNELS_FIRST: [usize; 4] = [0, 3, 1, 2];

fn parse(value: &Value) -> Result<ConvNeXt> {
    let config: Config = value.parse()?;
    let arch = match &config.arch {
        Some(given) => arch(given, &known())?,
        None => named("tiny", &known())?,
    };
    let stages = arch.depths.len();
    if stages == 0 || arch.channels.len() != stages || arch.channels.contains(&0) {
        return refuse("arch: depths and channels must be equally many, and channels at least 1");
    }
    if config.in_channels == 0 || config.stem_patch_size == 0 {
        return refuse("in_channels and stem_patch_size must be at least 1");
    }
    if config.use_grn {
        return refuse("use_grn=True is not supported; leave it out or False");
    }
    if config.frozen_stages > stages {
        return refuse(format!("frozen_stages={} must not be above {stages}", config.frozen_stages));
    }
    let out_indices = config.out_indices.resolve(stages)?;
    let rules = config.init_cfg.rules(|| Rules::none().and_layer_norms(0.02, &["Conv2d", "Linear"]))?;
    Ok(ConvNeXt { config, rules, arch, out_indices })
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(Box::new(parse(value)?))
}

/// A convolution with bias.
fn conv(net: &mut Net, name: &str, x: ValueId, sides: [usize; 2], conv: Conv) -> Result<ValueId> {
    net.conv2d_with(name, x, sides, conv, true, Init::Constant(0.0))
}

fn permuted(net: &mut Net, name: &str, x: ValueId, perm: [usize; 4]) -> Result<ValueId> {
    Ok(net.op(name, Transpose { perm: perm.to_vec() }, &[x])?)
}

impl ConvNeXt {
    /// The norm layer `name` over the channels of `[N, C, H, W]`.
    fn norm(&self, net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
        let y = permuted(net, &format!("{name}.last"), x, CHANNELS_LAST)?;
        let y = self.config.norm_cfg.build(net, name, y)?;
        permuted(net, &format!("{name}.first"), y, CHANNELS_FIRST)
    }

    /// What leads to stage `i`: smaller images with more channels.
    fn downsample(&self, net: &mut Net, i: usize, x: ValueId, channels: usize) -> Result<ValueId> {
        net.layer(&format!("downsample_layers.{i}"), &[x], |net| {
            if i == 0 {
                let side = self.config.stem_patch_size;
                let y = conv(net, "0", x, [channels, side], square(side, 0, 1))?;
                return self.norm(net, "1", y);
            }
            let y = self.norm(net, "0", x)?;
            conv(net, "1", y, [channels, 2], square(2, 0, 1))
        })
    }

    fn activate(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        net.layer("act", &[x], |net| Ok(net.this(self.config.act_cfg.function(), &[x])?))
    }

    fn block(&self, net: &mut Net, x: ValueId, drop_path: f64) -> Result<ValueId> {
        let c = &self.config;
        let channels = net.channels(x)?;
        let mid = channels.saturating_mul(EXPANSION);
        let gamma = if c.layer_scale_init_value > 0.0 {
            let init = Init::Constant(c.layer_scale_init_value as f32);
            Some(net.parameter("gamma", &[channels], Role::Weight, init)?)
        } else {
            None
        };
        let each = Conv { groups: channels, ..square(1, 3, 1) };
        let y = conv(net, "depthwise_conv", x, [channels, 7], each)?;
        let y = if c.linear_pw_conv {
            let y = permuted(net, "last", y, CHANNELS_LAST)?;
            let y = c.norm_cfg.build(net, "norm", y)?;
            let y = linear(net, "pointwise_conv1", y, mid, true)?;
            let y = self.activate(net, y)?;
            let mut y = linear(net, "pointwise_conv2", y, channels, true)?;
            if let Some(gamma) = gamma {
                y = net.op("scaled", Binary::Mul, &[y, gamma])?;
            }
            permuted(net, "first", y, CHANNELS_FIRST)?
        } else {
            let y = self.norm(net, "norm", y)?;
            let y = conv(net, "pointwise_conv1", y, [mid, 1], square(1, 0, 1))?;
            let y = self.activate(net, y)?;
            let y = conv(net, "pointwise_conv2", y, [channels, 1], square(1, 0, 1))?;
            match gamma {
                Some(gamma) => {
                    let planes = Unflatten { axis: 0, sizes: vec![channels, 1, 1] };
                    let gamma = net.op("gamma.planes", planes, &[gamma])?;
                    net.op("scaled", Binary::Mul, &[y, gamma])?
                }
                None => y,
            }
        };
        let y = net.dropout("drop_path", y, drop_path, DropUnit::Sample)?;
        Ok(net.op("add", Binary::Add, &[x, y])?)
    }

    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let last = self.arch.depths.iter().sum::<usize>().saturating_sub(1).max(1) as f64;
        let (mut y, mut place) = (x, 0);
        let mut features = Vec::new();
        for (i, (&depth, &channels)) in self.arch.depths.iter().zip(&self.arch.channels).enumerate() {
            y = net.frozen(i < c.frozen_stages, |net| {
                let y = self.downsample(net, i, y, channels)?;
                net.layer(&format!("stages.{i}"), &[y], |net| {
                    (0..depth).try_fold(y, |y, j| {
                        let rate = c.drop_path_rate * place as f64 / last;
                        place += 1;
                        net.layer(&j.to_string(), &[y], |net| self.block(net, y, rate))
                    })
                })
            })?;
            if !self.out_indices.contains(&i) {
                continue;
            }
            let name = format!("norm{i}");
            features.push(if c.gap_before_final_norm {
                let means = net.op(&format!("{name}.mean"), GlobalAvgPool, &[y])?;
                let means = net.op(&format!("{name}.flatten"), Flatten { axis: 1 }, &[means])?;
                c.norm_cfg.build(net, &name, means)?
            } else {
                self.norm(net, &name, y)?
            });
        }
        Ok(features)
    }
}

impl Backbone for ConvNeXt {
    fn in_channels(&self) -> usize {
        self.config.in_channels
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| self.layers(net, x))
    }
}
