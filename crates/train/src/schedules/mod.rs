//! The learning-rate schedules of a run: `param_scheduler`. One a file.

mod cosine_annealing;
mod linear;
mod multi_step;

use occam_config::{Build, Registry, Value};
use occam_engine::schedule::{Length, Schedule};

use crate::Result;

/// The config of a schedule.
pub trait ParamScheduler {
    /// The schedule of a training of `length`, for the learning rate `base`.
    ///
    /// # Errors
    /// Its steps are impossible.
    fn build(&self, length: Length, base: f64) -> Result<Schedule>;
}

const TABLE: &[(&str, Build<dyn ParamScheduler>)] = &[
    ("CosineAnnealingLR", cosine_annealing::build),
    ("LinearLR", linear::build),
    ("MultiStepLR", multi_step::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn ParamScheduler>("param_scheduler", TABLE);
}

/// Reads `param_scheduler`: one schedule, a list, or none.
///
/// # Errors
/// A schedule is unknown or impossible.
pub fn from_config(
    value: Option<&Value>,
    registry: &Registry,
    length: Length,
    base: f64,
) -> Result<Vec<Schedule>> {
    let Some(value) = value.filter(|v| !v.is_none()) else { return Ok(Vec::new()) };
    let items = value.as_list().unwrap_or(std::slice::from_ref(value));
    items
        .iter()
        .map(|item| {
            let built = registry.build::<dyn ParamScheduler>(item)?.build(length, base);
            built.map_err(|e| occam_config::Error::from(e).at(item).into())
        })
        .collect()
}

/// Declares a schedule's config: its own keys beside those that all have.
macro_rules! config {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $default:expr,)* }) => {
        $(#[$doc])*
        ///
        /// Shared keys: `begin` (0), `end` (the training's end), `by_epoch` (True), `convert_to_iter_based` (False);
        /// `verbose` is accepted without effect.
        #[derive(Debug, Clone, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[allow(non_snake_case)]
        pub(super) struct $name {
            $($(#[$field_doc])* $field: $kind,)*
            begin: u64,
            end: Option<u64>,
            by_epoch: bool,
            convert_to_iter_based: bool,
            #[serde(rename = "verbose")]
            _verbose: bool,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    begin: 0,
                    end: None,
                    by_epoch: true,
                    convert_to_iter_based: false,
                    _verbose: false,
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
        }

        pub(super) fn build(
            value: &occam_config::Value,
            _: &occam_config::Registry,
        ) -> Result<Box<dyn super::ParamScheduler>, occam_config::Error> {
            let config: $name = value.parse()?;
            Ok(Box::new(config))
        }
    };
}
use config;
