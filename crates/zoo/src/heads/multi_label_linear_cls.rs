//! A linear classifier for any number of labels an image.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use serde::Deserialize;

use super::Head;
use super::linear_cls::LinearScores;
use super::multi_label_cls::MultiLabelTask;
use crate::init_cfg::InitCfg;
use crate::{Net, Result, Task};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    num_classes: usize,
    in_channels: usize,
    #[serde(default)]
    loss: Option<Value>,
    #[serde(default)]
    thr: Option<f64>,
    #[serde(default)]
    topk: Option<usize>,
    #[serde(default)]
    init_cfg: InitCfg,
}

/// `fc`, a linear layer from `in_channels` features to `num_classes` scores.
///
/// | key | default | |
/// |---|---|---|
/// | `num_classes`, `in_channels` | | sizes |
/// | `loss`, `thr`, `topk` | | as in [`MultiLabelClsHead`](crate::MultiLabelClsHead) |
/// | `init_cfg` | `Normal` with deviation 0.01 for the layer | |
///
/// Takes the last of several features.
pub struct MultiLabelLinearClsHead {
    layer: LinearScores,
    task: MultiLabelTask,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn Head>, occam_config::Error> {
    let config: Config = value.parse()?;
    let task = MultiLabelTask::new(config.loss.as_ref(), config.thr, config.topk, registry)?;
    let sizes = [config.in_channels, config.num_classes];
    let layer = LinearScores::new("MultiLabelLinearClsHead", sizes, &config.init_cfg)?;
    Ok(Box::new(MultiLabelLinearClsHead { layer, task }))
}

impl Head for MultiLabelLinearClsHead {
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<(String, ValueId)>> {
        self.layer.build(net, features)
    }

    fn into_task(self: Box<Self>) -> Box<dyn Task> {
        Box::new(self.task)
    }
}
