//! Residual networks.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Pool, PoolKind};
use serde::Deserialize;

use super::Backbone;
use super::res_block::{BlockCfg, BlockPlace, Style, square};
use crate::conv_module::{ActCfg, ConvModule};
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
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
    init_cfg: InitCfg,
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

/// Keys that members have beside those of `ResNet`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MemberConfig {
    groups: usize,
    width_per_group: usize,
    se_ratio: usize,
}

impl Default for MemberConfig {
    fn default() -> Self {
        Self { groups: 32, width_per_group: 4, se_ratio: 16 }
    }
}

/// The family's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Plain,
    Cifar,
    V1c,
    V1d,
    Next,
    Se,
    SeNext,
}

impl Member {
    /// The keys of [`MemberConfig`] that it knows.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Member::Plain | Member::Cifar | Member::V1c | Member::V1d => &[],
            Member::Next => &["groups", "width_per_group"],
            Member::Se => &["se_ratio"],
            Member::SeNext => &["groups", "width_per_group", "se_ratio"],
        }
    }
}

/// `ResNet`, `ResNetV1c`, `ResNetV1d`, `ResNeXt`, `SEResNet`, `SEResNeXt` and `ResNet_CIFAR` (He et al., 2016, arXiv:1512.03385).
///
/// | key | default | |
/// |---|---|---|
/// | `depth` | | 18, 34 (basic blocks), 50, 101, 152 (bottlenecks); also 20, 32, 44, 56, 110 of three stages (section 4.2 of the paper) |
/// | `in_channels`, `stem_channels`, `base_channels` | 3, 64, 64 | |
/// | `expansion` | 1 or 4 | output over inner channels of a bottleneck; 1 for basic blocks |
/// | `num_stages`, `strides`, `dilations` | 4, (1, 2, 2, 2), (1, 1, 1, 1) | |
/// | `out_indices` | (3,) | stages whose features are returned |
/// | `style` | `pytorch` | stride on the 3x3 convolution of a bottleneck, or on the first (`caffe`) |
/// | `deep_stem` | False | three 3x3 convolutions instead of one 7x7 |
/// | `avg_down` | False | shortcuts average before their 1x1 convolution |
/// | `frozen_stages` | -1 | from 0 on the stem, and stages up to this one, neither learn nor update statistics |
/// | `norm_cfg` | `dict(type='BN')` | |
/// | `norm_eval` | False | norm layers use and keep their running statistics in training |
/// | `zero_init_residual` | True | last norm weight of a block starts at 0 |
/// | `drop_path_rate` | 0 | a block's share of samples that take the shortcut alone in training; grows evenly from 0 to this over the blocks |
/// | `init_cfg` | `Kaiming` for convolutions, `Constant` 1 for norms | |
///
/// `ResNet_CIFAR` has a 3x3 stem of stride 1 and no pooling after it. `ResNetV1c` is one with `deep_stem`, `ResNetV1d`
/// with `avg_down` too (He et al., 2019, arXiv:1812.01187). `ResNeXt` (Xie et al., 2017, arXiv:1611.05431), of depth 50,
/// 101 or 152, has `groups=32` in its 3x3 convolutions, of `width_per_group=4` channels in the first stage. `SEResNet` and
/// `SEResNeXt` (Hu et al., 2018, arXiv:1709.01507), of the same depths, weigh the channels of every bottleneck, squeezed by
/// `se_ratio=16`; the original leaves out their drop path and `SEResNeXt`'s `se_ratio`, here both count.
///
/// `with_cp` is accepted and has no effect on results. A `Pretrained` checkpoint replaces the zeros of
/// `zero_init_residual`, also where it stands in a list of rules (the original zeroes them again then). Not supported:
/// `conv_cfg`.
///
/// Parameters take mmcls' names: `conv1`, `bn1`, `layer1.0.conv1`, .., `layer2.0.downsample.0`, ...
pub struct ResNet {
    config: Config,
    member: Member,
    own: MemberConfig,
    rules: Rules,
    blocks: &'static [usize],
    bottleneck: bool,
    frozen_stages: Option<usize>,
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

/// What `frozen_stages` means: none where it is below 0, else a number of stages.
pub(super) fn frozen_stages(wanted: i64, stages: usize) -> Result<Option<usize>> {
    match usize::try_from(wanted) {
        Err(_) => Ok(None),
        Ok(n) if n <= stages => Ok(Some(n)),
        Ok(n) => refuse(format!("frozen_stages={n} must not be above the number of stages, {stages}")),
    }
}

fn parse(value: &Value, member: Member) -> Result<Box<dyn Backbone>> {
    let (mut shared, mut own) = (value.clone(), Value::from(occam_config::Dict::new()));
    if let (Some(keys), Some(theirs)) = (shared.as_dict_mut(), own.as_dict_mut()) {
        for &key in member.keys() {
            if let Some(value) = keys.remove(key) {
                theirs.insert(key, value);
            }
        }
    }
    let config: Config = shared.parse()?;
    let own: MemberConfig = own.parse()?;
    let Some((bottleneck, blocks)) = arch(config.depth) else {
        let known = "18, 20, 32, 34, 44, 50, 56, 101, 110, 152";
        return refuse(format!("there is no ResNet of depth {}; known are {known}", config.depth));
    };
    if !member.keys().is_empty() && !bottleneck {
        return refuse(format!("there is none of depth {}; known are 50, 101, 152", config.depth));
    }
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
    match config.expansion {
        Some(0) => return refuse("expansion must be at least 1"),
        Some(n) if n != 1 && !bottleneck => return refuse("expansion must be 1 for basic blocks"),
        _ => {}
    }
    if matches!(member, Member::V1c | Member::V1d)
        && let Some(key) = ["deep_stem", "avg_down"].into_iter().find(|key| value.get(key).is_some())
    {
        return refuse(format!("`{key}` is settled by the type; leave it out, or use `ResNet`"));
    }
    let deep_stem = config.deep_stem || matches!(member, Member::V1c | Member::V1d);
    if deep_stem && (member == Member::Cifar || config.stem_channels < 2) {
        return refuse("deep_stem needs at least 2 stem channels, and ResNet_CIFAR has none");
    }
    let config = Config { deep_stem, avg_down: config.avg_down || member == Member::V1d, ..config };
    if own.groups == 0 || own.width_per_group == 0 || own.se_ratio == 0 {
        return refuse("groups, width_per_group and se_ratio must be at least 1");
    }
    if !(0.0..=1.0).contains(&config.drop_path_rate) {
        return refuse(format!("drop_path_rate={} must be from 0 to 1", config.drop_path_rate));
    }
    unsupported("conv_cfg", &config.conv_cfg)?;
    config.norm_cfg.check()?;
    let frozen_stages = frozen_stages(config.frozen_stages, stages)?;
    let rules = config.init_cfg.rules(Rules::backbone)?;
    Ok(Box::new(ResNet { config, member, own, rules, blocks, bottleneck, frozen_stages }))
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(parse(value, Member::Plain)?)
}

pub(super) fn build_cifar(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(parse(value, Member::Cifar)?)
}

pub(super) fn build_v1c(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(parse(value, Member::V1c)?)
}

pub(super) fn build_v1d(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(parse(value, Member::V1d)?)
}

pub(super) fn build_se(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(parse(value, Member::Se)?)
}

pub(super) fn build_se_next(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(parse(value, Member::SeNext)?)
}

pub(super) fn build_next(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(parse(value, Member::Next)?)
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
        let y = if self.member == Member::Cifar {
            net.conv2d("conv1", x, c.stem_channels, 3, square(1, 1, 1))?
        } else {
            net.conv2d("conv1", x, c.stem_channels, 7, square(2, 3, 1))?
        };
        let y = net.norm("bn1", y, &c.norm_cfg, 1.0)?;
        net.relu("relu", y)
    }

    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let expansion = c.expansion.unwrap_or(if self.bottleneck { 4 } else { 1 });
        // ResNeXt's paper counts a group's width in the first stage, where plain blocks have `base_channels`.
        let groups = if matches!(self.member, Member::Next | Member::SeNext) { self.own.groups } else { 1 };
        let widening = match groups {
            1 => [1, 1],
            groups => [groups.saturating_mul(self.own.width_per_group), c.base_channels],
        };
        let block = BlockCfg {
            norm: &c.norm_cfg,
            style: c.style,
            avg_down: c.avg_down,
            bottleneck: self.bottleneck,
            expansion,
            groups,
            widening,
            se_ratio: matches!(self.member, Member::Se | Member::SeNext).then_some(self.own.se_ratio),
            zero_init_residual: c.zero_init_residual,
        };
        let mut y = net.frozen(self.frozen_stages.is_some(), |net| self.stem(net, x))?;
        if self.member != Member::Cifar {
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
        // Drop path grows over all blocks of the depth, also where later stages are left out.
        let steps = (self.blocks.iter().sum::<usize>() - 1).max(1) as f64;
        let mut before = 0;
        let stages = self.blocks.iter().zip(&c.strides).zip(&c.dilations).take(c.num_stages);
        for (i, ((&count, &stride), &dilation)) in stages.enumerate() {
            let from = y;
            let frozen = self.frozen_stages.is_some_and(|n| i < n);
            y = net.frozen(frozen, |net| {
                net.layer(&format!("layer{}", i + 1), &[from], |net| {
                    let mut y = from;
                    for j in 0..count {
                        let x = y;
                        let place = BlockPlace {
                            out,
                            stride: if j == 0 { stride } else { 1 },
                            dilation,
                            drop_path: c.drop_path_rate * (before + j) as f64 / steps,
                        };
                        y = net.layer(&j.to_string(), &[x], |net| block.build(net, x, &place))?;
                    }
                    Ok(y)
                })
            })?;
            before += count;
            if c.out_indices.contains(&i) {
                features.push(y);
            }
            out = out.saturating_mul(2);
        }
        Ok(features)
    }
}

impl Backbone for ResNet {
    fn in_channels(&self) -> usize {
        self.config.in_channels
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| net.norm_eval(self.config.norm_eval, |net| self.layers(net, x)))
    }
}
