//! A classifier of several linear layers.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::DropUnit;
use serde::Deserialize;

use super::Head;
use super::cls::{ClsTask, TopK, last_feature};
use crate::conv_module::ActCfg;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::{Net, NormCfg, Result, Task};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    num_classes: usize,
    in_channels: usize,
    mid_channels: Vec<usize>,
    #[serde(default)]
    dropout_rate: f64,
    #[serde(default)]
    norm_cfg: Option<NormCfg>,
    #[serde(default = "ActCfg::relu")]
    act_cfg: Option<ActCfg>,
    #[serde(default)]
    loss: Option<Value>,
    #[serde(default)]
    topk: TopK,
    #[serde(default)]
    cal_acc: bool,
    #[serde(default)]
    init_cfg: InitCfg,
}

/// Linear layers from `in_channels` features over those of `mid_channels` to `num_classes` scores.
///
/// | key | default | |
/// |---|---|---|
/// | `num_classes`, `in_channels`, `mid_channels` | | sizes |
/// | `norm_cfg` | None | what follows each layer but the last, such as `dict(type='BN1d')` |
/// | `act_cfg` | `dict(type='ReLU')` | then this |
/// | `dropout_rate` | 0 | then dropout |
/// | `loss`, `topk`, `cal_acc` | | as in [`ClsHead`](crate::ClsHead) |
/// | `init_cfg` | None | layers start as PyTorch makes them |
///
/// Parameters take mmcls' names: `layers.0.fc`, `layers.0.norm`, .., `layers.1.fc`.
pub struct StackedLinearClsHead {
    config: Config,
    rules: Rules,
    task: ClsTask,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn Head>, occam_config::Error> {
    let config: Config = value.parse()?;
    if config.num_classes == 0 || config.in_channels == 0 || config.mid_channels.contains(&0) {
        return Err(occam_config::Error::new("StackedLinearClsHead: sizes must be at least 1"));
    }
    if config.mid_channels.is_empty() {
        return Err(occam_config::Error::new(
            "StackedLinearClsHead: mid_channels must name at least one size",
        ));
    }
    if !(0.0..=1.0).contains(&config.dropout_rate) {
        let message =
            format!("StackedLinearClsHead: dropout_rate={} must be from 0 to 1", config.dropout_rate);
        return Err(occam_config::Error::new(message));
    }
    if let Some(norm) = &config.norm_cfg {
        norm.check()?;
    }
    let task = ClsTask::new(config.loss.as_ref(), &config.topk, config.cal_acc, registry)?;
    let rules = config.init_cfg.rules(Rules::none)?;
    Ok(Box::new(StackedLinearClsHead { config, rules, task }))
}

impl StackedLinearClsHead {
    fn layers(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let c = &self.config;
        let (mut y, mut from) = (x, c.in_channels);
        for (i, &to) in c.mid_channels.iter().enumerate() {
            let x = y;
            y = net.layer(&format!("layers.{i}"), &[x], |net| {
                let mut y = net.linear("fc", x, [from, to], 0.01)?;
                if let Some(norm) = &c.norm_cfg {
                    y = net.norm("norm", y, norm, 1.0)?;
                }
                if let Some(act) = &c.act_cfg {
                    let before = y;
                    y = net.layer("act", &[before], |net| Ok(net.this(act.function(), &[before])?))?;
                }
                if c.dropout_rate > 0.0 {
                    y = net.dropout("dropout", y, c.dropout_rate, DropUnit::Element)?;
                }
                Ok(y)
            })?;
            from = to;
        }
        net.layer(&format!("layers.{}", c.mid_channels.len()), &[y], |net| {
            net.linear("fc", y, [from, c.num_classes], 0.01)
        })
    }
}

impl Head for StackedLinearClsHead {
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<(String, ValueId)>> {
        let x = last_feature("StackedLinearClsHead", features)?;
        let (fact, wanted) = (net.fact(x)?.clone(), self.config.in_channels);
        if fact.rank() != 2 || !fact.shape.get(1).is_some_and(|d| d.may_equal(&wanted.into())) {
            return refuse(format!(
                "StackedLinearClsHead: in_channels={wanted} does not fit features {fact}"
            ));
        }
        net.ruled(&self.rules, |net| Ok(vec![("output".into(), self.layers(net, x)?)]))
    }

    fn into_task(self: Box<Self>) -> Box<dyn Task> {
        Box::new(self.task)
    }
}
