//! Structured pruning: how much each channel matters, and which channels go to meet a target.

mod error;
pub mod importance;
pub mod picture;
mod solve;

pub use error::{Error, Result};
pub use importance::{Importance, Normalizer, Scores};
pub use solve::{Limits, Outcome, Scope, Solver, Target, TargetKind};
