//! Sparse learning alone, before a pruning of any kind.

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::Batch;
use occam_graph::Weights;
use occam_train::{Algorithm, AlgorithmConfig, Env, Model, Result, Step, StepContext, supervised};
use serde::Deserialize;

use crate::Shaped;
use crate::regularizers::{Learner, Moment, Regularizer};

/// Prefix of the model's parameters.
const PREFIX: &str = "architecture.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    architecture: Value,
    regularizer: Value,
    #[serde(default)]
    data_preprocessor: Option<Value>,
}

struct Config {
    keys: Keys,
    regularizer: Box<dyn Regularizer>,
    value: Value,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    let keys: Keys = value.parse()?;
    let regularizer = registry.build::<dyn Regularizer>(&keys.regularizer)?;
    if regularizer.needs_target() {
        let error = ConfigError::new("which channels will go is not known here: this training removes none");
        return Err(error
            .with_help("give the regularizer a `ratio`, or train a TargetPruneAlgorithm with it")
            .at(&keys.regularizer));
    }
    Ok(Box::new(Config { keys, regularizer, value: value.clone() }))
}

impl Config {
    /// Refuses a model without channels that could be pruned.
    fn see(&self, model: &occam_zoo::TaskModel) -> Result<(), ConfigError> {
        let found = Shaped::new(model.graph.clone().into());
        found.map(drop).map_err(|e| ConfigError::new(e.to_string()).at(&self.value))
    }
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let task = env.task_model(&self.keys.architecture)?;
        self.see(&task)?;
        let data_preprocessor = self.keys.data_preprocessor.or_else(|| task.data_preprocessor.clone());
        let model = Model::new(task, env.seed, &env.device)?;
        Ok(Box::new(SparseTraining { model, learner: Learner::new(self.regularizer), data_preprocessor }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        self.see(&env.task_model(&self.keys.architecture)?)?;
        Ok(())
    }
}

/// Trains a model and makes unimportant channels small on the way, so that a pruning afterwards costs less; it removes none.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model, or `dict(cfg_path=..)` |
/// | `regularizer` | | `BNScaleRegularizer`, `GroupNormRegularizer` or `GrowingRegularizer`; see [`regularizers`](crate::regularizers) |
/// | `data_preprocessor` | the architecture's | how images are prepared |
///
/// Parameters are called `architecture.*`, as those of the algorithms that prune, so these take a checkpoint of it as
/// `load_from`; exported, it is a file for `occam prune`. [`TargetPruneAlgorithm`](super::TargetPruneAlgorithm) does both in one training.
pub struct SparseTraining {
    model: Model,
    learner: Learner,
    data_preprocessor: Option<Value>,
}

impl Algorithm for SparseTraining {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        let mut step = supervised(&mut self.model, PREFIX, batch, context)?;
        let moment = Moment { step: context.iter, leaving: None };
        self.learner.add(&self.model, PREFIX, &moment, &mut step.gradients)?;
        Ok(step)
    }

    fn state(&self) -> Result<Weights> {
        Ok(self.learner.state())
    }

    fn load_state(&mut self, state: &Weights) -> Result<()> {
        self.learner.load_state(state)
    }

    fn architecture(&self) -> &Model {
        &self.model
    }

    fn models(&self) -> Vec<(&'static str, &Model)> {
        vec![(PREFIX, &self.model)]
    }

    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)> {
        vec![(PREFIX, &mut self.model)]
    }

    fn data_preprocessor(&self) -> Option<&Value> {
        self.data_preprocessor.as_ref()
    }
}
