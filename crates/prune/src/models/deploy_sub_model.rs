//! The small model that a subnet file describes.

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::Batch;
use occam_graph::{Graph, Weights};
use occam_space::subnet;
use occam_train::{Algorithm, AlgorithmConfig, Env, Model, Result, Step, StepContext, supervised};
use occam_zoo::{Architecture, Inits, TaskModel};
use serde::Deserialize;

use crate::Shaped;
use crate::mutators::{ChannelMutator, choices, read_json};
use crate::shaped::failed;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) architecture: Value,
    #[serde(default)]
    pub(super) fix_subnet: Option<Value>,
    #[serde(default = "one")]
    pub(super) divisor: usize,
    #[serde(default)]
    pub(super) parse_cfg: Option<Value>,
    #[serde(default)]
    pub(super) data_preprocessor: Option<Value>,
    /// Whether first values are parts of the whole model's.
    #[serde(skip)]
    pub(super) init_weight_from_supernet: bool,
}

/// Kinds of units of which subnets have the first channels.
const FIRST: [&str; 4] =
    ["OneShotMutableChannelUnit", "SequentialMutableChannelUnit", "SlimmableChannelUnit", "DMCPChannelUnit"];

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

    /// Whether the file is of a mutator whose subnets have the first channels of the whole model.
    fn has_first_channels(&self) -> Result<bool, ConfigError> {
        let Some(value) = self.fix_subnet.as_ref().filter(|v| !v.is_none()) else { return Ok(true) };
        let json = match value.as_str() {
            Some(path) => read_json(path, value)?,
            None => value.to_json(),
        };
        let kind = json.pointer("/channel_unit_cfg/type").and_then(serde_json::Value::as_str);
        let kind = kind.and_then(|k| k.rsplit('.').next());
        Ok(kind.is_some_and(|k| FIRST.contains(&k)))
    }
}

pub(super) struct SubModelConfig {
    pub(super) config: Config,
    pub(super) architecture: Box<dyn Architecture>,
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
        let first = self.has_first_channels()?;
        let whole = env.task_model(&self.architecture)?;
        let (model, shaped) = if self.init_weight_from_supernet {
            let weights = occam_zoo::initialize(&whole.graph, &whole.inits, env.seed)?;
            let (task, shaped) = self.narrow(TaskModel { inits: Inits::default(), ..whole })?;
            let weights = shaped.part(&weights).map_err(failed)?;
            (Model::with_weights(task, &weights, &env.device)?, shaped)
        } else {
            let (task, shaped) = self.narrow(whole)?;
            (Model::new(task, env.seed, &env.device)?, shaped)
        };
        Ok(Box::new(GroupFisherDeploySubModel { model, shaped, divisor: self.divisor, adopts: false, first }))
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
///
/// Where `fix_subnet` is a mutator's config whose units keep their first channels, as those that searches of supernets write,
/// weights of the whole model are taken, too, and cut.
pub(super) struct GroupFisherDeploySubModel {
    pub(super) model: Model,
    pub(super) shaped: Shaped,
    pub(super) divisor: usize,
    /// Whether it takes its widths from the weights that are loaded.
    pub(super) adopts: bool,
    /// Whether it has the first channels of the whole model.
    pub(super) first: bool,
}

impl Algorithm for GroupFisherDeploySubModel {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        supervised(&mut self.model, "", batch, context)
    }

    fn adopt(&mut self, weights: &Weights) -> Result<()> {
        if self.adopts { self.shaped.adopt(&mut self.model, weights) } else { Ok(()) }
    }

    fn accept(&self, weights: &Weights) -> Result<Option<Weights>> {
        if !self.first {
            return Ok(None);
        }
        let bare = |(name, a): (&String, &occam_graph::Array)| {
            (name.strip_prefix("architecture.").unwrap_or(name).to_owned(), a.clone())
        };
        let all: Weights = weights.iter().map(bare).collect();
        if occam_graph::fit(self.model.graph(), &all)?.mismatched.is_empty() {
            return Ok(None);
        }
        let whole = occam_graph::fit(self.shaped.graph(), &all)?;
        if !(whole.mismatched.is_empty() && whole.missing.is_empty()) {
            return Ok(None);
        }
        Ok(Some(self.shaped.part(&all).map_err(failed)?))
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
