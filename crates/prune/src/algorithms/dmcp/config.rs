//! From a config to the algorithm.

use occam_config::{Error as ConfigError, Registry, Value};
use occam_distill::{Distiller, DistillerConfig, Side, Subject};
use occam_graph::{Array, Graph, Role};
use occam_train::{Algorithm, AlgorithmConfig, Env, Model, Result};
use occam_zoo::TaskModel;
use serde::Deserialize;

use super::gates::Gates;
use super::plan::{Sampled, Strategy};
use super::{Dmcp, FlopsLoss, Groups, Target, Width};
use crate::Supernet;
use crate::algorithms::{no_init_cfg, supernet};
use crate::mutators::{DmcpChannelMutator, Units};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    distiller: Value,
    architecture: Value,
    #[serde(default)]
    mutator_cfg: Option<Value>,
    #[serde(default)]
    data_preprocessor: Option<Value>,
    #[serde(default = "strategy")]
    strategy: Vec<Sampled>,
    #[serde(default)]
    init_cfg: Option<Value>,
    #[serde(default = "arch_start_train")]
    arch_start_train: u64,
    #[serde(default = "arch_train_freq")]
    arch_train_freq: u64,
    #[serde(default = "distillation_times")]
    distillation_times: u64,
    #[serde(default = "target_flops")]
    target_flops: f64,
    #[serde(default)]
    flops_loss_type: FlopsLoss,
    #[serde(default = "one")]
    flop_loss_weight: f64,
}

fn strategy() -> Vec<Sampled> {
    vec![Sampled::Max, Sampled::Min, Sampled::ArchRandom]
}

fn arch_start_train() -> u64 {
    10_000
}

fn arch_train_freq() -> u64 {
    500
}

fn distillation_times() -> u64 {
    20_000
}

fn target_flops() -> f64 {
    150.0
}

fn one() -> f64 {
    1.0
}

struct Config {
    keys: Keys,
    mutator: Box<DmcpChannelMutator>,
    /// The whole dict, for the place of errors.
    value: Value,
}

pub(in crate::algorithms) fn build(
    value: &Value,
    registry: &Registry,
) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    let keys: Keys = value.parse()?;
    let at = |key: &str, message: &str| Err(ConfigError::new(message).at(value.get(key).unwrap_or(value)));
    no_init_cfg(value, keys.init_cfg.as_ref())?;
    if keys.strategy.is_empty() {
        return at("strategy", "`strategy` must name a subnet at least");
    }
    if keys.arch_train_freq == 0 {
        return at("arch_train_freq", "`arch_train_freq` must be at least 1");
    }
    if !(keys.target_flops > 0.0 && keys.target_flops.is_finite()) {
        return at("target_flops", "`target_flops` must be above 0, in millions of multiply-accumulates");
    }
    if !(keys.flop_loss_weight >= 0.0 && keys.flop_loss_weight.is_finite()) {
        return at("flop_loss_weight", "`flop_loss_weight` must be at least 0");
    }
    registry.build::<dyn DistillerConfig>(&keys.distiller)?;
    let default = Value::from_json(&serde_json::json!({ "type": "DMCPChannelMutator" }));
    let mutator_cfg = keys.mutator_cfg.as_ref().filter(|v| !v.is_none()).unwrap_or(&default);
    let mutator = registry.build::<DmcpChannelMutator>(mutator_cfg)?;
    Ok(Box::new(Config { keys, mutator, value: value.clone() }))
}

/// What follows from a model and the config.
struct Plan {
    supernet: Supernet,
    units: Units,
    widths: Vec<Width>,
    gates: Gates,
    distiller: Box<dyn Distiller>,
}

