//! Batch normalization.

use super::{OpFamily, check_channels, check_inputs};
use crate::axes::{input, output};
use crate::{AxisMap, Error, Fact, Result};

/// `y = (x − μ) / √(σ² + ε) · γ + β`, channel by channel (axis 1).
///
/// Inputs: `x [N, C, ..]`, `weight γ [C]`, `bias β [C]`, `running_mean [C]`, `running_var [C]`. In training `μ` and
/// `σ²` are the batch's mean and biased variance and the running ones become
/// `(1 − momentum) · running + momentum · batch`, with the unbiased variance; in evaluation they are the running
/// ones, and where `frozen` in training too, which then leaves them as they are. As `torch.nn.BatchNorm2d`, a frozen
/// one as after its `eval()`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// ε, added to the variance.
    pub eps: f64,
    /// Weight of the batch in the running statistics.
    pub momentum: f64,
    /// Whether training normalizes by the running statistics too.
    pub frozen: bool,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { eps: 1e-5, momentum: 0.1, frozen: false }
    }
}

impl OpFamily for BatchNorm {
    fn name(&self) -> &'static str {
        "BatchNorm"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut list = vec![("eps", self.eps.to_string()), ("momentum", self.momentum.to_string())];
        if self.frozen {
            list.push(("frozen", "true".into()));
        }
        list
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 5..=5)?;
        let Some((&x, params)) = inputs.split_first() else { return Ok(Vec::new()) };
        let Some(channels) = x.shape.get(1) else {
            return Err(Error::Op(format!("input must have a channel axis, found {x}")));
        };
        for (fact, what) in params.iter().zip(["weight", "bias", "running_mean", "running_var"]) {
            check_channels(fact, channels, what)?;
        }
        Ok(vec![x.clone()])
    }

    fn axes(&self, inputs: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        let rank = outputs.first().map_or(0, |f| f.rank());
        (1..inputs.len()).fold(AxisMap::elementwise(rank), |m, i| m.same(input(i, 0), output(0, 1)))
    }
}
