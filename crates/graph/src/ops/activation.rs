//! Activations: one function, element by element.

use super::{OpFamily, check_inputs};
use crate::{AxisMap, Fact, Result};

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
}

impl OpFamily for Activation {
    fn name(&self) -> &'static str {
        match self {
            Activation::Relu => "Relu",
            Activation::Relu6 => "Relu6",
        }
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        Ok(inputs.iter().map(|&f| f.clone()).collect())
    }

    fn axes(&self, _: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        AxisMap::elementwise(outputs.first().map_or(0, |f| f.rank()))
    }
}