impl Config {
    fn plan(&self, task: &TaskModel, registry: &Registry) -> Result<Plan, ConfigError> {
        let (mutator, value) = (&self.mutator, &self.value);
        let wrong = |message: String| ConfigError::new(message).at(value);
        let supernet = supernet(task, value)?;
        let trace = supernet.trace();
        let units = mutator.channels.units(trace)?;
        let mut number = 0;
        let mut widths = Vec::with_capacity(units.len());
        for (unit, found) in units.iter().zip(&trace.units) {
            if !unit.mutable {
                widths.push(Width::Fixed(found.channels));
                continue;
            }
            let name = format!("arch_params.{number}");
            number += 1;
            widths.push(match Groups::of(found.channels, mutator.rates) {
                Some(groups) if groups.size > 0 && groups.count > 0 => Width::Learned { name, groups },
                Some(_) => Width::Fixed(found.channels),
                None => {
                    let message = format!("`pruning_cfg` leaves nothing of unit `{}`", unit.name);
                    return Err(wrong(message).with_help("raise its least part"));
                }
            });
        }
        if !widths.iter().any(|w| matches!(w, Width::Learned { .. })) {
            let error = wrong("every unit is too narrow for `pruning_cfg`: no width could be learned".into());
            return Err(
                error.with_help("widths go in steps of `int(step · channels)` channels: raise the step")
            );
        }
        let least = widths.iter().map(|w| match w {
            Width::Fixed(channels) => *channels,
            Width::Learned { groups, .. } => groups.least,
        });
        supernet.at(&least.collect::<Vec<_>>())?;
        let gates = Gates::new(supernet.graph(), trace).map_err(|e| wrong(e.to_string()))?;
        let subject = Subject::new(&task.graph, &*task.task);
        let distiller =
            registry.build::<dyn DistillerConfig>(&self.keys.distiller)?.build(&subject, &subject)?;
        if distiller.teaches(Side::Student) && self.keys.strategy.first() != Some(&Sampled::Max) {
            let error =
                ConfigError::new("`strategy` must begin with 'max', from which the other subnets learn");
            return Err(error.at(value.get("strategy").unwrap_or(value)));
        }
        Ok(Plan { supernet, units, widths, gates, distiller })
    }
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let task = env.task_model(&self.keys.architecture)?;
        let Plan { supernet, units, widths, gates, distiller } = self.plan(&task, env.registry)?;
        let Self { keys, mutator, .. } = *self;
        let data_preprocessor = keys.data_preprocessor.or_else(|| task.data_preprocessor.clone());
        let mut warnings = distiller.warnings().to_vec();
        let without = |(i, width): &(usize, &Width)| matches!(width, Width::Learned { .. }) && !gates.has(*i);
        let blind: Vec<String> = (widths.iter().enumerate().filter(without))
            .filter_map(|(i, _)| Some(format!("`{}`", units.get(i)?.name)))
            .collect();
        if !blind.is_empty() {
            warnings.push(format!(
                "units without batch normalization learn their widths from multiply-accumulates alone: {}",
                blind.join(", ")
            ));
        }
        let parameter = |width: &Width| match width {
            Width::Fixed(_) => None,
            Width::Learned { name, groups } => {
                Some((name.clone(), Array::full([groups.count], 0.0), Role::Weight))
            }
        };
        let arch = Model::of_parameters(widths.iter().filter_map(parameter), &env.device)?;
        let model = Model::new(task, env.seed, &env.device)?;
        let small = model.like(Graph::clone(model.graph()), &model.params.to_weights()?)?;
        Ok(Box::new(Dmcp {
            model,
            arch,
            small,
            supernet,
            mutator,
            units,
            widths,
            gates,
            distiller,
            strategy: Strategy {
                nets: keys.strategy,
                arch_start_train: keys.arch_start_train,
                arch_train_freq: keys.arch_train_freq,
                distillation_times: keys.distillation_times,
            },
            target: Target {
                millions: keys.target_flops,
                loss: keys.flops_loss_type,
                weight: keys.flop_loss_weight,
            },
            data_preprocessor,
            warnings,
            macs: None,
            parts: Vec::new(),
            taught: None,
        }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        self.plan(&env.task_model(&self.keys.architecture)?, env.registry)?;
        Ok(())
    }
}
