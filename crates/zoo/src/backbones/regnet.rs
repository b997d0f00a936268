//! RegNet.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use serde::Deserialize;

use super::Backbone;
use super::res_block::{BlockCfg, BlockPlace, Style, square};
use super::resnet::frozen_stages;
use crate::arch::arch;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::net::unsupported;
use crate::{Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    arch: Value,
    #[serde(default = "three")]
    in_channels: usize,
    #[serde(default = "thirty_two")]
    stem_channels: usize,
    #[serde(default, rename = "base_channels")]
    _base_channels: usize,
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
}

fn three() -> usize {
    3
}
fn thirty_two() -> usize {
    32
}
fn halving() -> Vec<usize> {
    vec![2; 4]
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

/// `RegNet` (Radosavovic et al., 2020, arXiv:2003.13678): bottlenecks with grouped convolutions, whose widths grow along the
/// depth by a rule.
///
/// | key | default | |
/// |---|---|---|
/// | `arch` | | `regnetx_400mf`, `regnetx_800mf`, `regnetx_1.6gf`, `regnetx_3.2gf`, `regnetx_4.0gf`, `regnetx_6.4gf`, `regnetx_8.0gf`, `regnetx_12gf`, or `dict(w0=, wa=, wm=, depth=, group_w=, bot_mul=)` |
/// | `in_channels`, `stem_channels` | 3, 32 | |
/// | `strides`, `dilations` | (2, 2, 2, 2), (1, 1, 1, 1) | one for each stage |
/// | `out_indices` | (3,) | stages whose features are returned |
/// | `style`, `avg_down`, `norm_cfg`, `norm_eval`, `zero_init_residual`, `frozen_stages` | | as those of `ResNet` |
/// | `init_cfg` | None | weights are first uniform in ±1 / √fan_in |
///
/// Block `j` of `depth` has `w0 + wa · j` channels, moved to the next power of `wm` times `w0`, then to a multiple of 8; equal
/// neighbours are a stage. `bot_mul` times as many go through its 3x3 convolution, in groups of `group_w`. `base_channels`
/// is accepted and has no effect in the original either, nor has `with_cp`. Not supported: `deep_stem`, as in the original,
/// and `conv_cfg`.
///
/// Parameters take mmcls' names, which are those of `ResNet`.
pub struct RegNet {
    config: Config,
    rules: Rules,
    stages: Vec<Stage>,
    frozen_stages: Option<usize>,
}

/// Figures of one architecture.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arch {
    w0: usize,
    wa: f64,
    wm: f64,
    depth: usize,
    group_w: usize,
    bot_mul: f64,
}

const fn arch_of([w0, depth, group_w]: [usize; 3], wa: f64, wm: f64) -> Arch {
    Arch { w0, wa, wm, depth, group_w, bot_mul: 1.0 }
}

const ARCHS: [(&str, Arch); 8] = [
    ("regnetx_400mf", arch_of([24, 22, 16], 24.48, 2.54)),
    ("regnetx_800mf", arch_of([56, 16, 16], 35.73, 2.28)),
    ("regnetx_1.6gf", arch_of([80, 18, 24], 34.01, 2.25)),
    ("regnetx_3.2gf", arch_of([88, 25, 48], 26.31, 2.25)),
    ("regnetx_4.0gf", arch_of([96, 23, 40], 38.65, 2.43)),
    ("regnetx_6.4gf", arch_of([184, 17, 56], 60.83, 2.07)),
    ("regnetx_8.0gf", arch_of([80, 23, 120], 49.56, 2.88)),
    ("regnetx_12gf", arch_of([168, 19, 112], 73.36, 2.37)),
];

/// Blocks of one width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stage {
    count: usize,
    out: usize,
    groups: usize,
    /// Channels of a group.
    group_width: usize,
}

/// Widths are multiples of it.
const DIVISOR: f64 = 8.0;

/// Most blocks that an architecture may have.
const MOST_BLOCKS: usize = 1000;

