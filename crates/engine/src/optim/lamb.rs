//! LAMB.

use serde::Deserialize;

use super::memory::{Memory, average};
use super::{Optimizer, Settings, State, power};
use crate::{Result, Tensor};

/// Layer-wise adaptive moments (You et al., 2020, arXiv:1904.00962), as mmcls' `Lamb`.
///
/// All gradients are divided by `max(1, ‖g‖ / max_grad_norm)`, with the norm over all parameters;
/// `m = β₁ m + (1 − β₁) g` (`m = β₁ m + g` without `grad_averaging`); `v = β₂ v + (1 − β₂) g²`;
/// `u = m / (1 − β₁ᵗ) / (√v / √(1 − β₂ᵗ) + ε) + weight_decay · p`; then `p = p − lr · r · u` with the trust ratio
/// `r = ‖p‖ / ‖u‖`, 1 where one of the two is 0, and at most 1 with `trust_clip`. Parameters without decay take `r = 1`
/// unless `always_adapt`.
///
/// Steps are counted for each parameter; the original counts them for each group.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lamb {
    /// Learning rate.
    pub lr: f64,
    /// Whether moments are divided by `1 − βᵗ`.
    pub bias_correction: bool,
    /// Shares of the running moments that are kept.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// Share of the parameter in the update.
    pub weight_decay: f64,
    /// Whether the first moment is an average.
    pub grad_averaging: bool,
    /// Joint norm to which gradients are scaled down.
    pub max_grad_norm: f64,
    /// Whether the trust ratio is at most 1.
    pub trust_clip: bool,
    /// Whether parameters without decay take a trust ratio too.
    pub always_adapt: bool,
    #[serde(skip)]
    memory: Memory<2>,
}

impl Default for Lamb {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            bias_correction: true,
            betas: (0.9, 0.999),
            eps: 1e-6,
            weight_decay: 0.01,
            grad_averaging: true,
            max_grad_norm: 1.0,
            trust_clip: false,
            always_adapt: false,
            memory: Memory::default(),
        }
    }
}

const SLOTS: [&str; 2] = ["exp_avg", "exp_avg_sq"];

impl Optimizer for Lamb {
    fn settings(&self) -> Settings {
        Settings { lr: self.lr, momentum: Some(self.betas.0), weight_decay: self.weight_decay }
    }

    fn gradient_factor(&self, norm: f64) -> f64 {
        if norm > self.max_grad_norm { self.max_grad_norm / norm } else { 1.0 }
    }

    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, at: &Settings) -> Result<Tensor> {
        let (b1, b2) = (at.momentum.unwrap_or(self.betas.0), self.betas.1);
        let mut kept = self.memory.take(name);
        kept.step = kept.step.saturating_add(1);
        let [exp_avg, exp_avg_sq] = kept.tensors;
        let exp_avg = match (self.grad_averaging, exp_avg) {
            (true, before) => average(before.as_ref(), grad, b1)?,
            (false, Some(before)) => before.scale(b1)?.add(grad)?,
            (false, None) => grad.clone(),
        };
        let exp_avg_sq = average(exp_avg_sq.as_ref(), &grad.mul(grad)?, b2)?;
        let (c1, c2) = match self.bias_correction {
            true => (1.0 - power(b1, kept.step), 1.0 - power(b2, kept.step)),
            false => (1.0, 1.0),
        };
        let denominator = exp_avg_sq.sqrt()?.scale(1.0 / c2.sqrt())?.shift(self.eps)?;
        let mut update = exp_avg.scale(1.0 / c1)?.div(&denominator)?;
        if at.weight_decay != 0.0 {
            update = update.add(&param.scale(at.weight_decay)?)?;
        }
        let mut trust = 1.0;
        if at.weight_decay != 0.0 || self.always_adapt {
            let (of_param, of_update) = (param.sum_of_squares()?.sqrt(), update.sum_of_squares()?.sqrt());
            if of_param > 0.0 && of_update > 0.0 {
                trust = of_param / of_update;
            }
            if self.trust_clip {
                trust = trust.min(1.0);
            }
        }
        kept.tensors = [Some(exp_avg), Some(exp_avg_sq)];
        self.memory.keep(name, kept);
        param.sub(&update.scale(at.lr * trust)?)
    }

    fn state(&self) -> State {
        self.memory.state(SLOTS)
    }

    fn load_state(&mut self, state: State) -> Result<()> {
        self.memory.load(state, SLOTS)
    }
}
