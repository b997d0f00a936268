//! Rounding by a grid that learns.

use occam_graph::ops::GridLearning;
use serde::Deserialize;

use super::FakeQuantConfig;

/// `LearnableFakeQuantize(use_grad_scaling=True, zero_point_trainable=False)`: learned steps (Esser et al., 2020,
/// arXiv:1902.08153), and with `zero_point_trainable` learned zero points, too (Bhalgat et al., 2020, arXiv:2004.09576).
///
/// The grid is the observer's while that observes, and a parameter from then on. With `q` the rounded integer before clamping:
/// `ds = g · Σ dy · (round(x / s) − x / s)` inside the range, `dy · (low − z)` below it and `dy · (high − z)` above it;
/// `dz = g · Σ dy · (−s)` outside; `g = 1 / √(elements of x · high)`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnableFakeQuantize {
    /// Whether gradients of the grid are multiplied by `g`.
    pub use_grad_scaling: bool,
    /// Whether the zero point learns, too.
    pub zero_point_trainable: bool,
}

impl Default for LearnableFakeQuantize {
    fn default() -> Self {
        Self { use_grad_scaling: true, zero_point_trainable: false }
    }
}

impl LearnableFakeQuantize {
    /// Its keys, which the original takes among those of the scheme.
    pub(crate) const KEYS: [&'static str; 2] = ["use_grad_scaling", "zero_point_trainable"];
}

impl FakeQuantConfig for LearnableFakeQuantize {
    fn learning(&self) -> GridLearning {
        if self.use_grad_scaling { GridLearning::LearnedScaled } else { GridLearning::Learned }
    }

    fn zero_point_trainable(&self) -> bool {
        self.zero_point_trainable
    }
}
