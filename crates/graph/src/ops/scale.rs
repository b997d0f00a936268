//! Multiplication by a number.

use super::{OpFamily, check_inputs};
use crate::{AxisMap, Fact, Result};

/// `factor · x`, element by element.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The number.
    pub factor: f64,
}

impl OpFamily for Scale {
    fn name(&self) -> &'static str {
        "Scale"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("factor", self.factor.to_string())]
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        Ok(inputs.iter().map(|&f| f.clone()).collect())
    }

    fn axes(&self, _: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        AxisMap::elementwise(outputs.first().map_or(0, |f| f.rank()))
    }
}
