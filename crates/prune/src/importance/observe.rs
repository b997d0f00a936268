//! What criteria need of runs: gradients, and what layers read.

use occam_data::{Batch, DataSample};
use occam_engine::{Mode, Outputs, Request, Tensor, collect};
use occam_graph::{Array, Weights};
use occam_space::Trace;
use occam_train::{Model, total};
use occam_zoo::Sites;

use super::{Importance, Needs, Scores, Subject};
use crate::gates::{GateGradient, Gates, Reader, by_channel, of_units};
use crate::{Error, Result};

/// What a criterion may look at of one batch.
#[derive(Default)]
pub struct Record {
    /// Images of the batch.
    pub images: usize,
    /// The gradient of its loss by parameter; those that do not learn have none.
    gradients: Weights,
    gates: Vec<GateGradient>,
    /// By gate and element the mean of `|x|`.
    sizes: Vec<Vec<f64>>,
    readers: std::sync::Arc<Vec<Vec<Reader>>>,
}

impl Record {
    /// `w · ∂L/∂w` of every weight, 0 where there is no gradient.
    pub(super) fn products(&self, subject: &Subject<'_>) -> Result<Weights> {
        let mut products = Weights::new();
        for (name, array) in subject.weights {
            let product = match self.gradients.get(name).filter(|g| g.shape() == array.shape()) {
                Some(gradient) => {
                    let (weight, gradient) = (array.to_f32()?, gradient.as_f32()?);
                    let pairs = weight.as_f32()?.iter().zip(gradient);
                    Array::from_f32(array.shape(), pairs.map(|(w, g)| w * g).collect())?
                }
                None => Array::full(array.shape(), 0.0),
            };
            products.insert(name.clone(), product);
        }
        Ok(products)
    }

    /// By unit and channel what `of` makes of the gradients of its gates by image.
    pub(super) fn of_gates(
        &self,
        subject: &Subject<'_>,
        name: &'static str,
        of: impl Fn(&[f64]) -> f64,
    ) -> Result<Scores> {
        self.by_unit(subject, name, |readers, channels| {
            let rows = by_channel(readers, &self.gates, channels);
            let column = |c: usize| rows.iter().filter_map(|row| row.get(c).copied()).collect::<Vec<f64>>();
            (0..channels).map(|c| of(&column(c))).collect()
        })
    }

    /// By unit and channel the mean size of what is read of it.
    pub(super) fn of_values(&self, subject: &Subject<'_>, name: &'static str) -> Result<Scores> {
        self.by_unit(subject, name, |readers, channels| {
            let mut sums = vec![0f64; channels];
            for reader in readers {
                let sizes = self.sizes.get(reader.gate).map(Vec::as_slice).unwrap_or_default();
                for (sum, elements) in sums.iter_mut().zip(&reader.elements) {
                    let own = elements.iter().filter_map(|&e| sizes.get(e as usize)).sum::<f64>();
                    *sum += own / (elements.len() * readers.len()).max(1) as f64;
                }
            }
            sums
        })
    }

    fn by_unit(
        &self,
        subject: &Subject<'_>,
        importance: &'static str,
        of: impl Fn(&[Reader], usize) -> Vec<f64>,
    ) -> Result<Scores> {
        let mut scores = Vec::with_capacity(subject.trace.units.len());
        for (i, unit) in subject.trace.units.iter().enumerate() {
            if unit.kept_by.is_some() {
                scores.push(Vec::new());
                continue;
            }
            let readers = self.readers.get(i).map(Vec::as_slice).unwrap_or_default();
            if readers.is_empty() {
                let needs = "layers that read a channel";
                return Err(Error::Needs { importance, needs, unit: unit.name.clone() });
            }
            scores.push(of(readers, unit.channels));
        }
        Ok(scores)
    }
}

/// The importance, by a criterion that needs images, of the channels of `model`, whose units `trace` has: the mean over the
/// images of `batches`.
///
/// The model is run as in use, by its running statistics. The loss is the model's own, of the samples' labels. An image
/// without label has the class that the model itself predicts: the loss then tells what its decisions depend on. (A distance
/// to the model's own scores would not do, since it is at its minimum, where all gradients are 0.)
///
/// # Errors
/// A batch cannot be read or does not fit, a unit has nothing of what the criterion looks at, or there is no image.
pub fn observe(
    importance: &Importance,
    model: &Model,
    trace: &Trace,
    batches: impl Iterator<Item = occam_data::Result<Batch>>,
    seed: u64,
) -> Result<Scores> {
    let weights = model.params.to_weights().map_err(run)?;
    let subject = Subject { graph: model.graph(), weights: &weights, trace, seed };
    let Some(needs) = importance.needs() else { return importance.score(&subject) };
    let observer = Observer::new(model, trace, needs)?;
    let mut sums: Option<Scores> = None;
    let mut images = 0;
    for batch in batches {
        let batch = batch.map_err(run)?;
        let parts = match needs {
            Needs::ImageGradients => (0..batch.len()).map(|i| single(&batch, i)).collect::<Result<_>>()?,
            _ => vec![batch],
        };
        for part in parts.iter().filter(|b| !b.is_empty()) {
            let scores = importance.score_on(&subject, &observer.record(part)?)?;
            let sums = sums.get_or_insert_with(|| scores.iter().map(|s| vec![0.0; s.len()]).collect());
            for (sum, x) in sums.iter_mut().flatten().zip(scores.iter().flatten()) {
                *sum += x * part.len() as f64;
            }
            images += part.len();
        }
    }
    let mut scores =
        sums.ok_or_else(|| Error::Run("there is no image to measure the importance on".into()))?;
    scores.iter_mut().flatten().for_each(|s| *s /= images as f64);
    if scores.iter().flatten().any(|s| !s.is_finite()) {
        return Err(Error::Run(format!("importance `{}` is not finite on these images", importance.name)));
    }
    Ok(scores)
}

