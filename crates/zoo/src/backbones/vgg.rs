//! VGG.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{DropUnit, Flatten, Pool, PoolKind};
use serde::Deserialize;

use super::Backbone;
use super::res_block::square;
use super::resnet::frozen_stages;
use crate::conv_module::{ActCfg, ConvModule};
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::net::unsupported;
use crate::{Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    depth: usize,
    #[serde(default = "minus_one")]
    num_classes: i64,
    #[serde(default = "five")]
    num_stages: usize,
    #[serde(default = "ones")]
    dilations: Vec<usize>,
    #[serde(default)]
    out_indices: Option<Vec<usize>>,
    #[serde(default = "minus_one")]
    frozen_stages: i64,
    #[serde(default)]
    conv_cfg: Option<Value>,
    #[serde(default)]
    norm_cfg: Option<NormCfg>,
    #[serde(default = "ActCfg::relu")]
    act_cfg: Option<ActCfg>,
    #[serde(default)]
    norm_eval: bool,
    #[serde(default)]
    ceil_mode: bool,
    #[serde(default = "yes")]
    with_last_pool: bool,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn minus_one() -> i64 {
    -1
}
fn five() -> usize {
    5
}
fn ones() -> Vec<usize> {
    vec![1; 5]
}
fn yes() -> bool {
    true
}

/// `VGG` (Simonyan and Zisserman, 2015, arXiv:1409.1556): stages of 3x3 convolutions with bias, each behind pooled to
/// half the size.
///
/// | key | default | |
/// |---|---|---|
/// | `depth` | | 11, 13, 16, 19 |
/// | `num_stages`, `dilations` | 5, (1, 1, 1, 1, 1) | |
/// | `num_classes` | -1 | where above 0, three linear layers with dropout classify images of 224x224 pixels |
/// | `out_indices` | (4,) | stages whose features are returned; with `num_classes` none by default, scores are returned in any case |
/// | `frozen_stages` | -1 | so many stages neither learn nor update statistics |
/// | `norm_cfg` | None | |
/// | `act_cfg` | `dict(type='ReLU')` | or another activation, or None |
/// | `ceil_mode` | False | odd sizes are rounded up |
/// | `norm_eval` | False | norm layers use and keep their running statistics in training |
/// | `with_last_pool` | True | whether the last stage is pooled |
/// | `init_cfg` | `Kaiming` for convolutions, `Constant` 1 for norms, `Normal` 0.01 for linear layers | |
///
/// Not supported: `conv_cfg`.
///
/// Parameters take mmcls' names: `features.0.conv`, `features.0.bn`, .., `classifier.0`; poolings count too.
pub struct Vgg {
    config: Config,
    rules: Rules,
    blocks: [usize; 5],
    out_indices: Vec<usize>,
    /// Outputs of the classifier, where there is one.
    num_classes: Option<usize>,
    frozen_stages: usize,
}

fn arch(depth: usize) -> Option<[usize; 5]> {
    Some(match depth {
        11 => [1, 1, 2, 2, 2],
        13 => [2, 2, 2, 2, 2],
        16 => [2, 2, 3, 3, 3],
        19 => [2, 2, 4, 4, 4],
        _ => return None,
    })
}

/// Channels of the stages.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

fn parse(value: &Value) -> Result<Vgg> {
    let config: Config = value.parse()?;
    let Some(blocks) = arch(config.depth) else {
        return refuse(format!("there is no VGG of depth {}; known are 11, 13, 16, 19", config.depth));
    };
    let stages = config.num_stages;
    if stages == 0 || stages > blocks.len() {
        return refuse(format!("num_stages={stages} must be in 1..={}", blocks.len()));
    }
    if config.dilations.len() != stages || config.dilations.contains(&0) {
        return refuse(format!("dilations must be num_stages={stages} numbers of at least 1"));
    }
    let num_classes = usize::try_from(config.num_classes).ok().filter(|&n| n > 0);
    let scores = num_classes.is_some();
    let out_indices = config.out_indices.clone().unwrap_or_else(|| if scores { vec![] } else { vec![4] });
    // The original names scores by one more than the last stage.
    let beyond = stages + usize::from(scores);
    if (out_indices.is_empty() && !scores) || out_indices.iter().any(|&i| i >= beyond) {
        return refuse(format!("out_indices {out_indices:?} must name stages below num_stages={stages}"));
    }
    unsupported("conv_cfg", &config.conv_cfg)?;
    if let Some(norm) = &config.norm_cfg {
        norm.check()?;
    }
    let frozen_stages = frozen_stages(config.frozen_stages, stages)?.unwrap_or(0);
    let rules = config.init_cfg.rules(|| Rules::backbone().and_linear(0.01))?;
    Ok(Vgg { config, rules, blocks, out_indices, num_classes, frozen_stages })
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(Box::new(parse(value)?))
}

impl Vgg {
    /// `num_classes` scores of 7x7 features.
    fn classifier(net: &mut Net, x: ValueId, num_classes: usize) -> Result<ValueId> {
        const SIZES: [usize; 3] = [512 * 7 * 7, 4096, 4096];
        let x = net.op("flatten", Flatten { axis: 1 }, &[x])?;
        net.layer("classifier", &[x], |net| {
            let y = net.linear("0", x, [SIZES[0], SIZES[1]], 0.01)?;
            let y = net.relu("1", y)?;
            let y = net.dropout("2", y, 0.5, DropUnit::Element)?;
            let y = net.linear("3", y, [SIZES[1], SIZES[2]], 0.01)?;
            let y = net.relu("4", y)?;
            let y = net.dropout("5", y, 0.5, DropUnit::Element)?;
            net.linear("6", y, [SIZES[2], num_classes], 0.01)
        })
    }

    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let module = ConvModule { biased: true, ..ConvModule::new(c.norm_cfg.as_ref(), c.act_cfg.as_ref()) };
        let pool = Pool {
            kind: PoolKind::Max,
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0, 0],
            ceil_mode: c.ceil_mode,
        };
        let mut features = Vec::new();
        let mut y = x;
        let mut place = 0;
        // The original walks through `features` one by one and never calls the container.
        let mut next = || {
            place += 1;
            format!("features.{}", place - 1)
        };
        let stages = self.blocks.iter().zip(WIDTHS).zip(&c.dilations).take(c.num_stages);
        for (i, ((&count, width), &dilation)) in stages.enumerate() {
            net.frozen(i < self.frozen_stages, |net| {
                for _ in 0..count {
                    y = module.build(net, &next(), y, [width, 3], square(1, dilation, dilation))?;
                }
                Ok(())
            })?;
            if c.with_last_pool || i + 1 < c.num_stages {
                let from = y;
                y = net.layer(&next(), &[from], |net| Ok(net.this(pool, &[from])?))?;
            }
            if self.out_indices.contains(&i) {
                features.push(y);
            }
        }
        if let Some(num_classes) = self.num_classes {
            features.push(Self::classifier(net, y, num_classes)?);
        }
        Ok(features)
    }
}

impl Backbone for Vgg {
    fn in_channels(&self) -> usize {
        3
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| net.norm_eval(self.config.norm_eval, |net| self.layers(net, x)))
    }
}
