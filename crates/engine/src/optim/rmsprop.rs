//! RMSprop.

use serde::Deserialize;

use super::memory::{Memory, average};
use super::{Optimizer, Settings, State};
use crate::{Result, Tensor};

/// RMSprop (Tieleman and Hinton, 2012; centered: Graves, 2013, arXiv:1308.0850), as `torch.optim.RMSprop`.
///
/// `g = g + weight_decay · p`; `v = α v + (1 − α) g²`; `d = g / (√v + ε)`, where `centered` with
/// `a = α a + (1 − α) g` and `√(v − a²)` instead of `√v`. With momentum `b = momentum · b + d` and `p = p − lr · b`, else
/// `p = p − lr · d`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// Learning rate.
    pub lr: f64,
    /// Share of the running square that is kept.
    pub alpha: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Factor of the L2 penalty.
    pub weight_decay: f64,
    /// Share of the last direction that is kept.
    pub momentum: f64,
    /// Whether the gradient's running mean is taken out of its running square.
    pub centered: bool,
    #[serde(skip)]
    memory: Memory<3>,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self {
            lr: 1e-2,
            alpha: 0.99,
            eps: 1e-8,
            weight_decay: 0.0,
            momentum: 0.0,
            centered: false,
            memory: Memory::default(),
        }
    }
}

const SLOTS: [&str; 3] = ["square_avg", "grad_avg", "momentum_buffer"];

impl Optimizer for RmsProp {
    fn settings(&self) -> Settings {
        Settings { lr: self.lr, momentum: Some(self.momentum), weight_decay: self.weight_decay }
    }

    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, at: &Settings) -> Result<Tensor> {
        let momentum = at.momentum.unwrap_or(self.momentum);
        let mut kept = self.memory.take(name);
        let [square_avg, grad_avg, buffer] = kept.tensors;
        let grad = match at.weight_decay {
            0.0 => grad.clone(),
            decay => grad.add(&param.scale(decay)?)?,
        };
        let square_avg = average(square_avg.as_ref(), &grad.mul(&grad)?, self.alpha)?;
        let (variance, grad_avg) = if self.centered {
            let mean = average(grad_avg.as_ref(), &grad, self.alpha)?;
            (square_avg.sub(&mean.mul(&mean)?)?, Some(mean))
        } else {
            (square_avg.clone(), None)
        };
        let direction = grad.div(&variance.sqrt()?.shift(self.eps)?)?;
        let (direction, buffer) = if momentum > 0.0 {
            let next = match buffer {
                Some(b) => b.scale(momentum)?.add(&direction)?,
                None => direction,
            };
            (next.clone(), Some(next))
        } else {
            (direction, buffer)
        };
        kept.tensors = [Some(square_avg), grad_avg, buffer];
        self.memory.keep(name, kept);
        param.sub(&direction.scale(at.lr)?)
    }

    fn state(&self) -> State {
        self.memory.state(SLOTS)
    }

    fn load_state(&mut self, state: State) -> Result<()> {
        self.memory.load(state, SLOTS)
    }
}
