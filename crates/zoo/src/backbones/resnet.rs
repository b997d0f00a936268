//! Residual networks.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Pool, PoolKind};
use serde::Deserialize;

use super::Backbone;
use super::res_block::{BlockCfg, Style, square};
use crate::conv_module::{ActCfg, ConvModule};
use crate::error::refuse;
use crate::net::unsupported;
use crate::{Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    depth: usize,
    #[serde(default = "three")]
    in_channels: usize,
    #[serde(default = "sixty_four")]
    stem_channels: usize,
    #[serde(default = "sixty_four")]
    base_channels: usize,
    #[serde(default)]
    expansion: Option<usize>,
    #[serde(default = "four")]
    num_stages: usize,
    #[serde(default = "halving")]
    strides: Vec<usize>,
    #[serde(default = "ones")]
    dilations: Vec<usize>,
    #[serde(default = "last")]
    out_indices: Vec<usize>,
    #[serde(default = "pytorch")]
    style: Style,
    #[serde(default)]
    deep_stem: bool,
    #[serde(default)]
    avg_down: bool,
    #[serde(default = "minus_one")]
    frozen_stages: i64,
    #[serde(default)]
    conv_cfg: Option<Value>,
    #[serde(default)]
    norm_cfg: NormCfg,
    #[serde(default)]
    norm_eval: bool,
    #[serde(default, rename = "with_cp")]
    _with_cp: bool,
    #[serde(default = "yes")]
    zero_init_residual: bool,
    #[serde(default)]
    init_cfg: Option<Value>,
    #[serde(default)]
    drop_path_rate: f64,
}

fn three() -> usize {
    3
}
fn four() -> usize {
    4
}
fn sixty_four() -> usize {
    64
}
fn halving() -> Vec<usize> {
    vec![1, 2, 2, 2]
}
fn ones() -> Vec<usize> {
    vec![1; 4]
}
fn last() -> Vec<usize> {
    vec![3]
}
fn pytorch() -> Style {
    Style::Pytorch
}
fn minus_one() -> i64 {
    -1
}
fn yes() -> bool {
    true
}

/// `ResNet` and `ResNet_CIFAR` (He et al., 2016, arXiv:1512.03385).
///
/// | key | default | |
/// |---|---|---|
/// | `depth` | | 18, 34 (basic blocks), 50, 101, 152 (bottlenecks); also 20, 32, 44, 56, 110 of three stages (section 4.2 of the paper) |
/// | `in_channels`, `stem_channels`, `base_channels` | 3, 64, 64 | |
/// | `expansion` | 1 or 4 | output over inner channels of a block |
/// | `num_stages`, `strides`, `dilations` | 4, (1, 2, 2, 2), (1, 1, 1, 1) | |
/// | `out_indices` | (3,) | stages whose features are returned |
/// | `style` | `pytorch` | stride on the 3x3 convolution of a bottleneck, or on the first (`caffe`) |
/// | `deep_stem` | False | three 3x3 convolutions instead of one 7x7 |
/// | `avg_down` | False | shortcuts average before their 1x1 convolution |
/// | `norm_cfg` | `dict(type='BN')` | |
/// | `zero_init_residual` | True | last norm weight of a block starts at 0 |
///
/// `ResNet_CIFAR` has a 3x3 stem of stride 1 and no pooling after it. `with_cp` is accepted and has no effect on
/// results. Not supported: `frozen_stages`, `norm_eval`, `drop_path_rate`, `conv_cfg`, `init_cfg`.
///
/// Parameters take mmcls' names: `conv1`, `bn1`, `layer1.0.conv1`, .., `layer2.0.downsample.0`, ...
pub struct ResNet {
    config: Config,
    blocks: &'static [usize],
    bottleneck: bool,
    cifar: bool,
}

fn arch(depth: usize) -> Option<(bool, &'static [usize])> {
    Some(match depth {
        18 => (false, &[2, 2, 2, 2]),
        34 => (false, &[3, 4, 6, 3]),
        50 => (true, &[3, 4, 6, 3]),
        101 => (true, &[3, 4, 23, 3]),
        152 => (true, &[3, 8, 36, 3]),
        20 => (false, &[3, 3, 3]),
        32 => (false, &[5, 5, 5]),
        44 => (false, &[7, 7, 7]),
        56 => (false, &[9, 9, 9]),
        110 => (false, &[18, 18, 18]),
        _ => return None,
    })
}

