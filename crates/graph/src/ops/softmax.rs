//! Softmax.

use super::{OpFamily, check_axis, check_inputs};
use crate::axes::{input, output};
use crate::{AxisMap, Fact, Result};

/// `exp(x) / Σ exp(x)` along `axis`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Softmax {
    /// The axis whose elements sum to 1.
    pub axis: usize,
}

impl OpFamily for Softmax {
    fn name(&self) -> &'static str {
        "Softmax"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string())]
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        let Some(&x) = inputs.first() else { return Ok(Vec::new()) };
        check_axis(x, self.axis)?;
        Ok(vec![x.clone()])
    }

    /// The normalized axis has no link: removing one of its elements changes the others.
    fn axes(&self, _: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        let rank = outputs.first().map_or(0, |f| f.rank());
        (0..rank)
            .filter(|&i| i != self.axis)
            .fold(AxisMap::default(), |m, i| m.same(input(0, i), output(0, i)))
    }
}
