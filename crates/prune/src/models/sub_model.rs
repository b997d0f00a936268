//! The small model that a training with pruning left.

use std::path::Path;

use occam_config::{Dict, Error as ConfigError, Registry, Value};
use occam_train::checkpoint::Checkpoint;
use occam_train::{Algorithm, AlgorithmConfig, Env, Model, Result};
use occam_zoo::{Architecture, Inits, TaskModel};
use serde::Deserialize;

use super::deploy_sub_model::GroupFisherDeploySubModel;
use crate::Shaped;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    algorithm: Value,
    #[serde(default = "one")]
    divisor: usize,
    #[serde(default)]
    data_preprocessor: Option<Value>,
    /// Left in configs that put a whole `dict(_delete_=True, ..)` in a new place.
    #[serde(default, rename = "_delete_")]
    _delete: Option<Value>,
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pretrained {
    #[serde(rename = "type")]
    kind: Option<String>,
    checkpoint: Value,
}

/// `GroupFisherSubModel(algorithm, divisor=1)`: the model that a training with pruning left, to be fine-tuned, tested and
/// exported.
///
/// | key | default | |
/// |---|---|---|
/// | `algorithm` | | the config of that training's `model`: a `GroupFisherAlgorithm`, or another that prunes an `architecture` |
/// | `algorithm.init_cfg` | None | `dict(type='Pretrained', checkpoint=..)`: a checkpoint of that training, or the file that a `ResourceInfoHook` wrote |
/// | `divisor` | 1 | the exported model's widths are multiples of this, as those of a `GroupFisherDeploySubModel` |
/// | `data_preprocessor` | the algorithm's, else the architecture's | how images are prepared |
///
/// Widths and weights are those of the checkpoint; without one all channels are there, for a checkpoint that `load_from` or
/// the command names. What the architecture itself has in `init_cfg` is not read. Parameters have the names of the
/// architecture.
struct Config {
    algorithm: Value,
    architecture: Value,
    checkpoint: Option<Value>,
    divisor: usize,
    data_preprocessor: Option<Value>,
}

fn parse(value: &Value, registry: &Registry) -> Result<Config, ConfigError> {
    let keys: Keys = value.parse()?;
    if keys.divisor == 0 {
        let error = ConfigError::new("`divisor` must be at least 1");
        return Err(error.at(value.get("divisor").unwrap_or(value)));
    }
    let mut algorithm = keys.algorithm;
    let init_cfg = algorithm.as_dict_mut().and_then(|d| d.remove("init_cfg")).filter(|v| !v.is_none());
    let checkpoint = match init_cfg {
        None => None,
        // A dry run takes the checkpoint out of it.
        Some(init) if init.as_dict().is_some_and(|d| d.keys().next().is_none()) => None,
        Some(init) => {
            let own: Pretrained = init.parse()?;
            if own.kind.as_deref().is_none_or(|k| k.rsplit('.').next() != Some("Pretrained")) {
                let error = ConfigError::new("a pruned model takes its weights from a checkpoint alone");
                return Err(error.with_help("use dict(type='Pretrained', checkpoint=..)").at(&init));
            }
            Some(own.checkpoint)
        }
    };
    registry.build::<dyn AlgorithmConfig>(&algorithm)?;
    let Some(architecture) = algorithm.get("architecture").cloned() else {
        let kind = algorithm.type_name().unwrap_or_default();
        let error = ConfigError::new(format!("`{kind}` prunes no `architecture`"));
        return Err(error.at(&algorithm));
    };
    let empty = |v: &Value| v.is_none() || v.as_dict().is_some_and(|d: &Dict| d.keys().next().is_none());
    let data_preprocessor = keys.data_preprocessor.or_else(|| algorithm.get("data_preprocessor").cloned());
    let data_preprocessor = data_preprocessor.filter(|v| !empty(v));
    Ok(Config { algorithm, architecture, checkpoint, divisor: keys.divisor, data_preprocessor })
}

impl Config {
    /// The model at the widths of the checkpoint, with its weights.
    fn narrow(&self, model: TaskModel) -> Result<(TaskModel, Shaped), ConfigError> {
        let wrong = |message: String| ConfigError::new(message).at(&self.architecture);
        let mut shaped = Shaped::new(model.graph.clone().into())
            .map_err(|e| ConfigError::new(e.to_string()).at(&self.algorithm))?;
        let data_preprocessor = self.data_preprocessor.clone().or_else(|| model.data_preprocessor.clone());
        let Some(place) = &self.checkpoint else {
            return Ok((TaskModel { data_preprocessor, ..model }, shaped));
        };
        let refuse = |message: String| ConfigError::new(message).at(place);
        let path = place.as_str().ok_or_else(|| refuse("`checkpoint` must be a str".into()))?;
        if path.contains("://") {
            let error = refuse("weights are never downloaded".into());
            return Err(error.with_help("download the file and give its path"));
        }
        let checkpoint = Checkpoint::load(Path::new(path)).map_err(|e| refuse(e.to_string()))?;
        if checkpoint.weights().keys().any(|name| name.ends_with(".mutable_channel.mask")) {
            let error =
                refuse("it masks channels and has the weights of all of them, as the original's do".into());
            return Err(error.with_help("give the widths to a `GroupFisherDeploySubModel`, as `fix_subnet`, and its weights as `load_from`"));
        }
        let widths = shaped.widths_in(&checkpoint.bare());
        let graph = shaped.narrow(&widths).map_err(|e| wrong(e.to_string()))?;
        let weights = checkpoint.architecture(&graph).map_err(|e| refuse(e.to_string()))?;
        let named =
            graph.params().filter_map(|(_, v)| Some((v.name.clone(), weights.get(&v.name)?.to_f32().ok()?)));
        let inits = Inits::of_weights(named.collect());
        Ok((TaskModel { graph, inits, data_preprocessor, ..model }, shaped))
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
        Ok(Box::new(GroupFisherDeploySubModel {
            model,
            shaped,
            divisor: self.divisor,
            adopts: true,
            first: false,
        }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        env.task_model(&self.architecture)?;
        Ok(())
    }
}
