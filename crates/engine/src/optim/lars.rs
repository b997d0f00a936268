//! LARS.

use serde::Deserialize;

use super::memory::Memory;
use super::sgd::descend_with_momentum;
use super::{Optimizer, Settings, State};
use crate::kernels::SgdRule;
use crate::{Result, Tensor};

/// Layer-wise adaptive rate scaling (You et al., 2017, arXiv:1708.03888), as mmselfsup's `LARS`.
///
/// `d = (g + weight_decay · p) · lr · r` with `r = eta · ‖p‖ / (‖g‖ + weight_decay · ‖p‖ + ε)`, 1 where one of the norms
/// is 0 or the parameter is excluded; then momentum as in [`Sgd`](super::Sgd) with a learning rate of 1.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lars {
    /// Learning rate.
    pub lr: f64,
    /// Share of the last direction that is kept.
    #[serde(default)]
    pub momentum: f64,
    /// Factor of the L2 penalty.
    #[serde(default)]
    pub weight_decay: f64,
    /// Share of the gradient that is left out of the direction.
    #[serde(default)]
    pub dampening: f64,
    /// Trust coefficient.
    #[serde(default = "eta")]
    pub eta: f64,
    /// Whether the direction looks one step ahead.
    #[serde(default)]
    pub nesterov: bool,
    /// Added to the denominator of the ratio.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Whether the ratio is 1; set for some parameters by `paramwise_cfg.custom_keys`.
    #[serde(default)]
    pub lars_exclude: bool,
    #[serde(skip)]
    memory: Memory<1>,
}

fn eta() -> f64 {
    1e-3
}

fn eps() -> f64 {
    1e-8
}

const SLOTS: [&str; 1] = ["momentum_buffer"];

impl Optimizer for Lars {
    fn settings(&self) -> Settings {
        Settings { lr: self.lr, momentum: Some(self.momentum), weight_decay: self.weight_decay }
    }

    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, at: &Settings) -> Result<Tensor> {
        let momentum = at.momentum.unwrap_or(self.momentum);
        let mut ratio = 1.0;
        if !self.lars_exclude {
            let (of_param, of_grad) = (param.sum_of_squares()?.sqrt(), grad.sum_of_squares()?.sqrt());
            if of_param != 0.0 && of_grad != 0.0 {
                ratio = self.eta * of_param / (of_grad + at.weight_decay * of_param + self.eps);
            }
        }
        let direction = match at.weight_decay {
            0.0 => grad.scale(at.lr * ratio)?,
            decay => grad.add(&param.scale(decay)?)?.scale(at.lr * ratio)?,
        };
        if momentum == 0.0 {
            return param.sub(&direction);
        }
        let (dampening, nesterov) = (self.dampening, self.nesterov);
        let rule = SgdRule { lr: 1.0, momentum, dampening, weight_decay: 0.0, nesterov };
        let mut kept = self.memory.take(name);
        let [before] = kept.tensors;
        let (moved, buffer) = descend_with_momentum(param, &direction, before, rule)?;
        kept.tensors = [Some(buffer)];
        self.memory.keep(name, kept);
        Ok(moved)
    }

    fn state(&self) -> State {
        self.memory.state(SLOTS)
    }

    fn load_state(&mut self, state: State) -> Result<()> {
        self.memory.load(state, SLOTS)
    }
}
