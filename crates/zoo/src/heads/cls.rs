//! Classification with one label an image.

use occam_config::{Registry, Value};
use occam_data::{DataSample, OneOrMany, label_rank};
use occam_engine::Tensor;
use occam_graph::ValueId;
use serde::Deserialize;

use super::Head;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::losses::ClsLoss;
use crate::{Error, Losses, Net, Result, Sites, Task};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    loss: Option<Value>,
    #[serde(default)]
    topk: TopK,
    #[serde(default)]
    cal_acc: bool,
    #[serde(default)]
    init_cfg: InitCfg,
}

/// `1` or `(1, 5)`; 1 by default.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct TopK(OneOrMany<usize>);

impl Default for TopK {
    fn default() -> Self {
        Self(OneOrMany::One(1))
    }
}

/// No layers: the last of the features are the scores.
///
/// | key | default | |
/// |---|---|---|
/// | `loss` | `dict(type='CrossEntropyLoss', loss_weight=1.0)` | |
/// | `topk` | `1` | accuracies that `cal_acc` logs |
/// | `cal_acc` | `False` | whether the training accuracy is logged |
pub struct ClsHead {
    task: ClsTask,
    rules: Rules,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn Head>, occam_config::Error> {
    let config: Config = value.parse()?;
    let task = ClsTask::new(config.loss.as_ref(), &config.topk, config.cal_acc, registry)?;
    Ok(Box::new(ClsHead { task, rules: config.init_cfg.rules(Rules::none)? }))
}

/// The last of the features, which heads take.
pub(super) fn last_feature(head: &str, features: &[ValueId]) -> Result<ValueId> {
    match features.last() {
        Some(&x) => Ok(x),
        None => refuse(format!("{head} needs a feature")),
    }
}

impl Head for ClsHead {
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<(String, ValueId)>> {
        net.ruled(&self.rules, |_| Ok(vec![("output".into(), last_feature("ClsHead", features)?)]))
    }

    fn into_task(self: Box<Self>) -> Box<dyn Task> {
        Box::new(self.task)
    }
}

/// What is done with `[B, C]` scores of which one class is right.
///
/// Labels are those of the samples, or where the first sample has them, weights of the classes (`gt_score`), as mixing
/// images gives them. Predictions are softmax scores and the class of the highest.
pub struct ClsTask {
    loss: Box<dyn ClsLoss>,
    topk: Vec<usize>,
    cal_acc: bool,
}

impl ClsTask {
    /// Reads `loss`, which is cross entropy by default.
    ///
    /// # Errors
    /// There is no such loss.
    pub(crate) fn new(
        loss: Option<&Value>,
        topk: &TopK,
        cal_acc: bool,
        registry: &Registry,
    ) -> Result<Self, occam_config::Error> {
        let loss = match loss {
            Some(loss) => registry.build::<dyn ClsLoss>(loss)?,
            None => Box::new(crate::losses::CrossEntropyLoss::default()),
        };
        Ok(Self { loss, topk: topk.0.as_slice().to_vec(), cal_acc })
    }
}

/// The only label of each sample.
fn labels(samples: &[DataSample], classes: usize) -> Result<Vec<i64>> {
    samples
        .iter()
        .map(|s| match s.gt_label.as_slice() {
            [label] if usize::try_from(*label).is_ok_and(|l| l < classes) => Ok(*label),
            [label] => Err(Error::Sample(format!(
                "sample {} has label {label}, but the model has {classes} classes",
                s.index
            ))),
            other => {
                Err(Error::Sample(format!("sample {} has {} labels, one is wanted", s.index, other.len())))
            }
        })
        .collect()
}

/// The samples' weights of the classes, `[B, C]`, where the first sample has them.
pub(super) fn soft_labels(samples: &[DataSample], score: &Tensor) -> Result<Option<Tensor>> {
    if samples.first().is_none_or(|s| s.gt_score.is_none()) {
        return Ok(None);
    }
    let classes = score.dim(1)?;
    let mut weights = Vec::with_capacity(samples.len() * classes);
    for sample in samples {
        match &sample.gt_score {
            Some(score) if score.len() == classes => weights.extend_from_slice(score),
            Some(score) => {
                return Err(Error::Sample(format!(
                    "sample {} has label scores of {} classes, the model has {classes}",
                    sample.index,
                    score.len()
                )));
            }
            None => {
                let message =
                    format!("sample {} has no label scores, others of its batch have", sample.index);
                return Err(Error::Sample(message));
            }
        }
    }
    Ok(Some(Tensor::from_f32(&[samples.len(), classes], weights, &score.device())?))
}

/// Score rows of a batch.
pub(super) fn scores(outputs: &[Tensor], samples: usize) -> Result<&Tensor> {
    match outputs {
        [scores] if scores.rank() == 2 && scores.dim(0)? == samples => Ok(scores),
        _ => Err(Error::Sample(format!("outputs {outputs:?} do not fit {samples} samples"))),
    }
}

/// The call of the loss, as in the original: scores and labels in, the loss out.
pub(super) const LOSS_MODULE: &str = "head.loss_module";

impl Task for ClsTask {
    fn sites(&self) -> &'static [&'static str] {
        &[LOSS_MODULE]
    }

    fn loss(&self, outputs: &[Tensor], samples: &[DataSample], sites: &mut Sites) -> Result<Losses> {
        let score = scores(outputs, samples.len())?;
        let soft = soft_labels(samples, score)?;
        if soft.is_some() && self.cal_acc {
            return refuse("`cal_acc` has no meaning for mixed labels; leave it out");
        }
        let hard = if soft.is_some() { Vec::new() } else { labels(samples, score.dim(1)?)? };
        let target = match soft {
            Some(soft) => soft,
            None => Tensor::from_i64(&[hard.len()], hard.clone(), &score.device())?,
        };
        let loss = self.loss.forward(score, &target, Some(samples.len() as f64))?;
        sites.note(LOSS_MODULE, &[score, &target], &loss);
        let mut losses = Losses::from([("loss".into(), loss)]);
        if self.cal_acc {
            let rows = score.to_f32()?;
            let ranks: Vec<Option<usize>> = rows
                .chunks_exact(score.dim(1)?.max(1))
                .zip(&hard)
                .map(|(row, &label)| label_rank(row, label).map(|(before, _)| before))
                .collect();
            for &k in &self.topk {
                let hits = ranks.iter().flatten().filter(|&&r| r < k).count();
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
