//! A linear classifier.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use serde::Deserialize;

use super::Head;
use super::cls::{ClsTask, TopK, last_feature};
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::{Net, Result, Task};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    num_classes: usize,
    in_channels: usize,
    #[serde(default)]
    loss: Option<Value>,
    #[serde(default)]
    topk: TopK,
    #[serde(default)]
    cal_acc: bool,
    #[serde(default)]
    init_cfg: InitCfg,
}

/// `fc`, a linear layer from `in_channels` features to `num_classes` scores.
///
/// | key | default | |
/// |---|---|---|
/// | `num_classes`, `in_channels` | | sizes |
/// | `loss` | `dict(type='CrossEntropyLoss', loss_weight=1.0)` | |
/// | `topk` | `1` | accuracies that `cal_acc` logs |
/// | `cal_acc` | `False` | whether the training accuracy is logged |
/// | `init_cfg` | `Normal` with deviation 0.01 for the layer | |
///
/// Takes the last of several features.
pub struct LinearClsHead {
    layer: LinearScores,
    task: ClsTask,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn Head>, occam_config::Error> {
    let config: Config = value.parse()?;
    let task = ClsTask::new(config.loss.as_ref(), &config.topk, config.cal_acc, registry)?;
    let layer =
        LinearScores::new("LinearClsHead", [config.in_channels, config.num_classes], &config.init_cfg)?;
    Ok(Box::new(LinearClsHead { layer, task }))
}

impl Head for LinearClsHead {
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<(String, ValueId)>> {
        self.layer.build(net, features)
    }

    fn into_task(self: Box<Self>) -> Box<dyn Task> {
        Box::new(self.task)
    }
}

/// The layers of a head that is a single linear layer, `fc`.
pub(super) struct LinearScores {
    head: &'static str,
    sizes: [usize; 2],
    rules: Rules,
}

impl LinearScores {
    /// From features to scores, of the `sizes`.
    ///
    /// # Errors
    /// A size is 0, or a rule of `init_cfg` does not exist.
    pub fn new(head: &'static str, sizes: [usize; 2], init_cfg: &InitCfg) -> Result<Self> {
        if sizes.contains(&0) {
            return refuse(format!("{head}: sizes must be at least 1"));
        }
        Ok(Self { head, sizes, rules: init_cfg.rules(|| Rules::none().and_linear(0.01))? })
    }

    /// Adds the layer.
    ///
    /// # Errors
    /// The features do not fit.
    pub fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<(String, ValueId)>> {
        let x = last_feature(self.head, features)?;
        let fact = net.fact(x)?.clone();
        let wanted = self.sizes[0];
        if fact.rank() != 2 || !fact.shape.get(1).is_some_and(|d| d.may_equal(&wanted.into())) {
            return refuse(format!("{}: in_channels={wanted} does not fit features {fact}", self.head));
        }
        net.ruled(&self.rules, |net| Ok(vec![("output".into(), net.linear("fc", x, self.sizes, 0.01)?)]))
    }
}
