//! Stochastic gradient descent.

use serde::Deserialize;

use super::memory::{Memory, or_zeros};
use super::{Optimizer, Settings, State};
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
    memory: Memory<1>,
}

const SLOTS: [&str; 1] = ["momentum_buffer"];

impl Sgd {
    /// Plain descent: no momentum, no decay.
    pub fn new(lr: f64) -> Self {
        Self {
            lr,
            momentum: 0.0,
            dampening: 0.0,
            weight_decay: 0.0,
            nesterov: false,
            memory: Memory::default(),
        }
    }
}

impl Optimizer for Sgd {
    fn settings(&self) -> Settings {
        Settings { lr: self.lr, momentum: Some(self.momentum), weight_decay: self.weight_decay }
    }

    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, at: &Settings) -> Result<Tensor> {
        let rule = SgdRule {
            lr: at.lr,
            momentum: at.momentum.unwrap_or(self.momentum),
            dampening: self.dampening,
            weight_decay: at.weight_decay,
            nesterov: self.nesterov,
        };
        if rule.momentum == 0.0 {
            return descend(param, grad, &rule);
        }
        let mut kept = self.memory.take(name);
        let [before] = kept.tensors;
        let (moved, buffer) = descend_with_momentum(param, grad, before, rule)?;
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

fn direction(param: &Tensor, grad: &Tensor, rule: &SgdRule) -> Result<Tensor> {
    if rule.weight_decay == 0.0 {
        return Ok(grad.clone());
    }
    grad.add(&param.scale(rule.weight_decay)?)
}

fn descend(param: Tensor, grad: &Tensor, rule: &SgdRule) -> Result<Tensor> {
    if param.steps_in_one_pass(&[grad]) {
        return param.sgd(grad, *rule);
    }
    param.sub(&direction(&param, grad, rule)?.scale(rule.lr)?)
}

/// The parameter and its buffer after a step; without a buffer it is the first.
pub(super) fn descend_with_momentum(
    param: Tensor,
    grad: &Tensor,
    before: Option<Tensor>,
    rule: SgdRule,
) -> Result<(Tensor, Tensor)> {
    if param.steps_in_one_pass(&[grad]) {
        let first = before.is_none();
        let [moved, buffer] = param.sgd_momentum(grad, or_zeros(before, grad), first, rule)?;
        return Ok((moved, buffer));
    }
    let d = direction(&param, grad, &rule)?;
    let buffer = match before {
        Some(b) => b.scale(rule.momentum)?.add(&d.scale(1.0 - rule.dampening)?)?,
        None => d.clone(),
    };
    let along = if rule.nesterov { d.add(&buffer.scale(rule.momentum)?)? } else { buffer.clone() };
    Ok((param.sub(&along.scale(rule.lr)?)?, buffer))
}