/// As an error of a run.
fn run(error: impl std::fmt::Display) -> Error {
    Error::Run(error.to_string())
}

/// One image of a batch.
fn single(batch: &Batch, index: usize) -> Result<Batch> {
    let mut shape = batch.inputs.shape().to_vec();
    let pixels = shape.iter().skip(1).product::<usize>();
    if let Some(n) = shape.first_mut() {
        *n = 1;
    }
    let own = batch.inputs.as_f32()?.iter().skip(index * pixels).take(pixels).copied().collect();
    let samples = batch.samples.get(index).cloned().into_iter().collect();
    Ok(Batch { inputs: Array::from_f32(shape, own)?, samples })
}

struct Observer<'a> {
    model: &'a Model,
    needs: Needs,
    gates: Gates,
    readers: std::sync::Arc<Vec<Vec<Reader>>>,
}

impl<'a> Observer<'a> {
    fn new(model: &'a Model, trace: &Trace, needs: Needs) -> Result<Self> {
        let gated = matches!(needs, Needs::Gates | Needs::Values);
        let gates = Gates::new(model.graph(), of_units(trace, |_| gated))?;
        let widths: Vec<usize> = trace.units.iter().map(|u| u.channels).collect();
        let readers = gates.readers(model.graph(), trace, &widths).into();
        Ok(Self { model, needs, gates, readers })
    }

    fn record(&self, batch: &Batch) -> Result<Record> {
        let record = Record { images: batch.len(), readers: self.readers.clone(), ..Record::default() };
        let request = Request::new(Mode::Eval);
        match self.needs {
            Needs::Gradients | Needs::ImageGradients => {
                let leaves = self.model.params.leaves();
                let outputs = self.model.forward(&leaves, batch, &request).map_err(run)?;
                let mut gradients = self.loss(&outputs, batch)?.backward().map_err(run)?;
                let found = collect(&leaves, &mut gradients);
                let arrays = found.iter().map(|(name, g)| Ok((name.clone(), g.to_array().map_err(run)?)));
                Ok(Record { gradients: arrays.collect::<Result<_>>()?, ..record })
            }
            Needs::Gates => {
                let constants = self.model.params.constants();
                let (outputs, leaves) =
                    self.gates.run(self.model, &constants, batch, &request).map_err(run)?;
                let mut gradients = self.loss(&outputs, batch)?.backward().map_err(run)?;
                let gates = self.gates.gradients(&leaves, &mut gradients, batch.len()).map_err(run)?;
                Ok(Record { gates, ..record })
            }
            Needs::Values => {
                let taps: Vec<_> = self.gates.places().collect();
                let request = Request { taps: taps.iter().map(|(v, _)| *v).collect(), ..request };
                let outputs =
                    self.model.forward(&self.model.params.constants(), batch, &request).map_err(run)?;
                let sizes = taps.iter().map(|(value, axis)| {
                    let tensor = outputs.taps.get(value);
                    tensor.map_or_else(|| Ok(Vec::new()), |t| mean_size(t, *axis).map_err(run))
                });
                Ok(Record { sizes: sizes.collect::<Result<_>>()?, ..record })
            }
        }
    }

    /// The loss of a batch, by the model's own predictions where an image has no label.
    fn loss(&self, outputs: &Outputs, batch: &Batch) -> Result<Tensor> {
        let unlabelled = |s: &DataSample| s.gt_label.is_empty() && s.gt_score.is_none();
        let mut samples = batch.samples.clone();
        if samples.iter().any(unlabelled) {
            samples = self.model.task().predict(&outputs.outputs, samples).map_err(run)?;
            for sample in samples.iter_mut().filter(|s| unlabelled(s)) {
                sample.gt_label = sample.pred_label.map_or_else(|| sample.pred_labels.clone(), |l| vec![l]);
            }
        }
        let losses =
            self.model.task().loss(&outputs.outputs, &samples, &mut Sites::default()).map_err(run)?;
        total(&losses).map_err(run)
    }
}

/// Along an axis the mean of `|x|`.
fn mean_size(tensor: &Tensor, axis: usize) -> occam_engine::Result<Vec<f64>> {
    let x = tensor.detach();
    let mut sizes = x.maximum(&x.scale(-1.0)?)?;
    for other in (0..tensor.rank()).filter(|&a| a != axis) {
        sizes = sizes.mean_axis(other)?;
    }
    Ok(sizes.to_f32()?.into_iter().map(f64::from).collect())
}
