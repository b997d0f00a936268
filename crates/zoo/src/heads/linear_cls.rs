//! A linear classifier.

use occam_config::{Registry, Value};
use occam_data::DataSample;
use occam_engine::Tensor;
use occam_graph::ValueId;
use serde::Deserialize;

use super::Head;
use crate::error::refuse;
use crate::losses::ClsLoss;
use crate::net::unsupported;
use crate::{Error, Losses, Net, Result, Sites, Task};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    num_classes: usize,
    in_channels: usize,
    #[serde(default)]
    loss: Option<Value>,
    #[serde(default = "top_one")]
    topk: TopK,
    #[serde(default)]
    cal_acc: bool,
    #[serde(default)]
    init_cfg: Option<Value>,
}

/// `1` or `(1, 5)`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum TopK {
    One(usize),
    Many(Vec<usize>),
}

pub(super) fn top_one() -> TopK {
    TopK::One(1)
}

/// `fc`, a linear layer from `in_channels` features to `num_classes` scores.
///
/// | key | default | |
/// |---|---|---|
/// | `num_classes`, `in_channels` | | sizes |
/// | `loss` | `dict(type='CrossEntropyLoss', loss_weight=1.0)` | |
/// | `topk` | `1` | accuracies that `cal_acc` logs |
/// | `cal_acc` | `False` | whether the training accuracy is logged |
///
/// The weight is first normal with deviation 0.01, the bias 0. Takes the last of several features.
pub struct LinearClsHead {
    num_classes: usize,
    in_channels: usize,
    task: ClsTask,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn Head>, occam_config::Error> {
    let config: Config = value.parse()?;
    unsupported("init_cfg", &config.init_cfg)?;
    if config.num_classes == 0 || config.in_channels == 0 {
        return Err(occam_config::Error::new("LinearClsHead: sizes must be at least 1"));
    }
    let task =
        ClsTask::new(config.loss.as_ref(), &config.topk, config.cal_acc, config.num_classes, registry)?;
    Ok(Box::new(LinearClsHead { num_classes: config.num_classes, in_channels: config.in_channels, task }))
}

impl Head for LinearClsHead {
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<(String, ValueId)>> {
        let Some(&x) = features.last() else {
            return refuse("LinearClsHead needs a feature");
        };
        let fact = net.fact(x)?;
        let fits =
            fact.rank() == 2 && fact.shape.get(1).is_some_and(|d| d.may_equal(&self.in_channels.into()));
        if !fits {
            let message =
                format!("LinearClsHead: in_channels={} does not fit features {fact}", self.in_channels);
            return refuse(message);
        }
        let y = net.linear("fc", x, [self.in_channels, self.num_classes], 0.01)?;
        Ok(vec![("output".into(), y)])
    }

    fn into_task(self: Box<Self>) -> Box<dyn Task> {
        Box::new(self.task)
    }
}

/// Classification with one label an image.
pub struct ClsTask {
    loss: Box<dyn ClsLoss>,
    num_classes: usize,
    topk: Vec<usize>,
    cal_acc: bool,
}

impl ClsTask {
    /// Reads `loss`, which is cross entropy by default.
    ///
    /// # Errors
    /// There is no such loss.
    pub(super) fn new(
        loss: Option<&Value>,
        topk: &TopK,
        cal_acc: bool,
        num_classes: usize,
        registry: &Registry,
    ) -> Result<Self, occam_config::Error> {
        let loss = match loss {
            Some(loss) => registry.build::<dyn ClsLoss>(loss)?,
            None => Box::new(crate::losses::CrossEntropyLoss::default()),
        };
        let topk = match topk {
            TopK::One(k) => vec![*k],
            TopK::Many(list) => list.clone(),
        };
        Ok(Self { loss, num_classes, topk, cal_acc })
    }

    fn labels(&self, samples: &[DataSample]) -> Result<Vec<i64>> {
        samples
            .iter()
            .map(|s| match s.gt_label.as_slice() {
                [label] if usize::try_from(*label).is_ok_and(|l| l < self.num_classes) => Ok(*label),
                [label] => Err(Error::Sample(format!(
                    "sample {} has label {label}, but the model has {} classes",
                    s.index, self.num_classes
                ))),
                other => Err(Error::Sample(format!(
                    "sample {} has {} labels, one is wanted",
                    s.index,
                    other.len()
                ))),
            })
            .collect()
    }
}

/// Score rows of a batch.
fn scores(outputs: &[Tensor], samples: usize) -> Result<&Tensor> {
    match outputs {
        [scores] if scores.rank() == 2 && scores.dim(0)? == samples => Ok(scores),
        _ => Err(Error::Sample(format!("outputs {outputs:?} do not fit {samples} samples"))),
    }
}

/// Position of `label` when classes are sorted by falling score; of equal scores the first class comes first.
fn rank_of(row: &[f32], label: usize) -> usize {
    let own = row.get(label).copied().unwrap_or(f32::NAN);
    let ahead = |(i, &v): (usize, &f32)| v > own || (v == own && i < label) || own.is_nan();
    row.iter().enumerate().filter(|&x| ahead(x)).count()
}

/// The call of the loss, as in the original: scores and labels in, the loss out.
const LOSS_MODULE: &str = "head.loss_module";

impl Task for ClsTask {
    fn sites(&self) -> &'static [&'static str] {
        &[LOSS_MODULE]
    }

    fn loss(&self, outputs: &[Tensor], samples: &[DataSample], sites: &mut Sites) -> Result<Losses> {
        let score = scores(outputs, samples.len())?;
        let labels = self.labels(samples)?;
        let target = Tensor::from_i64(&[labels.len()], labels.clone(), &score.device())?;
        let loss = self.loss.forward(score, &target, Some(samples.len() as f64))?;
        sites.note(LOSS_MODULE, &[score, &target], &loss);
        let mut losses = Losses::from([("loss".into(), loss)]);
        if self.cal_acc {
            let rows = score.to_f32()?;
            let ranks: Vec<usize> = rows
                .chunks_exact(self.num_classes)
                .zip(&labels)
                .map(|(row, &label)| rank_of(row, usize::try_from(label).unwrap_or(usize::MAX)))
                .collect();
            for &k in &self.topk {
                let hits = ranks.iter().filter(|&&r| r < k).count();
                let percent = 100.0 * hits as f32 / ranks.len().max(1) as f32;
                losses.insert(format!("accuracy_top-{k}"), Tensor::full(&[1], percent, &score.device()));
            }
        }
        Ok(losses)
    }

    fn predict(&self, outputs: &[Tensor], mut samples: Vec<DataSample>) -> Result<Vec<DataSample>> {
        let score = scores(outputs, samples.len())?;
        let rows = score.detach().softmax(1)?.to_f32()?;
        for (sample, row) in samples.iter_mut().zip(rows.chunks_exact(score.dim(1)?.max(1))) {
            let best = row.iter().enumerate().fold(None, |best: Option<(usize, f32)>, (i, &v)| match best {
                Some((_, b)) if v <= b || v.is_nan() => best,
                _ => Some((i, v)),
            });
            sample.pred_label = best.and_then(|(i, _)| i64::try_from(i).ok());
            sample.pred_score = Some(row.to_vec());
        }
        Ok(samples)
    }
}
