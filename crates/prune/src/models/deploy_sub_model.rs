//! The small model that a subnet file describes.

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::Batch;
use occam_graph::{Graph, Weights};
use occam_space::subnet;
use occam_train::{Algorithm, AlgorithmConfig, Env, Model, Result, Step, StepContext, supervised};
use occam_zoo::{Architecture, TaskModel};
use serde::Deserialize;

use crate::Shaped;
use crate::mutators::{ChannelMutator, choices};
use crate::shaped::failed;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    architecture: Value,
    #[serde(default)]
    fix_subnet: Option<Value>,
    #[serde(default = "one")]
    divisor: usize,
    #[serde(default)]
    parse_cfg: Option<Value>,
    #[serde(default)]
    data_preprocessor: Option<Value>,
}

fn one() -> usize {
    1
}

fn parse(value: &Value, registry: &Registry) -> Result<Config, ConfigError> {
    let config: Config = value.parse()?;
    if config.divisor == 0 {
        let error = ConfigError::new("`divisor` must be at least 1");
        return Err(error.at(value.get("divisor").unwrap_or(value)));
    }
    if let Some(parse) = config.parse_cfg.as_ref().filter(|v| !v.is_none()) {
        let mut mutator = Value::from_json(&serde_json::json!({ "type": "ChannelMutator" }));
        if let Some(dict) = mutator.as_dict_mut() {
            dict.insert("parse_cfg", parse.clone());
        }
        registry.build::<ChannelMutator>(&mutator).map_err(|e| e.at(parse))?;
    }
    Ok(config)
}

impl Config {
    /// The smaller model, and what it was made of.
    fn narrow(&self, model: TaskModel) -> Result<(TaskModel, Shaped), ConfigError> {
        let place = self.fix_subnet.as_ref().unwrap_or(&self.architecture);
        let wrong = |message: String| ConfigError::new(message).at(place);
        if model.file.is_some() {
            let error = wrong("a model that comes from an ONNX file is not made smaller here".into());
            return Err(error.with_help("occam prune MODEL.onnx --subnet FILE writes the smaller file"));
        }
        let mut shaped = Shaped::new(model.graph.clone().into()).map_err(|e| wrong(e.to_string()))?;
        let wanted = match self.fix_subnet.as_ref().filter(|v| !v.is_none()) {
            Some(value) => choices(value)?,
            None => subnet::Choices::new(),
        };
        let widths = subnet::widths(shaped.trace(), &wanted).map_err(|e| wrong(e.to_string()))?;
        let graph = shaped.narrow(&widths).map_err(|e| wrong(e.to_string()))?;
        let data_preprocessor = self.data_preprocessor.clone().or(model.data_preprocessor);
        Ok((TaskModel { graph, data_preprocessor, ..model }, shaped))
    }
}

struct SubModelConfig {
    config: Config,
    architecture: Box<dyn Architecture>,
}

pub(super) fn build_model(value: &Value, registry: &Registry) -> Result<Box<dyn Architecture>, ConfigError> {
    let config = parse(value, registry)?;
    let architecture = registry.build::<dyn Architecture>(&config.architecture)?;
    Ok(Box::new(SubModelConfig { config, architecture }))
}

impl Architecture for SubModelConfig {
    fn build(self: Box<Self>) -> occam_zoo::Result<TaskModel> {
        Ok(self.config.narrow(self.architecture.build()?)?.0)
    }
}

pub(super) fn build_algorithm(
    value: &Value,
    registry: &Registry,
) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    Ok(Box::new(parse(value, registry)?))
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let (task, shaped) = self.narrow(env.task_model(&self.architecture)?)?;
        let model = Model::new(task, env.seed, &env.device)?;
        Ok(Box::new(GroupFisherDeploySubModel { model, shaped, divisor: self.divisor, adopts: false }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        self.narrow(env.task_model(&self.architecture)?)?;
        Ok(())
    }
}

/// `GroupFisherDeploySubModel(architecture, fix_subnet={}, divisor=1)`: a model with narrower units, to train, test and export.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model with all channels |
/// | `fix_subnet` | `{}` | by unit its width: channels as an int, a part of them as a float; or a mutator's config; or the path of a JSON file with either |
/// | `divisor` | 1 | the exported model's widths are multiples of this |
/// | `parse_cfg` | `ChannelAnalyzer` | as that of a `ChannelMutator` |
/// | `data_preprocessor` | the architecture's | how images are prepared |
///
/// Parameters have the names of the architecture, and the shapes of the smaller model. Where `divisor` is not 1, `occam export`
/// writes units with the next multiple of channels; those that are added are 0, so that the outputs are the same, but never
/// more than the architecture has, and none where a layer takes statistics over them. This serves all pruning methods, in
/// spite of the name.
pub(super) struct GroupFisherDeploySubModel {
    pub(super) model: Model,
    pub(super) shaped: Shaped,
    pub(super) divisor: usize,
    /// Whether it takes its widths from the weights that are loaded.
    pub(super) adopts: bool,
}

impl Algorithm for GroupFisherDeploySubModel {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        supervised(&mut self.model, "", batch, context)
    }

    fn adopt(&mut self, weights: &Weights) -> Result<()> {
        if self.adopts { self.shaped.adopt(&mut self.model, weights) } else { Ok(()) }
    }

    fn exported(&self) -> Result<Option<(Graph, Weights)>> {
        let units = self.shaped.trace().units.iter().zip(self.shaped.widths());
        let widths: Vec<usize> = units
            .map(|(unit, &width)| match unit.exact && unit.kept_by.is_none() {
                true => width.next_multiple_of(self.divisor).clamp(width, unit.channels.max(width)),
                false => width,
            })
            .collect();
        if widths == self.shaped.widths() {
            return Ok(None);
        }
        Ok(Some(self.shaped.at(&widths, &self.model.params.to_weights()?).map_err(failed)?))
    }

    fn architecture(&self) -> &Model {
        &self.model
    }

    fn models(&self) -> Vec<(&'static str, &Model)> {
        vec![("", &self.model)]
    }

    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)> {
        vec![("", &mut self.model)]
    }
}
