//! Optimizers: how a parameter follows its gradient. One a file.

mod adadelta;
mod adagrad;
mod adam;
mod adamw;
mod lamb;
mod lars;
mod maximize;
mod memory;
mod rmsprop;
mod sgd;

pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::Adam;
pub use adamw::AdamW;
pub use lamb::Lamb;
pub use lars::Lars;
pub use maximize::Maximize;
pub use memory::STEP;
pub use rmsprop::RmsProp;
pub use sgd::Sgd;

use indexmap::IndexMap;

use crate::{Result, Tensor};

/// An optimizer's own tensors, by `<parameter>.<slot>`, such as `fc.weight.momentum_buffer`.
pub type State = IndexMap<String, Tensor>;

/// What schedules may move while a training goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Learning rate.
    pub lr: f64,
    /// Share of the last direction that is kept: `momentum`, or the first of `betas`. None where there is no such thing.
    pub momentum: Option<f64>,
    /// Factor of the L2 penalty, or of the decay where that is decoupled.
    pub weight_decay: f64,
}

/// Moves parameters against their gradients.
pub trait Optimizer: Send + Sync {
    /// What the config asks for; schedules start from it.
    fn settings(&self) -> Settings;

    /// The parameter `name` after a step along its gradient; it is changed in its place if nobody else has it.
    ///
    /// # Errors
    /// The shapes do not fit.
    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, at: &Settings) -> Result<Tensor>;

    /// Factor by which all gradients of a step are multiplied first, where their joint 2-norm is `norm`.
    fn gradient_factor(&self, norm: f64) -> f64 {
        let _ = norm;
        1.0
    }

    /// Everything that a later step depends on beside the parameters.
    fn state(&self) -> State;

    /// Continues from a state.
    ///
    /// # Errors
    /// The state is none of this optimizer.
    fn load_state(&mut self, state: State) -> Result<()>;
}

/// `base` to the power of a step's number.
fn power(base: f64, step: u32) -> f64 {
    base.powi(i32::try_from(step).unwrap_or(i32::MAX))
}
