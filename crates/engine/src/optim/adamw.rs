//! Adam with decoupled weight decay.

use indexmap::IndexMap;
use serde::Deserialize;

use super::{Optimizer, State, split_slot};
use crate::kernels::AdamWRule;
use crate::{Device, Error, Result, Tensor};

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
    moments: IndexMap<String, Moments>,
}

#[derive(Debug, Clone)]
struct Moments {
    step: u32,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    max_exp_avg_sq: Option<Tensor>,
}

impl Default for AdamW {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 1e-2,
            amsgrad: false,
            moments: IndexMap::new(),
        }
    }
}

const SLOTS: [&str; 4] = ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"];

impl Optimizer for AdamW {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, lr: f64) -> Result<Tensor> {
        if !self.amsgrad && param.steps_in_one_pass(&[grad]) {
            let rule = AdamWRule { lr, betas: self.betas, eps: self.eps, weight_decay: self.weight_decay };
            let zeros = || Tensor::full(&param.shape(), 0.0, &param.device());
            let (step, moments) = match self.moments.swap_remove(name) {
                Some(m) => (m.step.saturating_add(1), [m.exp_avg, m.exp_avg_sq]),
                None => (1, [zeros(), zeros()]),
            };
            let [moved, exp_avg, exp_avg_sq] = param.adamw(grad, moments, step, rule)?;
            let moments = Moments { step, exp_avg, exp_avg_sq, max_exp_avg_sq: None };
            self.moments.insert(name.into(), moments);
            return Ok(moved);
        }
        let (b1, b2) = self.betas;
        let square = grad.mul(grad)?;
        let (step, exp_avg, exp_avg_sq, before) = match self.moments.get(name) {
            Some(m) => (
                m.step + 1,
                m.exp_avg.scale(b1)?.add(&grad.scale(1.0 - b1)?)?,
                m.exp_avg_sq.scale(b2)?.add(&square.scale(1.0 - b2)?)?,
                m.max_exp_avg_sq.clone(),
            ),
            None => (1, grad.scale(1.0 - b1)?, square.scale(1.0 - b2)?, None),
        };
        let largest = match (self.amsgrad, before) {
            (false, _) => None,
            (true, None) => Some(exp_avg_sq.clone()),
            (true, Some(before)) => Some(before.maximum(&exp_avg_sq)?),
        };
        let exponent = i32::try_from(step).unwrap_or(i32::MAX);
        let (c1, c2) = (1.0 - b1.powi(exponent), 1.0 - b2.powi(exponent));
        let denominator =
            largest.as_ref().unwrap_or(&exp_avg_sq).sqrt()?.scale(1.0 / c2.sqrt())?.shift(self.eps)?;
        let update = exp_avg.div(&denominator)?.scale(lr / c1)?;
        let moved = param.scale(1.0 - lr * self.weight_decay)?.sub(&update)?;
        let moments = Moments { step, exp_avg, exp_avg_sq, max_exp_avg_sq: largest };
        self.moments.insert(name.into(), moments);
        Ok(moved)
    }

    fn state(&self) -> State {
        let mut state = State::new();
        for (name, m) in &self.moments {
            // Exact in f32 up to 2^24 steps; the two halves keep the rest.
            let step = [(m.step >> 16) as f32, (m.step & 0xffff) as f32];
            if let Ok(t) = Tensor::from_f32(&[2], step.to_vec(), &Device::cpu()) {
                state.insert(format!("{name}.step"), t);
            }
            state.insert(format!("{name}.exp_avg"), m.exp_avg.clone());
            state.insert(format!("{name}.exp_avg_sq"), m.exp_avg_sq.clone());
            if let Some(v) = &m.max_exp_avg_sq {
                state.insert(format!("{name}.max_exp_avg_sq"), v.clone());
            }
        }
        state
    }

    fn load_state(&mut self, state: State) -> Result<()> {
        let mut found: IndexMap<String, IndexMap<String, Tensor>> = IndexMap::new();
        for (key, tensor) in state {
            let (name, slot) = split_slot(&key, &SLOTS)?;
            found.entry(name.into()).or_default().insert(slot.into(), tensor);
        }
        let mut moments = IndexMap::new();
        for (name, mut slots) in found {
            let mut take = |slot: &str| {
                slots
                    .swap_remove(slot)
                    .ok_or_else(|| Error::Optim(format!("the state of `{name}` lacks `{slot}`")))
            };
            let step = match take("step")?.to_f32()?.as_slice() {
                [high, low] => ((*high as u32) << 16) | (*low as u32 & 0xffff),
                _ => return Err(Error::Optim(format!("`{name}.step` is damaged"))),
            };
            let (exp_avg, exp_avg_sq) = (take("exp_avg")?, take("exp_avg_sq")?);
            let max_exp_avg_sq = take("max_exp_avg_sq").ok();
            moments.insert(name, Moments { step, exp_avg, exp_avg_sq, max_exp_avg_sq });
        }
        self.moments = moments;
        Ok(())
    }
}