fn parse(value: &Value, cifar: bool) -> Result<Box<dyn Backbone>> {
    let config: Config = value.parse()?;
    let Some((bottleneck, blocks)) = arch(config.depth) else {
        let known = "18, 20, 32, 34, 44, 50, 56, 101, 110, 152";
        return refuse(format!("there is no ResNet of depth {}; known are {known}", config.depth));
    };
    let stages = config.num_stages;
    if stages == 0 || stages > blocks.len() {
        let message =
            format!("num_stages={stages} must be in 1..={} at depth {}", blocks.len(), config.depth);
        return refuse(message);
    }
    if config.strides.len() != stages || config.dilations.len() != stages {
        return refuse(format!("strides and dilations must have num_stages={stages} entries"));
    }
    if config.strides.contains(&0) || config.dilations.contains(&0) {
        return refuse("strides and dilations must be at least 1");
    }
    if config.out_indices.is_empty() || config.out_indices.iter().any(|&i| i >= stages) {
        return refuse(format!("out_indices must name stages below num_stages={stages}"));
    }
    if config.in_channels == 0 || config.stem_channels == 0 || config.base_channels == 0 {
        return refuse("channel counts must be at least 1");
    }
    if config.expansion == Some(0) {
        return refuse("expansion must be at least 1");
    }
    if config.deep_stem && (cifar || config.stem_channels < 2) {
        return refuse("deep_stem needs at least 2 stem channels, and ResNet_CIFAR has none");
    }
    unsupported("conv_cfg", &config.conv_cfg)?;
    unsupported("init_cfg", &config.init_cfg)?;
    config.norm_cfg.check()?;
    if config.frozen_stages >= 0 || config.norm_eval || config.drop_path_rate != 0.0 {
        return refuse("frozen_stages, norm_eval and drop_path_rate are not supported");
    }
    Ok(Box::new(ResNet { config, blocks, bottleneck, cifar }))
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(parse(value, false)?)
}

pub(super) fn build_cifar(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(parse(value, true)?)
}

impl ResNet {
    fn stem(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let c = &self.config;
        if c.deep_stem {
            let half = c.stem_channels / 2;
            return net.layer("stem", &[x], |net| {
                let module = ConvModule::new(Some(&c.norm_cfg), ActCfg::relu().as_ref());
                let y = module.build(net, "0", x, [half, 3], square(2, 1, 1))?;
                let y = module.build(net, "1", y, [half, 3], square(1, 1, 1))?;
                module.build(net, "2", y, [c.stem_channels, 3], square(1, 1, 1))
            });
        }
        let y = if self.cifar {
            net.conv2d("conv1", x, c.stem_channels, 3, square(1, 1, 1))?
        } else {
            net.conv2d("conv1", x, c.stem_channels, 7, square(2, 3, 1))?
        };
        let y = net.norm("bn1", y, &c.norm_cfg, 1.0)?;
        net.relu("relu", y)
    }
}

impl Backbone for ResNet {
    fn in_channels(&self) -> usize {
        self.config.in_channels
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let expansion = c.expansion.unwrap_or(if self.bottleneck { 4 } else { 1 });
        let block = BlockCfg {
            norm: &c.norm_cfg,
            style: c.style,
            avg_down: c.avg_down,
            bottleneck: self.bottleneck,
            expansion,
            zero_init_residual: c.zero_init_residual,
        };
        let mut y = self.stem(net, x)?;
        if !self.cifar {
            let pool = Pool {
                kind: PoolKind::Max,
                kernel: [3, 3],
                stride: [2, 2],
                padding: [1, 1],
                ceil_mode: false,
            };
            let from = y;
            y = net.layer("maxpool", &[from], |net| Ok(net.this(pool, &[from])?))?;
        }
        let mut out = c
            .base_channels
            .checked_mul(expansion)
            .ok_or_else(|| occam_config::Error::new("base_channels is too large"))?;
        let mut features = Vec::new();
        let stages = self.blocks.iter().zip(&c.strides).zip(&c.dilations).take(c.num_stages);
        for (i, ((&count, &stride), &dilation)) in stages.enumerate() {
            let from = y;
            y = net.layer(&format!("layer{}", i + 1), &[from], |net| {
                let mut y = from;
                for j in 0..count {
                    let x = y;
                    let stride = if j == 0 { stride } else { 1 };
                    y = net.layer(&j.to_string(), &[x], |net| block.build(net, x, out, stride, dilation))?;
                }
                Ok(y)
            })?;
            if c.out_indices.contains(&i) {
                features.push(y);
            }
            out = out.saturating_mul(2);
        }
        Ok(features)
    }
}
