//! The factor of a batch normalization, on what is before it.

use super::{OpFamily, check_axis, check_channels, check_inputs};
use crate::axes::{input, output};
use crate::{AxisMap, Dim, Error, Fact, Result};

/// `x · s` or `x / s` along `axis`, with the factor `s = γ / √(σ² + ε)` of a batch normalization by its running variance.
///
/// | input | shape | |
/// |---|---|---|
/// | 0 `x` | any, `f32` | |
/// | 1 `weight` | `[C]` along `axis` | γ |
/// | 2 `running_var` | `[C]` | σ² |
///
/// Where `s` is 0 it counts as 1, so that both directions undo each other. Training a convolution whose weight is rounded as
/// it will be once the normalization is folded into it takes both: `s · w` is rounded, and the result divided by `s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormScale {
    /// The channels.
    pub axis: usize,
    /// ε, added to the variance.
    pub eps: f64,
    /// Whether it divides.
    pub inverse: bool,
}

impl OpFamily for NormScale {
    fn name(&self) -> &'static str {
        "NormScale"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut list = vec![("axis", self.axis.to_string()), ("eps", self.eps.to_string())];
        if self.inverse {
            list.push(("inverse", "true".into()));
        }
        list
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 3..=3)?;
        let &[x, weight, var] = inputs else { return Ok(Vec::new()) };
        if let Some(other) = inputs.iter().find(|f| f.dtype != crate::DType::F32) {
            return Err(Error::Op(format!("takes f32, found {other}")));
        }
        check_axis(x, self.axis)?;
        let channels = x.shape.get(self.axis).cloned().unwrap_or(Dim::Known(1));
        check_channels(weight, &channels, "the weight")?;
        check_channels(var, &channels, "the variance")?;
        Ok(vec![x.clone()])
    }

    fn axes(&self, inputs: &[&Fact], _: &[&Fact]) -> AxisMap {
        let map = AxisMap::elementwise(inputs.first().map_or(0, |f| f.rank()));
        map.same(input(1, 0), output(0, self.axis)).same(input(2, 0), output(0, self.axis))
    }
}
