//! Optimizers: how a parameter follows its gradient. One a file.

mod adamw;
mod sgd;

pub use adamw::AdamW;
pub use sgd::Sgd;

use indexmap::IndexMap;

use crate::{Error, Result, Tensor};

/// An optimizer's own tensors, by `<parameter>.<slot>`, such as `fc.weight.momentum_buffer`.
pub type State = IndexMap<String, Tensor>;

/// Moves parameters against their gradients.
pub trait Optimizer: Send + Sync {
    /// Learning rate that the config asks for; schedules start from it.
    fn lr(&self) -> f64;

    /// The parameter `name` after a step along its gradient; it is changed in its place if nobody else has it.
    ///
    /// # Errors
    /// The shapes do not fit.
    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, lr: f64) -> Result<Tensor>;

    /// Everything that a later step depends on beside the parameters.
    fn state(&self) -> State;

    /// Continues from a state.
    ///
    /// # Errors
    /// The state is none of this optimizer.
    fn load_state(&mut self, state: State) -> Result<()>;
}

/// Splits `fc.weight.momentum_buffer` into `fc.weight` and one of `slots`.
fn split_slot<'a>(key: &'a str, slots: &[&str]) -> Result<(&'a str, &'a str)> {
    key.rsplit_once('.')
        .filter(|(_, slot)| slots.contains(slot))
        .ok_or_else(|| Error::Optim(format!("`{key}` is no state of this optimizer")))
}
