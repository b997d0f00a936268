//! Dropout: parts of a value are left out at random while a model learns.

use super::{OpFamily, check_inputs};
use crate::{AxisMap, Bindings, Cost, Error, Fact, Result};

/// What dropout leaves out as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropUnit {
    /// Single elements: `torch.nn.Dropout` (Srivastava et al., 2014).
    Element,
    /// All of a sample (axis 0): mmcv's `DropPath`, stochastic depth (Huang et al., 2016, arXiv:1603.09382).
    Sample,
}

/// In training `y = x · m / (1 − rate)`, where every unit's `m` is 0 with probability `rate`, else 1; in evaluation
/// `y = x`. With a rate of 1 all is 0.
///
/// A run draws `m` from the random numbers of its node; an exported model has no such node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Probability of being left out, from 0 to 1.
    pub rate: f64,
    /// What is left out as one.
    pub unit: DropUnit,
}

impl OpFamily for Dropout {
    fn name(&self) -> &'static str {
        match self.unit {
            DropUnit::Element => "Dropout",
            DropUnit::Sample => "DropPath",
        }
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("rate", self.rate.to_string())]
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(Error::Op(format!("rate {} must be from 0 to 1", self.rate)));
        }
        match inputs.first() {
            Some(x) if x.rank() == 0 => Err(Error::Op(format!("input must have a batch axis, found {x}"))),
            _ => Ok(inputs.iter().map(|&x| x.clone()).collect()),
        }
    }

    fn axes(&self, _: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        AxisMap::elementwise(outputs.first().map_or(0, |f| f.rank()))
    }

    /// Nothing: costs are those of inference.
    fn cost(&self, _: &[&Fact], _: &[&Fact], _: &Bindings) -> Result<Cost> {
        Ok(Cost::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dim;

    #[test]
    fn rates_are_probabilities() {
        let x = Fact::f32([Dim::symbol("N"), 6.into()]);
        let infer = |rate: f64| Dropout { rate, unit: DropUnit::Element }.infer(&[&x]);
        assert_eq!(infer(0.5).unwrap(), std::slice::from_ref(&x));
        for rate in [-0.1, 1.5, f64::NAN] {
            assert!(infer(rate).unwrap_err().to_string().contains("from 0 to 1"));
        }
        let scalar = Fact::f32(Vec::<usize>::new());
        assert!(Dropout { rate: 0.5, unit: DropUnit::Sample }.infer(&[&scalar]).is_err());
    }
}