impl Arch {
    fn stages(&self) -> Result<Vec<Stage>> {
        let &Self { w0, wa, wm, depth, group_w, bot_mul } = self;
        let fits = w0 > 0 && w0.is_multiple_of(8) && wa >= 0.0 && wm > 1.0 && group_w > 0 && bot_mul > 0.0;
        if !fits || depth == 0 || depth > MOST_BLOCKS {
            return refuse(format!(
                "arch: w0={w0} must be a multiple of 8, wa={wa} at least 0, wm={wm} above 1, depth={depth} from 1 to \
                 {MOST_BLOCKS}, group_w={group_w} at least 1, bot_mul={bot_mul} above 0"
            ));
        }
        let w0 = w0 as f64;
        let width = |j: usize| {
            let power = ((w0 + wa * j as f64) / w0).ln() / wm.ln();
            (w0 * wm.powf(power.round_ties_even()) / DIVISOR).round_ties_even() * DIVISOR
        };
        let mut stages: Vec<(usize, usize)> = Vec::new();
        for width in (0..depth).map(width).map(|w| w as usize) {
            match stages.last_mut() {
                Some((last, count)) if *last == width => *count += 1,
                _ => stages.push((width, 1)),
            }
        }
        let stage = |(width, count): (usize, usize)| {
            let inner = width as f64 * bot_mul;
            let group_width = group_w.min(inner as usize).max(1);
            let inner =
                ((inner.trunc() / group_width as f64).round_ties_even() as usize).saturating_mul(group_width);
            let out = (inner as f64 / bot_mul) as usize;
            let groups = (out as f64 * bot_mul).round_ties_even() as usize / group_width;
            Stage { count, out, groups, group_width }
        };
        Ok(stages.into_iter().map(stage).collect())
    }
}

fn parse(value: &Value) -> Result<RegNet> {
    let config: Config = value.parse()?;
    let stages = arch(&config.arch, &ARCHS)?.stages()?;
    let count = stages.len();
    if count > 4 || stages.iter().any(|s| s.out == 0 || s.groups == 0) {
        return refuse(format!(
            "arch: there are {count} stages; at most 4, none without channels, can be built"
        ));
    }
    if config.strides.len() != count || config.dilations.len() != count {
        return refuse(format!("strides and dilations must have one entry for each of {count} stages"));
    }
    if config.strides.contains(&0) || config.dilations.contains(&0) {
        return refuse("strides and dilations must be at least 1");
    }
    if config.out_indices.is_empty() || config.out_indices.iter().any(|&i| i >= count) {
        return refuse(format!("out_indices must name stages below {count}"));
    }
    if config.in_channels == 0 || config.stem_channels == 0 {
        return refuse("channel counts must be at least 1");
    }
    if config.deep_stem {
        return refuse("deep_stem does not exist for RegNet");
    }
    unsupported("conv_cfg", &config.conv_cfg)?;
    config.norm_cfg.check()?;
    let frozen_stages = frozen_stages(config.frozen_stages, count)?;
    let rules = config.init_cfg.rules(Rules::none)?;
    Ok(RegNet { config, rules, stages, frozen_stages })
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(Box::new(parse(value)?))
}

impl RegNet {
    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let mut y = net.frozen(self.frozen_stages.is_some(), |net| {
            let y = net.conv2d("conv1", x, c.stem_channels, 3, square(2, 1, 1))?;
            let y = net.norm("bn1", y, &c.norm_cfg, 1.0)?;
            net.relu("relu", y)
        })?;
        let mut features = Vec::new();
        for (i, ((stage, &stride), &dilation)) in
            self.stages.iter().zip(&c.strides).zip(&c.dilations).enumerate()
        {
            let inner = match stage.groups {
                1 => stage.out,
                groups => groups.saturating_mul(stage.group_width),
            };
            let block = BlockCfg {
                norm: &c.norm_cfg,
                style: c.style,
                avg_down: c.avg_down,
                bottleneck: true,
                expansion: 1,
                groups: stage.groups,
                widening: [inner, stage.out],
                se_ratio: None,
                zero_init_residual: c.zero_init_residual,
            };
            let from = y;
            y = net.frozen(self.frozen_stages.is_some_and(|n| i < n), |net| {
                net.layer(&format!("layer{}", i + 1), &[from], |net| {
                    let mut y = from;
                    for j in 0..stage.count {
                        let x = y;
                        let stride = if j == 0 { stride } else { 1 };
                        let place = BlockPlace { out: stage.out, stride, dilation, drop_path: 0.0 };
                        y = net.layer(&j.to_string(), &[x], |net| block.build(net, x, &place))?;
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

impl Backbone for RegNet {
    fn in_channels(&self) -> usize {
        self.config.in_channels
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| net.norm_eval(self.config.norm_eval, |net| self.layers(net, x)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Widths and depths of the paper's table.
    #[test]
    fn widths_follow_the_rule() {
        let stages = |name: &str| {
            let (_, arch) = ARCHS.iter().find(|(n, _)| *n == name).unwrap();
            arch.stages().unwrap().iter().map(|s| (s.count, s.out, s.groups)).collect::<Vec<_>>()
        };
        assert_eq!(stages("regnetx_400mf"), [(1, 32, 2), (2, 64, 4), (7, 160, 10), (12, 384, 24)]);
        assert_eq!(stages("regnetx_3.2gf"), [(2, 96, 2), (6, 192, 4), (15, 432, 9), (2, 1008, 21)]);
    }
}
