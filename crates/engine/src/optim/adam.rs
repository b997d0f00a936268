//! Adam.

use serde::Deserialize;

use super::adamw::{SLOTS, adapt};
use super::memory::Memory;
use super::{Optimizer, Settings, State};
use crate::kernels::AdamWRule;
use crate::{Result, Tensor};

/// Adam (Kingma and Ba, 2015, arXiv:1412.6980), as `torch.optim.Adam`.
///
/// `g = g + weight_decay · p`; `m = β₁ m + (1 − β₁) g`; `v = β₂ v + (1 − β₂) g²`; then
/// `p = p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)`, with the largest `v` so far where `amsgrad`
/// (Reddi et al., 2018, arXiv:1904.09237).
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Shares of the running moments that are kept.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// Factor of the L2 penalty.
    pub weight_decay: f64,
    /// Whether the denominator never shrinks.
    pub amsgrad: bool,
    #[serde(skip)]
    memory: Memory<3>,
}

impl Default for Adam {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            amsgrad: false,
            memory: Memory::default(),
        }
    }
}

impl Optimizer for Adam {
    fn settings(&self) -> Settings {
        Settings { lr: self.lr, momentum: Some(self.betas.0), weight_decay: self.weight_decay }
    }

    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, at: &Settings) -> Result<Tensor> {
        let betas = (at.momentum.unwrap_or(self.betas.0), self.betas.1);
        let rule = AdamWRule { lr: at.lr, betas, eps: self.eps, weight_decay: 0.0 };
        let mut kept = self.memory.take(name);
        let moved = if at.weight_decay == 0.0 {
            adapt(param, grad, &mut kept, rule, self.amsgrad)?
        } else {
            let grad = grad.add(&param.scale(at.weight_decay)?)?;
            adapt(param, &grad, &mut kept, rule, self.amsgrad)?
        };
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
