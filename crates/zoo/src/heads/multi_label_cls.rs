//! Classification with any number of labels an image.

use occam_config::{Registry, Value};
use occam_data::DataSample;
use occam_engine::Tensor;
use occam_graph::ValueId;
use serde::Deserialize;

use super::Head;
use super::cls::{LOSS_MODULE, last_feature, scores, soft_labels};
use crate::init_cfg::{InitCfg, Rules};
use crate::losses::{ClsLoss, CrossEntropyLoss};
use crate::{Error, Losses, Net, Result, Sites, Task};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    loss: Option<Value>,
    #[serde(default)]
    thr: Option<f64>,
    #[serde(default)]
    topk: Option<usize>,
    #[serde(default)]
    init_cfg: InitCfg,
}

/// No layers: the last of the features are the scores.
///
/// | key | default | |
/// |---|---|---|
/// | `loss` | `dict(type='CrossEntropyLoss', use_sigmoid=True)` | |
/// | `thr` | 0.5 without `topk` | classes of at least this score are predicted |
/// | `topk` | None | without `thr`, so many classes of the highest scores are predicted |
pub struct MultiLabelClsHead {
    task: MultiLabelTask,
    rules: Rules,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn Head>, occam_config::Error> {
    let config: Config = value.parse()?;
    let task = MultiLabelTask::new(config.loss.as_ref(), config.thr, config.topk, registry)?;
    Ok(Box::new(MultiLabelClsHead { task, rules: config.init_cfg.rules(Rules::none)? }))
}

impl Head for MultiLabelClsHead {
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<(String, ValueId)>> {
        net.ruled(&self.rules, |_| Ok(vec![("output".into(), last_feature("MultiLabelClsHead", features)?)]))
    }

    fn into_task(self: Box<Self>) -> Box<dyn Task> {
        Box::new(self.task)
    }
}

/// What is done with `[B, C]` scores of which any number of classes is right.
///
/// Labels are the samples' weights of the classes (`gt_score`) where the first sample has them, else 1 for each of its
/// classes and 0 for all others. Predictions are sigmoid scores and the classes that `thr` or `topk` picks.
pub struct MultiLabelTask {
    loss: Box<dyn ClsLoss>,
    pick: Pick,
}

/// Which classes are predicted.
#[derive(Debug, Clone, Copy)]
enum Pick {
    /// Those of at least this score.
    Above(f64),
    /// So many of the highest scores.
    Best(usize),
}

impl MultiLabelTask {
    /// Reads `loss`, which is binary cross entropy by default.
    ///
    /// # Errors
    /// There is no such loss.
    pub(super) fn new(
        loss: Option<&Value>,
        thr: Option<f64>,
        topk: Option<usize>,
        registry: &Registry,
    ) -> Result<Self, occam_config::Error> {
        let loss = match loss {
            Some(loss) => registry.build::<dyn ClsLoss>(loss)?,
            None => Box::new(CrossEntropyLoss { use_sigmoid: true, ..CrossEntropyLoss::default() }),
        };
        let pick = match (thr, topk) {
            (Some(thr), _) => Pick::Above(thr),
            (None, Some(k)) => Pick::Best(k),
            (None, None) => Pick::Above(0.5),
        };
        Ok(Self { loss, pick })
    }
}

/// 1 for each class of a sample, `[B, C]`.
fn several_hot(samples: &[DataSample], score: &Tensor) -> Result<Tensor> {
    let classes = score.dim(1)?;
    let mut weights = vec![0.0; samples.len() * classes];
    for (row, sample) in weights.chunks_exact_mut(classes.max(1)).zip(samples) {
        for &label in &sample.gt_label {
            match usize::try_from(label).ok().and_then(|l| row.get_mut(l)) {
                Some(one) => *one = 1.0,
                None => {
                    return Err(Error::Sample(format!(
                        "sample {} has label {label}, but the model has {classes} classes",
                        sample.index
                    )));
                }
            }
        }
    }
    Ok(Tensor::from_f32(&[samples.len(), classes], weights, &score.device())?)
}

impl Pick {
    /// The predicted classes: in their order by threshold, else by falling score.
    fn classes(self, scores: &[f32]) -> Vec<i64> {
        let mut all: Vec<usize> = (0..scores.len()).collect();
        let score = |i: usize| scores.get(i).copied().unwrap_or(f32::NAN);
        match self {
            Pick::Above(thr) => all.retain(|&i| f64::from(score(i)) >= thr),
            Pick::Best(k) => {
                all.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
                all.truncate(k);
            }
        }
        all.into_iter().filter_map(|i| i64::try_from(i).ok()).collect()
    }
}

impl Task for MultiLabelTask {
    fn sites(&self) -> &'static [&'static str] {
        &[LOSS_MODULE]
    }

    fn loss(&self, outputs: &[Tensor], samples: &[DataSample], sites: &mut Sites) -> Result<Losses> {
        let score = scores(outputs, samples.len())?;
        let target = match soft_labels(samples, score)? {
            Some(target) => target,
            None => several_hot(samples, score)?,
        };
        let loss = self.loss.forward(score, &target, Some(samples.len() as f64))?;
        sites.note(LOSS_MODULE, &[score, &target], &loss);
        Ok(Losses::from([("loss".into(), loss)]))
    }

    fn predict(&self, outputs: &[Tensor], mut samples: Vec<DataSample>) -> Result<Vec<DataSample>> {
        let score = scores(outputs, samples.len())?;
        let rows = score.detach().log_sigmoid()?.exp()?.to_f32()?;
        for (sample, row) in samples.iter_mut().zip(rows.chunks_exact(score.dim(1)?.max(1))) {
            sample.pred_labels = self.pick.classes(row);
            sample.pred_score = Some(row.to_vec());
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_picked_by_score() {
        let scores = [0.5, 0.9, 0.1, 0.7];
        assert_eq!(Pick::Above(0.5).classes(&scores), [0, 1, 3]);
        assert_eq!(Pick::Best(2).classes(&scores), [1, 3]);
        assert_eq!(Pick::Best(9).classes(&scores), [1, 3, 0, 2]);
        assert!(Pick::Above(2.0).classes(&scores).is_empty());
    }
}
