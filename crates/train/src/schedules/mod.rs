//! The schedules of a run: `param_scheduler`. One family a file.
//!
//! Every family has three names: `CosineAnnealingLR` moves the learning rate, `CosineAnnealingMomentum` the momentum (the
//! first of `betas` where there are these), and `CosineAnnealingParamScheduler` what its `param_name` says: `lr`,
//! `momentum` or `weight_decay`.

mod constant;
mod cosine_annealing;
mod cosine_restart;
mod exponential;
mod linear;
mod multi_step;
mod one_cycle;
mod poly;
mod reduce_on_plateau;
mod step;

use occam_config::{Build, Error as ConfigError, Registry, Value};
use occam_engine::schedule::{Floor, Length, Schedule, Target};

use crate::error::refuse;
use crate::{Error, Result};

/// The config of a schedule.
pub trait ParamScheduler {
    /// The schedule of a training of `length`.
    ///
    /// # Errors
    /// Its steps are impossible.
    fn build(&self, length: Length) -> Result<Schedule>;
}

const TABLE: &[(&str, Build<dyn ParamScheduler>)] = &[
    ("ConstantLR", constant::build),
    ("ConstantMomentum", constant::build),
    ("ConstantParamScheduler", constant::build),
    ("CosineAnnealingLR", cosine_annealing::build),
    ("CosineAnnealingMomentum", cosine_annealing::build),
    ("CosineAnnealingParamScheduler", cosine_annealing::build),
    ("CosineRestartLR", cosine_restart::build),
    ("CosineRestartMomentum", cosine_restart::build),
    ("CosineRestartParamScheduler", cosine_restart::build),
    ("ExponentialLR", exponential::build),
    ("ExponentialMomentum", exponential::build),
    ("ExponentialParamScheduler", exponential::build),
    ("LinearLR", linear::build),
    ("LinearMomentum", linear::build),
    ("LinearParamScheduler", linear::build),
    ("MultiStepLR", multi_step::build),
    ("MultiStepMomentum", multi_step::build),
    ("MultiStepParamScheduler", multi_step::build),
    ("OneCycleLR", one_cycle::build),
    ("OneCycleParamScheduler", one_cycle::build),
    ("PolyLR", poly::build),
    ("PolyMomentum", poly::build),
    ("PolyParamScheduler", poly::build),
    ("ReduceOnPlateauLR", reduce_on_plateau::build),
    ("ReduceOnPlateauMomentum", reduce_on_plateau::build),
    ("ReduceOnPlateauParamScheduler", reduce_on_plateau::build),
    ("StepLR", step::build),
    ("StepMomentum", step::build),
    ("StepParamScheduler", step::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn ParamScheduler>("param_scheduler", TABLE);
}

/// The schedules of `param_scheduler` by the part whose optimizer they move: a dict without `type` has lists by part, everything
/// else is for all.
pub fn by_part(value: Option<&Value>) -> Vec<(Option<&str>, &Value)> {
    let Some(value) = value.filter(|v| !v.is_none()) else { return Vec::new() };
    match value.as_dict().filter(|d| !d.contains("type")) {
        Some(parts) => parts.iter().filter_map(|(part, own)| Some((Some(part.as_str()?), own))).collect(),
        None => vec![(None, value)],
    }
}

/// Reads the schedules of one part: one schedule, a list, or none.
///
/// # Errors
/// A schedule is unknown or impossible.
pub fn from_config(value: Option<&Value>, registry: &Registry, length: Length) -> Result<Vec<Schedule>> {
    let Some(value) = value.filter(|v| !v.is_none()) else { return Ok(Vec::new()) };
    let items = value.as_list().unwrap_or(std::slice::from_ref(value));
    items
        .iter()
        .map(|item| {
            let built = registry.build::<dyn ParamScheduler>(item)?.build(length);
            built.map_err(|e| ConfigError::from(e).at(item).into())
        })
        .collect()
}

/// What the schedule of a config moves.
fn target(value: &Value, param_name: Option<&str>) -> Result<Target, ConfigError> {
    let name = value.type_name().unwrap_or_default();
    if name.ends_with("ParamScheduler") {
        return match param_name {
            Some("lr") => Ok(Target::Lr),
            Some("momentum") => Ok(Target::Momentum),
            Some("weight_decay") => Ok(Target::WeightDecay),
            Some(other) => Err(ConfigError::new(format!("`{other}` cannot be scheduled"))
                .at(value.get("param_name").unwrap_or(value))
                .with_help("`param_name` is lr, momentum or weight_decay")),
            None => Err(ConfigError::new(format!("{name} needs a `param_name`")).at(value)),
        };
    }
    if param_name.is_some() {
        return Err(ConfigError::new(format!("{name} takes no `param_name`: its name says what it moves"))
            .at(value.get("param_name").unwrap_or(value)));
    }
    Ok(if name.ends_with("Momentum") { Target::Momentum } else { Target::Lr })
}

/// `eta_min` or `eta_min_ratio`; `default` where there is neither.
fn floor(eta_min: Option<f64>, ratio: Option<f64>, default: Option<f64>) -> Result<Floor> {
    match (eta_min.or(default.filter(|_| ratio.is_none())), ratio) {
        (Some(eta_min), None) => Ok(Floor::Value(eta_min)),
        (None, Some(ratio)) => Ok(Floor::Ratio(ratio)),
        (Some(_), Some(_)) => refuse("give `eta_min` or `eta_min_ratio`, not both"),
        (None, None) => refuse("give `eta_min` or `eta_min_ratio`"),
    }
}

/// A key that has no default.
fn need<T>(key: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::Config(ConfigError::new(format!("missing key `{key}`"))))
}

