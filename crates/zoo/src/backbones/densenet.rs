//! DenseNet.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Activation, Concat, DropUnit, Pool, PoolKind};
use serde::Deserialize;

use super::Backbone;
use super::res_block::square;
use crate::arch::{OutIndices, arch, named};
use crate::conv_module::ActCfg;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::{Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    arch: Option<Value>,
    #[serde(default = "three")]
    in_channels: usize,
    #[serde(default = "four")]
    bn_size: usize,
    #[serde(default)]
    drop_rate: f64,
    #[serde(default = "half")]
    compression_factor: f64,
    #[serde(default, rename = "memory_efficient")]
    _memory_efficient: bool,
    #[serde(default)]
    norm_cfg: NormCfg,
    #[serde(default = "relu")]
    act_cfg: ActCfg,
    #[serde(default = "last")]
    out_indices: OutIndices,
    #[serde(default)]
    frozen_stages: usize,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn three() -> usize {
    3
}
fn four() -> usize {
    4
}
fn half() -> f64 {
    0.5
}
fn relu() -> ActCfg {
    Activation::Relu.into()
}
fn last() -> OutIndices {
    OutIndices::One(-1)
}

/// `DenseNet` (Huang et al., 2017, arXiv:1608.06993): every layer of a block sees what all layers before it made.
///
/// | key | default | |
/// |---|---|---|
/// | `arch` | `'121'` | or `'161'`, `'169'`, `'201'`, or `dict(growth_rate=, depths=, init_channels=)` |
/// | `in_channels` | 3 | |
/// | `bn_size` | 4 | channels between the two convolutions of a layer, over those that it adds |
/// | `compression_factor` | 0.5 | share of the channels that stays between two blocks |
/// | `norm_cfg`, `act_cfg` | `BN`, `ReLU` | |
/// | `drop_rate` | 0 | share of what a layer adds that is left out in training, element by element |
/// | `out_indices` | -1 | stages whose features are returned |
/// | `frozen_stages` | 0 | so many stages, with what follows them, neither learn nor update statistics; the stem does |
/// | `init_cfg` | None | weights are first uniform in ±1 / √fan_in |
///
/// `memory_efficient` is accepted and has no effect on results.
///
/// Parameters take mmcls' names: `stem.0`, `stages.0.block.0.norm1`, ..,
/// `transitions.3.0`; those of a transition come after the stage before it, not after all stages.
pub struct DenseNet {
    config: Config,
    rules: Rules,
    arch: Arch,
    out_indices: Vec<usize>,
}

/// Figures of one architecture.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arch {
    /// Channels that a layer adds.
    growth_rate: usize,
    /// Layers of the blocks.
    depths: Vec<usize>,
    /// Channels of the stem.
    init_channels: usize,
}

