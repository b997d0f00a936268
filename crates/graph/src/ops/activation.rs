//! Activations: one function, element by element.

use super::{OpFamily, check_inputs};
use crate::{AxisMap, Fact, Result};

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x` above 0, else `slope · x`
    LeakyRelu {
        /// Slope below 0.
        slope: f64,
    },
    /// `x` above 0, else `alpha · (eˣ − 1)` (Clevert et al., 2015, arXiv:1511.07289)
    Elu {
        /// Where it ends far below 0, with the other sign.
        alpha: f64,
    },
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid,
    /// `(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)`
    Tanh,
    /// `min(max((x + bias) / divisor, min), max)` (Howard et al., 2019, arXiv:1905.02244)
    HardSigmoid {
        /// Added to the input.
        bias: f64,
        /// Divides the sum; not 0.
        divisor: f64,
        /// Lower bound of the result.
        min: f64,
        /// Upper bound of the result; above `min`.
        max: f64,
    },
    /// `x · min(max(x + 3, 0), 6) / 6` (Howard et al., 2019, arXiv:1905.02244)
    HardSwish,
    /// `x / (1 + e⁻ˣ)`, also called swish (Ramachandran et al., 2017, arXiv:1710.05941)
    Silu,
    /// `x · Φ(x)` with the normal distribution's `Φ(x) = (1 + erf(x / √2)) / 2` (Hendrycks and Gimpel, 2016,
    /// arXiv:1606.08415)
    Gelu {
        /// Whether `Φ(x)` is approximated by `(1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2`.
        tanh: bool,
    },
}

impl OpFamily for Activation {
    fn name(&self) -> &'static str {
        match self {
            Activation::Relu => "Relu",
            Activation::Relu6 => "Relu6",
            Activation::LeakyRelu { .. } => "LeakyRelu",
            Activation::Elu { .. } => "Elu",
            Activation::Sigmoid => "Sigmoid",
            Activation::Tanh => "Tanh",
            Activation::HardSigmoid { .. } => "HardSigmoid",
            Activation::HardSwish => "HardSwish",
            Activation::Silu => "Silu",
            Activation::Gelu { .. } => "Gelu",
        }
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        match self {
            Activation::LeakyRelu { slope } => vec![("slope", slope.to_string())],
            Activation::Elu { alpha } => vec![("alpha", alpha.to_string())],
            Activation::HardSigmoid { bias, divisor, min, max } => vec![
                ("bias", bias.to_string()),
                ("divisor", divisor.to_string()),
                ("min", min.to_string()),
                ("max", max.to_string()),
            ],
            Activation::Gelu { tanh: true } => vec![("tanh", "true".into())],
            _ => Vec::new(),
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
