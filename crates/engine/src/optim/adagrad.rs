//! Adagrad.

use serde::Deserialize;

use super::memory::Memory;
use super::{Optimizer, Settings, State};
use crate::{Result, Tensor};

/// Adagrad (Duchi et al., 2011), as `torch.optim.Adagrad`.
///
/// `g = g + weight_decay · p`; `s = s + g²`, from `initial_accumulator_value` on; then
/// `p = p − lr / (1 + (t − 1) · lr_decay) · g / (√s + ε)`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adagrad {
    /// Learning rate.
    pub lr: f64,
    /// How fast the learning rate falls with the steps.
    pub lr_decay: f64,
    /// Factor of the L2 penalty.
    pub weight_decay: f64,
    /// What the sum of squares begins with.
    pub initial_accumulator_value: f64,
    /// Added to the denominator.
    pub eps: f64,
    #[serde(skip)]
    memory: Memory<1>,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self {
            lr: 1e-2,
            lr_decay: 0.0,
            weight_decay: 0.0,
            initial_accumulator_value: 0.0,
            eps: 1e-10,
            memory: Memory::default(),
        }
    }
}

const SLOTS: [&str; 1] = ["sum"];

impl Optimizer for Adagrad {
    fn settings(&self) -> Settings {
        Settings { lr: self.lr, momentum: None, weight_decay: self.weight_decay }
    }

    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, at: &Settings) -> Result<Tensor> {
        let mut kept = self.memory.take(name);
        kept.step = kept.step.saturating_add(1);
        let grad = match at.weight_decay {
            0.0 => grad.clone(),
            decay => grad.add(&param.scale(decay)?)?,
        };
        let square = grad.mul(&grad)?;
        let [before] = kept.tensors;
        let sum = match before {
            Some(sum) => sum.add(&square)?,
            None => square.shift(self.initial_accumulator_value)?,
        };
        let lr = at.lr / (1.0 + f64::from(kept.step - 1) * self.lr_decay);
        let update = grad.div(&sum.sqrt()?.shift(self.eps)?)?;
        kept.tensors = [Some(sum)];
        self.memory.keep(name, kept);
        param.sub(&update.scale(lr)?)
    }

    fn state(&self) -> State {
        self.memory.state(SLOTS)
    }

    fn load_state(&mut self, state: State) -> Result<()> {
        self.memory.load(state, SLOTS)
    }
}
