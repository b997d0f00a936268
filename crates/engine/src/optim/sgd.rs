//! Stochastic gradient descent.

use indexmap::IndexMap;
use serde::Deserialize;

use super::{Optimizer, State, split_slot};
use crate::kernels::SgdRule;
use crate::{Result, Tensor};

/// Stochastic gradient descent with momentum, as `torch.optim.SGD`.
///
/// `d = g + weight_decay · p`; with momentum `b = momentum · b + (1 − dampening) · d` (the first `b` is `d`), and
/// `d = d + momentum · b` with `nesterov`, else `d = b`; then `p = p − lr · d`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Share of the last direction that is kept.
    #[serde(default)]
    pub momentum: f64,
    /// Share of the gradient that is left out of the direction.
    #[serde(default)]
    pub dampening: f64,
    /// Factor of the L2 penalty.
    #[serde(default)]
    pub weight_decay: f64,
    /// Whether the direction looks one step ahead.
    #[serde(default)]
    pub nesterov: bool,
    #[serde(skip)]
    buffers: IndexMap<String, Tensor>,
}

impl Sgd {
    /// Plain descent: no momentum, no decay.
    pub fn new(lr: f64) -> Self {
        Self {
            lr,
            momentum: 0.0,
            dampening: 0.0,
            weight_decay: 0.0,
            nesterov: false,
            buffers: IndexMap::new(),
        }
    }
}

impl Optimizer for Sgd {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, lr: f64) -> Result<Tensor> {
        if param.steps_in_one_pass(&[grad]) {
            let rule = SgdRule {
                lr,
                momentum: self.momentum,
                dampening: self.dampening,
                weight_decay: self.weight_decay,
                nesterov: self.nesterov,
            };
            if self.momentum == 0.0 {
                return param.sgd(grad, rule);
            }
            let before = self.buffers.swap_remove(name);
            let first = before.is_none();
            let buffer = before.unwrap_or_else(|| Tensor::full(&param.shape(), 0.0, &param.device()));
            let [moved, buffer] = param.sgd_momentum(grad, buffer, first, rule)?;
            self.buffers.insert(name.into(), buffer);
            return Ok(moved);
        }
        let mut d = grad.clone();
        if self.weight_decay != 0.0 {
            d = d.add(&param.scale(self.weight_decay)?)?;
        }
        if self.momentum != 0.0 {
            let buffer = match self.buffers.get(name) {
                Some(b) => b.scale(self.momentum)?.add(&d.scale(1.0 - self.dampening)?)?,
                None => d.clone(),
            };
            d = if self.nesterov { d.add(&buffer.scale(self.momentum)?)? } else { buffer.clone() };
            self.buffers.insert(name.into(), buffer);
        }
        param.sub(&d.scale(lr)?)
    }

    fn state(&self) -> State {
        self.buffers.iter().map(|(name, b)| (format!("{name}.momentum_buffer"), b.clone())).collect()
    }

    fn load_state(&mut self, state: State) -> Result<()> {
        let mut buffers = IndexMap::new();
        for (key, tensor) in state {
            let (name, _) = split_slot(&key, &["momentum_buffer"])?;
            buffers.insert(name.to_owned(), tensor);
        }
        self.buffers = buffers;
        Ok(())
    }
}
