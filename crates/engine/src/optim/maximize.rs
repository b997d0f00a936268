//! Ascent instead of descent.

use super::{Optimizer, Settings, State};
use crate::{Result, Tensor};

/// Any optimizer with the opposite gradients: `maximize=True` of PyTorch's.
pub struct Maximize(pub Box<dyn Optimizer>);

impl Optimizer for Maximize {
    fn settings(&self) -> Settings {
        self.0.settings()
    }

    fn step(&mut self, name: &str, param: Tensor, grad: &Tensor, at: &Settings) -> Result<Tensor> {
        self.0.step(name, param, &grad.scale(-1.0)?, at)
    }

    fn gradient_factor(&self, norm: f64) -> f64 {
        self.0.gradient_factor(norm)
    }

    fn state(&self) -> State {
        self.0.state()
    }

    fn load_state(&mut self, state: State) -> Result<()> {
        self.0.load_state(state)
    }
}
