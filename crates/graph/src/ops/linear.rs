//! Fully connected layers.

use super::{OpFamily, check_channels, check_inputs, check_rank};
use crate::axes::{input, output};
use crate::{AxisMap, Bindings, Cost, Error, Fact, Result};

/// `y = x · weightᵀ + bias` over the last axis, as `torch.nn.Linear`.
///
/// Inputs: `x [.., I]`, `weight [O, I]`, optionally `bias [O]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear;

impl OpFamily for Linear {
    fn name(&self) -> &'static str {
        "Linear"
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 2..=3)?;
        let (x, weight) = match inputs {
            [x, weight, ..] => (*x, *weight),
            _ => return Ok(Vec::new()),
        };
        check_rank(weight, 2, "weight")?;
        let (Some(features), [out, wanted]) = (x.shape.last(), weight.shape.as_slice()) else {
            return Err(Error::Op(format!("input must have at least one axis, found {x}")));
        };
        if !features.may_equal(wanted) {
            return Err(Error::Op(format!("weight {weight} does not fit {features} input features")));
        }
        if let Some(bias) = inputs.get(2) {
            check_channels(bias, out, "bias")?;
        }
        let mut fact = x.clone();
        if let Some(last) = fact.shape.last_mut() {
            *last = out.clone();
        }
        Ok(vec![fact])
    }

    fn axes(&self, inputs: &[&Fact], _: &[&Fact]) -> AxisMap {
        let last = inputs.first().map_or(0, |x| x.rank().saturating_sub(1));
        let mut map = (0..last)
            .fold(AxisMap::default(), |m, i| m.same(input(0, i), output(0, i)))
            .same(input(0, last), input(1, 1))
            .same(input(1, 0), output(0, last));
        if inputs.len() > 2 {
            map = map.same(input(2, 0), output(0, last));
        }
        map
    }

    /// `numel(y) · I` multiply-accumulates.
    fn cost(&self, inputs: &[&Fact], outputs: &[&Fact], bindings: &Bindings) -> Result<Cost> {
        let mut cost = Cost::memory(outputs, bindings)?;
        if let Some(features) = inputs.first().and_then(|x| x.shape.last()) {
            cost.macs = cost.activations.saturating_mul(features.eval(bindings)? as u64);
        }
        Ok(cost)
    }
}
