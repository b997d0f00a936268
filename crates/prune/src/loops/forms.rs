//! Measuring forms of a model.

use indexmap::IndexMap;
use occam_config::{Error, Value};
use occam_data::{Evaluator, Loader};
use occam_space::Resources;
use occam_train::evaluate::{Metrics, evaluate_form};
use occam_train::reporter::Reporter;
use occam_train::{Algorithm, Form, Result, Space};
use serde::Deserialize;

/// The forms of an algorithm, for the loop called `of`.
pub(super) fn space<'a>(algorithm: &'a dyn Algorithm, of: &str) -> Result<&'a dyn Space> {
    algorithm.space().ok_or_else(|| {
        let error = Error::new(format!("{of} measures subnets, and this model has none"));
        error.with_help("it is for algorithms such as AutoSlim and SlimmableNetwork").into()
    })
}

/// The images of a loader: channels, height and width.
pub(super) fn image_size(loader: &Loader) -> Result<[usize; 3]> {
    let first = loader.epoch(0, 0).next();
    let batch = first.ok_or_else(|| occam_train::Error::Other("there is no data to measure on".into()))??;
    match batch.inputs.shape() {
        &[_, c, h, w] => Ok([c, h, w]),
        other => Err(occam_train::Error::Other(format!("batches of shape {other:?} are no images"))),
    }
}

/// `flops` (multiply-accumulates) and `params`, both in millions, as the original's estimator gives them.
pub(super) fn costs(resources: &Resources) -> Metrics {
    let millions = |n: u64| n as f64 / 1e6;
    IndexMap::from([
        ("flops".to_owned(), millions(resources.macs)),
        ("params".to_owned(), millions(resources.params)),
    ])
}

/// What measures, for one form after the other.
pub(super) struct Measure<'a> {
    pub algorithm: &'a dyn Algorithm,
    pub loader: &'a Loader,
    pub evaluator: &'a mut Evaluator,
    pub stage: &'a str,
    pub reporter: &'a mut dyn Reporter,
}

impl Measure<'_> {
    pub fn form(&mut self, form: &Form) -> Result<Metrics> {
        let model = self.algorithm.architecture();
        evaluate_form(model, form, self.loader, self.evaluator, self.stage, self.reporter)
    }
}

/// Adds figures under `prefix`.
pub(super) fn extend(all: &mut Metrics, prefix: &str, figures: Metrics) {
    all.extend(figures.into_iter().map(|(name, value)| (format!("{prefix}.{name}"), value)));
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Estimator {
    #[serde(rename = "type")]
    kind: String,
    input_shape: Option<Vec<usize>>,
}

impl Default for Estimator {
    fn default() -> Self {
        Self { kind: "ResourceEstimator".into(), input_shape: None }
    }
}

/// `estimator_cfg=dict(type='ResourceEstimator', input_shape=None)`: the size of the image that costs are of; none where it is
/// that of the data.
///
/// # Errors
/// It is of another type, or `input_shape` is no image.
pub(super) fn estimated_image(value: Option<&Value>) -> Result<Option<[usize; 3]>, Error> {
    let Some(value) = value.filter(|v| !v.is_none()) else { return Ok(None) };
    let config: Estimator = value.parse()?;
    if config.kind.rsplit('.').next() != Some("ResourceEstimator") {
        let error = Error::new(format!("there is no estimator `{}`", config.kind));
        return Err(error.with_help("known: ResourceEstimator").at(value));
    }
    match config.input_shape.as_deref() {
        None => Ok(None),
        Some(&[_, c, h, w]) => Ok(Some([c, h, w])),
        Some(_) => Err(Error::new("`input_shape` must be (1, channels, height, width)")
            .at(value.get("input_shape").unwrap_or(value))),
    }
}
