//! A linear layer between backbone and head.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use serde::Deserialize;

use super::Neck;
use crate::conv_module::ActCfg;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::{Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    in_channels: usize,
    out_channels: usize,
    #[serde(default = "batch_norm")]
    norm_cfg: Option<NormCfg>,
    #[serde(default)]
    act_cfg: Option<ActCfg>,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn batch_norm() -> Option<NormCfg> {
    Some(NormCfg { kind: "BN1d".into(), ..NormCfg::default() })
}

/// `reduction`, a linear layer on the last of the features, then `norm` and `act`.
///
/// | key | default | |
/// |---|---|---|
/// | `in_channels`, `out_channels` | | sizes |
/// | `norm_cfg` | `dict(type='BN1d')` | or None |
/// | `act_cfg` | None | |
/// | `init_cfg` | None | layers start as PyTorch makes them |
pub struct LinearReduction {
    config: Config,
    rules: Rules,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Neck>, occam_config::Error> {
    let config: Config = value.parse()?;
    if config.in_channels == 0 || config.out_channels == 0 {
        return Err(occam_config::Error::new("LinearReduction: sizes must be at least 1"));
    }
    if let Some(norm) = &config.norm_cfg {
        norm.check()?;
    }
    let rules = config.init_cfg.rules(Rules::none)?;
    Ok(Box::new(LinearReduction { config, rules }))
}

impl Neck for LinearReduction {
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let Some(&x) = features.last() else {
            return refuse("LinearReduction needs a feature");
        };
        net.ruled(&self.rules, |net| {
            let mut y = net.linear("reduction", x, [c.in_channels, c.out_channels], 0.01)?;
            if let Some(norm) = &c.norm_cfg {
                y = net.norm("norm", y, norm, 1.0)?;
            }
            if let Some(act) = &c.act_cfg {
                let before = y;
                y = net.layer("act", &[before], |net| Ok(net.this(act.function(), &[before])?))?;
            }
            Ok(vec![y])
        })
    }
}
