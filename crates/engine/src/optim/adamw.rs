//! Adam with decoupled weight decay.

use serde::Deserialize;

use super::memory::{Kept, Memory, average, or_zeros};
use super::{Optimizer, Settings, State, power};
use crate::kernels::AdamWRule;
use crate::{Result, Tensor};

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019, arXiv:1711.05101), as `torch.optim.AdamW`.
///
/// `p = p · (1 − lr · weight_decay)`; `m = β₁ m + (1 − β₁) g`; `v = β₂ v + (1 − β₂) g²`; then
/// `p = p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)`, with the largest `v` so far where `amsgrad`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Shares of the running moments that are kept.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// Share of the parameter that is taken away each step, times the learning rate.
    pub weight_decay: f64,
    /// Whether the denominator never shrinks.
    pub amsgrad: bool,
    #[serde(skip)]
    memory: Memory<3>,
}

impl Default for AdamW {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 1e-2,
            amsgrad: false,
            memory: Memory::default(),
        }
    }
}

pub(super) const SLOTS: [&str; 3] = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];

impl Optimizer for AdamW {
    fn settings(&self) -> Settings {
        Settings { lr: self.lr, momentum: Some(self.betas.0), weight_decay: self.weight_decay }
    }

    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, at: &Settings) -> Result<Tensor> {
        let rule = AdamWRule {
            lr: at.lr,
            betas: (at.momentum.unwrap_or(self.betas.0), self.betas.1),
            eps: self.eps,
            weight_decay: at.weight_decay,
        };
        let mut kept = self.memory.take(name);
        let moved = adapt(param, grad, &mut kept, rule, self.amsgrad)?;
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

/// The parameter after a step, whose moments are in `kept`.
pub(super) fn adapt(
    param: Tensor,
    grad: &Tensor,
    kept: &mut Kept<3>,
    rule: AdamWRule,
    amsgrad: bool,
) -> Result<Tensor> {
    kept.step = kept.step.saturating_add(1);
    let [exp_avg, exp_avg_sq, largest] = std::mem::take(&mut kept.tensors);
    if !amsgrad && param.steps_in_one_pass(&[grad]) {
        let moments = [or_zeros(exp_avg, &param), or_zeros(exp_avg_sq, &param)];
        let [moved, exp_avg, exp_avg_sq] = param.adamw(grad, moments, kept.step, rule)?;
        kept.tensors = [Some(exp_avg), Some(exp_avg_sq), None];
        return Ok(moved);
    }
    let (b1, b2) = rule.betas;
    let exp_avg = average(exp_avg.as_ref(), grad, b1)?;
    let exp_avg_sq = average(exp_avg_sq.as_ref(), &grad.mul(grad)?, b2)?;
    let largest = match (amsgrad, largest) {
        (false, _) => None,
        (true, None) => Some(exp_avg_sq.clone()),
        (true, Some(before)) => Some(before.maximum(&exp_avg_sq)?),
    };
    let (c1, c2) = (1.0 - power(b1, kept.step), 1.0 - power(b2, kept.step));
    let second = largest.as_ref().unwrap_or(&exp_avg_sq);
    let denominator = second.sqrt()?.scale(1.0 / c2.sqrt())?.shift(rule.eps)?;
    let update = exp_avg.div(&denominator)?.scale(rule.lr / c1)?;
    let moved = param.scale(1.0 - rule.lr * rule.weight_decay)?.sub(&update)?;
    kept.tensors = [Some(exp_avg), Some(exp_avg_sq), largest];
    Ok(moved)
}
