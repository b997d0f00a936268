//! Adadelta.

use serde::Deserialize;

use super::memory::{Memory, average, or_zeros};
use super::{Optimizer, Settings, State};
use crate::{Result, Tensor};

/// Adadelta (Zeiler, 2012, arXiv:1212.5701), as `torch.optim.Adadelta`.
///
/// `g = g + weight_decay · p`; `v = ρ v + (1 − ρ) g²`; `d = √(u + ε) / √(v + ε) · g`; `u = ρ u + (1 − ρ) d²`;
/// `p = p − lr · d`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adadelta {
    /// Learning rate.
    pub lr: f64,
    /// Share of the running squares that is kept.
    pub rho: f64,
    /// Added under both roots.
    pub eps: f64,
    /// Factor of the L2 penalty.
    pub weight_decay: f64,
    #[serde(skip)]
    memory: Memory<2>,
}

impl Default for Adadelta {
    fn default() -> Self {
        Self { lr: 1.0, rho: 0.9, eps: 1e-6, weight_decay: 0.0, memory: Memory::default() }
    }
}

const SLOTS: [&str; 2] = ["square_avg", "acc_delta"];

impl Optimizer for Adadelta {
    fn settings(&self) -> Settings {
        Settings { lr: self.lr, momentum: None, weight_decay: self.weight_decay }
    }

    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, at: &Settings) -> Result<Tensor> {
        let mut kept = self.memory.take(name);
        let [square_avg, acc_delta] = kept.tensors;
        let grad = match at.weight_decay {
            0.0 => grad.clone(),
            decay => grad.add(&param.scale(decay)?)?,
        };
        let square_avg = average(square_avg.as_ref(), &grad.mul(&grad)?, self.rho)?;
        let acc_delta = or_zeros(acc_delta, &param);
        let ratio = acc_delta.shift(self.eps)?.sqrt()?.div(&square_avg.shift(self.eps)?.sqrt()?)?;
        let delta = ratio.mul(&grad)?;
        let acc_delta = average(Some(&acc_delta), &delta.mul(&delta)?, self.rho)?;
        kept.tensors = [Some(square_avg), Some(acc_delta)];
        self.memory.keep(name, kept);
        param.sub(&delta.scale(at.lr)?)
    }

    fn state(&self) -> State {
        self.memory.state(SLOTS)
    }

    fn load_state(&mut self, state: State) -> Result<()> {
        self.memory.load(state, SLOTS)
    }
}
