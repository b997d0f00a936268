//! Classifiers of learned tokens.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Activation, Binary, Scale};
use serde::Deserialize;

use super::Head;
use super::cls::{ClsTask, TopK};
use crate::conv_module::ActCfg;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::transformer::{linear, settled_linear};
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
    #[serde(default)]
    topk: TopK,
    #[serde(default)]
    cal_acc: bool,
    #[serde(default)]
    init_cfg: InitCfg,
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
/// | `init_cfg` | `Constant` 0 for linear layers | `pre_logits` is first normal with deviation 1 / √in_channels in any case |
///
/// `layers.head` and `layers.head_dist` give the scores. Takes what a vision transformer returns for the last of its
/// `out_indices`.
pub struct VisionTransformerClsHead {
    config: Config,
    rules: Rules,
    distilled: bool,
    task: ClsTask,
}

fn parse(value: &Value, registry: &Registry, distilled: bool) -> Result<Box<dyn Head>, occam_config::Error> {
    let config: Config = value.parse()?;
    if config.num_classes == 0 || config.in_channels == 0 || config.hidden_dim == Some(0) {
        return Err(occam_config::Error::new("sizes must be at least 1"));
    }
    let task = ClsTask::new(config.loss.as_ref(), &config.topk, config.cal_acc, registry)?;
    let rules = config.init_cfg.rules(|| Rules::none().and_constant_linear(0.0))?;
    Ok(Box::new(VisionTransformerClsHead { config, rules, distilled, task }))
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
        let std = (1.0 / self.config.in_channels as f64).sqrt();
        let weight = Init::TruncNormal { mean: 0.0, std, bounds: [-2.0, 2.0] };
        let inits = [weight, Init::Constant(0.0)];
        let y = settled_linear(net, "layers.pre_logits", token, width, inits)?;
        net.layer("layers.act", &[y], |net| Ok(net.this(self.config.act_cfg.function(), &[y])?))
    }
}

impl Head for VisionTransformerClsHead {
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<(String, ValueId)>> {
        net.ruled(&self.rules, |net| self.scores(net, features))
    }

    fn into_task(self: Box<Self>) -> Box<dyn Task> {
        Box::new(self.task)
    }
}

impl VisionTransformerClsHead {
    fn scores(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<(String, ValueId)>> {
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
            let y = self.hidden(net, token)?;
            let name = format!("layers.{name}");
            scores.push(linear(net, &name, y, self.config.num_classes, true)?);
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
}