fn known() -> [(&'static str, Arch); 4] {
    let arch = |growth_rate, depths: [usize; 4], init_channels| Arch {
        growth_rate,
        depths: depths.to_vec(),
        init_channels,
    };
    [
        ("121", arch(32, [6, 12, 24, 16], 64)),
        ("161", arch(48, [6, 12, 36, 24], 96)),
        ("169", arch(32, [6, 12, 32, 32], 64)),
        ("201", arch(32, [6, 12, 48, 32], 64)),
    ]
}

fn parse(value: &Value) -> Result<DenseNet> {
    let config: Config = value.parse()?;
    let arch = match &config.arch {
        Some(given) => arch(given, &known())?,
        None => named("121", &known())?,
    };
    if arch.growth_rate == 0 || arch.init_channels == 0 || arch.depths.is_empty() || config.in_channels == 0 {
        return refuse("channel counts must be at least 1, and there must be a stage");
    }
    if config.bn_size == 0 || !(config.compression_factor > 0.0 && config.compression_factor <= 1.0) {
        return refuse("bn_size must be at least 1, compression_factor above 0 and at most 1");
    }
    let out_indices = config.out_indices.resolve(arch.depths.len())?;
    config.norm_cfg.check()?;
    let stages = arch.depths.len();
    if config.frozen_stages > stages {
        return refuse(format!("frozen_stages={} must not be above {stages}", config.frozen_stages));
    }
    let rules = config.init_cfg.rules(Rules::none)?;
    Ok(DenseNet { config, rules, arch, out_indices })
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(Box::new(parse(value)?))
}

impl DenseNet {
    fn conv(
        &self,
        net: &mut Net,
        name: &str,
        x: ValueId,
        [out, kernel]: [usize; 2],
        stride: usize,
    ) -> Result<ValueId> {
        net.conv2d(name, x, out, kernel, square(stride, kernel / 2, 1))
    }

    fn activate(&self, net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
        net.layer(name, &[x], |net| Ok(net.this(self.config.act_cfg.function(), &[x])?))
    }

    fn stem(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let pool =
            Pool { kind: PoolKind::Max, kernel: [3, 3], stride: [2, 2], padding: [1, 1], ceil_mode: false };
        net.layer("stem", &[x], |net| {
            let y = self.conv(net, "0", x, [self.arch.init_channels, 7], 2)?;
            let y = net.norm("1", y, &self.config.norm_cfg, 1.0)?;
            let y = self.activate(net, "2", y)?;
            net.layer("3", &[y], |net| Ok(net.this(pool, &[y])?))
        })
    }

    /// `block.{j}` adds its channels to those of `all`, the features before it in one value.
    fn block(&self, net: &mut Net, x: ValueId, depth: usize) -> Result<ValueId> {
        let (norm, growth) = (&self.config.norm_cfg, self.arch.growth_rate);
        let mut features = vec![x];
        let mut all = x;
        for j in 0..depth {
            let seen = all;
            let y = net.layer(&format!("block.{j}"), &features, |net| {
                let y = net.norm("norm1", seen, norm, 1.0)?;
                let y = self.activate(net, "act", y)?;
                let y = self.conv(net, "conv1", y, [self.config.bn_size.saturating_mul(growth), 1], 1)?;
                let y = net.norm("norm2", y, norm, 1.0)?;
                let y = self.activate(net, "act", y)?;
                let y = self.conv(net, "conv2", y, [growth, 3], 1)?;
                net.dropout("dropout", y, self.config.drop_rate, DropUnit::Element)
            })?;
            features.push(y);
            all = net.op(&format!("block.{j}.concat"), Concat { axis: 1 }, &[seen, y])?;
        }
        Ok(all)
    }

    fn transition(&self, net: &mut Net, x: ValueId, last: bool) -> Result<ValueId> {
        let norm = &self.config.norm_cfg;
        if last {
            let y = net.norm("0", x, norm, 1.0)?;
            return self.activate(net, "1", y);
        }
        let pool = Pool {
            kind: PoolKind::Average { count_include_pad: true },
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0, 0],
            ceil_mode: false,
        };
        let out = (net.channels(x)? as f64 * self.config.compression_factor).floor() as usize;
        let y = net.norm("norm", x, norm, 1.0)?;
        let y = self.activate(net, "act", y)?;
        let y = self.conv(net, "conv", y, [out, 1], 1)?;
        net.layer("pool", &[y], |net| Ok(net.this(pool, &[y])?))
    }
}

impl Backbone for DenseNet {
    fn in_channels(&self) -> usize {
        self.config.in_channels
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| self.layers(net, x))
    }
}

impl DenseNet {
    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let mut y = self.stem(net, x)?;
        let mut features = Vec::new();
        for (i, &depth) in self.arch.depths.iter().enumerate() {
            let last = i + 1 == self.arch.depths.len();
            let x = y;
            y = net.frozen(i < self.config.frozen_stages, |net| {
                let y = net.layer(&format!("stages.{i}"), &[x], |net| self.block(net, x, depth))?;
                net.layer(&format!("transitions.{i}"), &[y], |net| self.transition(net, y, last))
            })?;
            if self.out_indices.contains(&i) {
                features.push(y);
            }
        }
        Ok(features)
    }
}
