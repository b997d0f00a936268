//! Measuring some subnets of a supernet.

use occam_config::{Error, Registry, Value};
use occam_data::{Evaluator, Loader, Seed};
use occam_graph::{Bindings, Graph};
use occam_space::Resources;
use occam_train::evaluate::Metrics;
use occam_train::loops::{EvalLoop, EvalRun};
use occam_train::reporter::Reporter;
use occam_train::{Algorithm, Form, Model, Result};
use serde::Deserialize;

use super::forms::{Measure, costs, estimated_image, extend, image_size, space};
use crate::shaped::failed;
use crate::supernet::bindings;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    fp16: bool,
    evaluate_fixed_subnet: bool,
    calibrate_sample_num: i64,
    estimator_cfg: Option<Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self { fp16: false, evaluate_fixed_subnet: false, calibrate_sample_num: 4096, estimator_cfg: None }
    }
}

/// Measures subnets of a supernet, each after its batch normalizations got statistics of their own.
///
/// | key | default | |
/// |---|---|---|
/// | `evaluate_fixed_subnet` | False | whether the model is one subnet; its figures are called `fix_subnet.*` |
/// | `calibrate_sample_num` | 4096 | training images, as they come for training, whose statistics each subnet gets before it is measured, rounded down to batches, at least one; -1 or 0: none, it has those of the training |
/// | `estimator_cfg` | `ResourceEstimator` | `input_shape`: the images whose costs are told; those of the data by default |
/// | `fp16` | False | must be False |
///
/// Else there are `max_subnet.*`, `min_subnet.*` and `random<i>_subnet.*`, the same random ones in each validation of a run: the
/// original draws others each time, so that figures of one run cannot be compared. Beside the evaluator's figures there are
/// `flops` and `params`, in millions. The model keeps its weights and statistics.
pub struct SubnetValLoop {
    config: Config,
    image: Option<[usize; 3]>,
    training: Option<Loader>,
    seed: Seed,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn EvalLoop>, Error> {
    let config: Config = value.parse()?;
    if config.fp16 {
        let error = Error::new("`fp16=True` is not supported: models are measured in single precision");
        return Err(error.at(value.get("fp16").unwrap_or(value)).with_help("remove it"));
    }
    let image = estimated_image(config.estimator_cfg.as_ref())?;
    Ok(Box::new(SubnetValLoop { config, image, training: None, seed: Seed(0) }))
}

impl SubnetValLoop {
    fn calibrate(&self, form: &mut Form, model: &Model) -> Result<()> {
        let Ok(samples) = usize::try_from(self.config.calibrate_sample_num) else { return Ok(()) };
        let Some(loader) = self.training.as_ref().filter(|_| samples > 0) else { return Ok(()) };
        let batches = (samples / loader.batch_size()).clamp(1, loader.len().max(1));
        form.calibrate(model, loader.epoch(0, 0).take(batches).map(|batch| Ok(batch?)))?;
        Ok(())
    }
}

/// What a graph costs as it is.
fn resources(graph: &Graph, image: [usize; 3]) -> Result<Resources, crate::Error> {
    let bindings: Bindings = bindings(graph, image)?;
    let none = occam_space::Trace { units: Vec::new() };
    Ok(occam_space::Estimator::new(graph, &none, &bindings)?.fixed())
}

impl EvalLoop for SubnetValLoop {
    fn needs_training_data(&self) -> bool {
        self.config.calibrate_sample_num > 0
    }

    fn begin(&mut self, run: EvalRun<'_>) -> Result<()> {
        if self.needs_training_data() && run.training.is_none() {
            let error =
                Error::new("SubnetValLoop calibrates subnets by training data, of which the config has none");
            return Err(error
                .with_help("give a `train_dataloader`, or set `calibrate_sample_num=-1`")
                .into());
        }
        self.training = run.training;
        self.seed = run.seed;
        Ok(())
    }

    fn shorten(&mut self) {
        self.config.calibrate_sample_num = self.config.calibrate_sample_num.min(1);
    }

    fn run(
        &mut self,
        algorithm: &dyn Algorithm,
        loader: &Loader,
        evaluator: &mut Evaluator,
        stage: &str,
        reporter: &mut dyn Reporter,
    ) -> Result<Metrics> {
        let model = algorithm.architecture();
        let image = match self.image {
            Some(image) => image,
            None => image_size(loader)?,
        };
        let mut measure = Measure { algorithm, loader, evaluator, stage, reporter };
        let mut all = Metrics::new();
        if self.config.evaluate_fixed_subnet {
            let mut form = Form::of(model)?;
            self.calibrate(&mut form, model)?;
            extend(&mut all, "fix_subnet", measure.form(&form)?);
            extend(&mut all, "fix_subnet", costs(&resources(model.graph(), image).map_err(failed)?));
            return Ok(all);
        }
        let space = space(algorithm, "SubnetValLoop")?;
        for (name, picks) in space.kinds(self.seed) {
            let mut form = space.form(&picks)?;
            self.calibrate(&mut form, model)?;
            extend(&mut all, &name, measure.form(&form)?);
            extend(&mut all, &name, costs(&space.resources(&picks, image)?));
        }
        Ok(all)
    }
}
