//! Training: algorithms, loops, hooks, the runner and recipes.

pub mod algorithm;
pub mod checkpoint;
mod cuts;
pub mod dry_run;
mod error;
pub mod evaluate;
pub mod export;
pub mod hooks;
pub mod interrupt;
mod journal;
pub mod log;
pub mod loops;
pub mod memory;
mod model;
pub mod optim;
pub mod recipe;
pub mod reporter;
pub mod runner;
pub mod schedules;
mod space;

pub use algorithm::{
    Algorithm, AlgorithmConfig, Env, Step, StepContext, UnitState, scalars, supervised, supervised_by, total,
};
pub use cuts::Cuts;
pub use error::{Error, Result};
pub use evaluate::Metrics;
pub use hooks::Hook;
pub use model::{GradientMap, Model};
pub use runner::{Resume, RunOptions, Runner};
pub use space::{Form, Group, Picks, Space, without_chance};

/// Makes all components of this crate known.
pub fn register(registry: &mut occam_config::Registry) {
    hooks::register(registry);
    loops::register(registry);
    optim::register(registry);
    schedules::register(registry);
    recipe::register(registry);
}
