//! Classifiers of learned tokens.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Activation, Binary, Scale};
use serde::Deserialize;

use super::Head;
use super::linear_cls::{ClsTask, TopK, top_one};
use crate::conv_module::ActCfg;
use crate::error::refuse;
use crate::net::unsupported;
use crate::transformer::linear;
use crate::{Init, Net, Result, Task};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    num_classes: usize,
    in_channels: usize,
    #[serde(default)]
    hidden_dim: Option<usize>,
    #[serde(default = "tanh")]
    act_cfg: ActCfg,
    #[serde(default)]
    loss: Option<Value>,
    #[serde(default = "top_one")]
    topk: TopK,
    #[serde(default)]
    cal_acc: bool,
    #[serde(default)]
    init_cfg: Option<Value>,
}

fn tanh() -> ActCfg {
    Activation::Tanh.into()
}

/// `VisionTransformerClsHead` classifies the class token, `DeiTClsHead` the class and the distillation token; its scores are
/// the mean of both.
///
/// | key | default | |
/// |---|---|---|
/// | `num_classes`, `in_channels` | | sizes |
/// | `hidden_dim` | None | size of a layer before, `layers.pre_logits`, which all tokens share |
/// | `act_cfg` | `dict(type='Tanh')` | follows that layer |
/// | `loss`, `topk`, `cal_acc` | | as those of `LinearClsHead` |
///
/// `layers.head` and `layers.head_dist` give the scores; their weights and all biases are first 0, the weights of
/// `pre_logits` normal with deviation 1 / √in_channels. Takes what a vision transformer returns for the last of its
/// `out_indices`. Not supported: `init_cfg`.
pub struct VisionTransformerClsHead {
    config: Config,
    distilled: bool,
    task: ClsTask,
}

fn parse(value: &Value, registry: &Registry, distilled: bool) -> Result<Box<dyn Head>, occam_config::Error> {
    let config: Config = value.parse()?;
    unsupported("init_cfg", &config.init_cfg)?;
    if config.num_classes == 0 || config.in_channels == 0 || config.hidden_dim == Some(0) {
        return Err(occam_config::Error::new("sizes must be at least 1"));
    }
    let task =
        ClsTask::new(config.loss.as_ref(), &config.topk, config.cal_acc, config.num_classes, registry)?;
    Ok(Box::new(VisionTransformerClsHead { config, distilled, task }))
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn Head>, occam_config::Error> {
    parse(value, registry, false)
}

pub(super) fn build_distilled(
    value: &Value,
    registry: &Registry,
) -> Result<Box<dyn Head>, occam_config::Error> {
    parse(value, registry, true)
}

impl VisionTransformerClsHead {
    fn hidden(&self, net: &mut Net, token: ValueId) -> Result<ValueId> {
        let Some(width) = self.config.hidden_dim else { return Ok(token) };
        let weight = Init::Normal { std: (1.0 / self.config.in_channels as f64).sqrt() };
        let y = linear(net, "layers.pre_logits", token, width, weight, Some(Init::Constant(0.0)))?;
        net.layer("layers.act", &[y], |net| Ok(net.this(self.config.act_cfg.function(), &[y])?))
    }
}

impl Head for VisionTransformerClsHead {
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<(String, ValueId)>> {
        let names: &[&str] = if self.distilled { &["head", "head_dist"] } else { &["head"] };
        // Before the tokens come the patches.
        let tokens = features.len().checked_sub(names.len()).filter(|&patches| patches > 0);
        let Some(tokens) = tokens.and_then(|from| features.get(from..)) else {
            return refuse(format!("features with {} learned tokens wanted", names.len()));
        };
        let mut scores = Vec::new();
        for (name, &token) in names.iter().zip(tokens) {
            let fact = net.fact(token)?;
            let width = self.config.in_channels;
            if fact.rank() != 2 || !fact.shape.get(1).is_some_and(|d| d.may_equal(&width.into())) {
                return refuse(format!("in_channels={width} does not fit token {fact}"));
            }
            let zero = Init::Constant(0.0);
            let y = self.hidden(net, token)?;
            let name = format!("layers.{name}");
            scores.push(linear(net, &name, y, self.config.num_classes, zero, Some(zero))?);
        }
        let y = match scores.as_slice() {
            [one] => *one,
            [class, distilled] => {
                let sum = net.op("sum", Binary::Add, &[*class, *distilled])?;
                net.op("mean", Scale { factor: 0.5 }, &[sum])?
            }
            _ => return refuse("one or two learned tokens wanted"),
        };
        Ok(vec![("output".into(), y)])
    }

    fn into_task(self: Box<Self>) -> Box<dyn Task> {
        Box::new(self.task)
    }
}