/// Declares a schedule's config: its own keys beside those that all have.
macro_rules! config {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $default:expr,)* }) => {
        $(#[$doc])*
        ///
        /// Shared keys: `begin` (0), `end` (the training's end), `by_epoch` (True), `convert_to_iter_based` (False),
        /// `param_name` of the `*ParamScheduler` names; `verbose` is accepted without effect, and `last_step` only as -1,
        /// since checkpoints tell where schedules stand.
        #[derive(Debug, Clone, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[allow(non_snake_case)]
        pub(super) struct $name {
            $($(#[$field_doc])* $field: $kind,)*
            begin: u64,
            end: Option<u64>,
            by_epoch: bool,
            convert_to_iter_based: bool,
            param_name: Option<String>,
            last_step: i64,
            #[serde(rename = "verbose")]
            _verbose: bool,
            #[serde(skip)]
            target: Option<occam_engine::schedule::Target>,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    begin: 0,
                    end: None,
                    by_epoch: true,
                    convert_to_iter_based: false,
                    param_name: None,
                    last_step: -1,
                    _verbose: false,
                    target: None,
                }
            }
        }

        impl $name {
            fn window(&self) -> occam_engine::schedule::Window {
                occam_engine::schedule::Window {
                    begin: self.begin,
                    end: self.end,
                    by_epoch: self.by_epoch,
                    convert_to_iter_based: self.convert_to_iter_based,
                }
            }

            /// What it moves.
            fn target(&self) -> occam_engine::schedule::Target {
                self.target.unwrap_or(occam_engine::schedule::Target::Lr)
            }
        }

        pub(super) fn build(
            value: &occam_config::Value,
            _: &occam_config::Registry,
        ) -> Result<Box<dyn super::ParamScheduler>, occam_config::Error> {
            let mut config: $name = value.parse()?;
            if config.last_step != -1 {
                let error = occam_config::Error::new("`last_step` must be -1: a checkpoint tells where a schedule stands");
                return Err(error.at(value.get("last_step").unwrap_or(value)));
            }
            config.target = Some(super::target(value, config.param_name.as_deref())?);
            Ok(Box::new(config))
        }
    };
}
use config;
