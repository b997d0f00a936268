//! A classifier from an ONNX file, to be trained on.

mod batch;
mod classes;
mod ending;
mod from_file;
mod frozen;
mod read;

pub use from_file::FromFile;

use std::path::Path;

use occam_config::{Error as ConfigError, Registry, Value};
use occam_graph::ops::BatchNorm;
use occam_graph::{Graph, Op, Patch};
use serde::Deserialize;

use super::image_classifier::batch_augments;
use super::{Architecture, TaskModel};
use crate::heads::{ClsTask, TopK};
use crate::{Error, Inits, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    path: Value,
    #[serde(default)]
    num_classes: Option<usize>,
    #[serde(default)]
    loss: Option<Value>,
    #[serde(default)]
    topk: TopK,
    #[serde(default)]
    cal_acc: bool,
    #[serde(default)]
    frozen: Vec<Value>,
    #[serde(default)]
    norm_eval: bool,
    #[serde(default)]
    train_cfg: Option<Value>,
    #[serde(default)]
    data_preprocessor: Option<Value>,
}

/// The model of an ONNX file, with its weights: the counterpart of the original's `TimmClassifier` and
/// `HuggingFaceClassifier`.
///
/// | key | default | |
/// |---|---|---|
/// | `path` | | the file; a relative path starts from the current directory |
/// | `num_classes` | the file's | with another number the last linear layer is made anew, and learns from the beginning |
/// | `loss` | `dict(type='CrossEntropyLoss', loss_weight=1.0)` | |
/// | `topk` | `1` | accuracies that `cal_acc` logs |
/// | `cal_acc` | `False` | whether the training accuracy is logged |
/// | `frozen` | `[]` | what does not learn: paths of modules, or names of nodes or parameters, up to a dot, a slash or their end; regular expressions |
/// | `norm_eval` | `False` | whether batch normalization uses and keeps its running statistics in training |
/// | `train_cfg` | None | `dict(augments=..)`: how the images of a training batch are mixed; the preprocessor's `batch_augments` |
/// | `data_preprocessor` | the run's | how images are prepared |
///
/// The file takes one batch of images, `f32 [N, C, H, W]`, and gives one `[N, classes]`: the scores. A `Softmax`,
/// `LogSoftmax` or `Sigmoid` at the end is left out, since the loss takes scores before it; [`FromFile::write`] puts it
/// back. Where the file is made for one number of images, that is opened, in shapes that nodes were given as well.
///
/// Batch normalization learns as in training, and so does everything else that a layer of the file learned; what was
/// folded into convolutions stays folded. Constants that quantize, and weights stored as integers, stay as they are.
/// Batch normalization whose weight and bias are `frozen` keeps its running statistics.
pub struct OnnxClassifier {
    path: Value,
    num_classes: Option<usize>,
    task: ClsTask,
    frozen: Vec<Value>,
    norm_eval: bool,
    data_preprocessor: Option<Value>,
    batch_augments: Option<Value>,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn Architecture>, ConfigError> {
    let config: Config = value.parse()?;
    if config.path.as_str().is_none() {
        return Err(ConfigError::new("`path` must be a str: the ONNX file").at(&config.path));
    }
    Ok(Box::new(OnnxClassifier {
        task: ClsTask::new(config.loss.as_ref(), &config.topk, config.cal_acc, registry)?,
        path: config.path,
        num_classes: config.num_classes,
        frozen: config.frozen,
        norm_eval: config.norm_eval,
        data_preprocessor: config.data_preprocessor,
        batch_augments: batch_augments(config.train_cfg)?,
    }))
}

impl Architecture for OnnxClassifier {
    fn build(self: Box<Self>) -> Result<TaskModel> {
        let place = |error: Error| Error::Config(ConfigError::from(error).at(&self.path));
        let path = Path::new(self.path.as_str().unwrap_or_default());
        let (mut graph, weights, file) = read::read(path).map_err(place)?;
        let mut inits = Inits { given: weights, ..Inits::default() };
        if let Some(wanted) = self.num_classes {
            classes::set(&mut graph, &mut inits, wanted)?;
        }
        for entry in &self.frozen {
            frozen::freeze(&mut graph, entry)?;
        }
        keep_statistics(&mut graph, self.norm_eval)?;
        Ok(TaskModel {
            graph,
            inits,
            task: Box::new(self.task),
            data_preprocessor: self.data_preprocessor,
            batch_augments: self.batch_augments,
            file: Some(file),
        })
    }
}

/// Makes batch normalization use its running statistics in training: all of it, or where weight and bias are frozen.
fn keep_statistics(graph: &mut Graph, all: bool) -> Result<()> {
    let mut patch = Patch::new("norm_eval");
    for (id, node) in graph.nodes() {
        let Op::BatchNorm(norm) = node.op else { continue };
        let affine = node.inputs.get(1..3).unwrap_or_default();
        let frozen = || affine.iter().all(|&v| graph.value(v).is_ok_and(|v| v.frozen));
        if all || frozen() {
            patch.set_op(id, BatchNorm { frozen: true, ..norm });
        }
    }
    if !patch.is_empty() {
        patch.apply(graph)?;
    }
    Ok(())
}
