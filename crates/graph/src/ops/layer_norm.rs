//! Layer normalization.

use super::{OpFamily, check_channels, check_inputs};
use crate::axes::{input, output};
use crate::{AxisMap, Error, Fact, Result};

/// `y = (x − μ) / √(σ² + ε) · γ + β` with mean and biased variance over the last axis (Ba et al., 2016,
/// arXiv:1607.06450), as `torch.nn.LayerNorm` of one axis.
///
/// Inputs: `x [.., C]`, `weight γ [C]`, `bias β [C]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNorm {
    /// ε, added to the variance.
    pub eps: f64,
}

impl OpFamily for LayerNorm {
    fn name(&self) -> &'static str {
        "LayerNorm"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("eps", self.eps.to_string())]
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 3..=3)?;
        let &[x, weight, bias] = inputs else { return Ok(Vec::new()) };
        let Some(features) = x.shape.last() else {
            return Err(Error::Op(format!("input must have at least one axis, found {x}")));
        };
        check_channels(weight, features, "weight")?;
        check_channels(bias, features, "bias")?;
        Ok(vec![x.clone()])
    }

    /// Features pass through. Removing one also changes the mean and variance of the others: even where it was 0, the
    /// smaller network computes something else.
    fn axes(&self, inputs: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        let rank = outputs.first().map_or(0, |f| f.rank());
        let last = output(0, rank.saturating_sub(1));
        let map = AxisMap::elementwise(rank).statistic(last);
        (1..inputs.len()).fold(map, |m, i| m.same(input(i, 0), last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dim;

    #[test]
    fn misfits_are_named() {
        let x = Fact::f32([Dim::symbol("N"), 5.into(), 8.into()]);
        let (fits, short) = (Fact::f32([8usize]), Fact::f32([7usize]));
        let op = LayerNorm { eps: 1e-6 };
        assert_eq!(op.infer(&[&x, &fits, &fits]).unwrap()[0], x);
        assert_eq!(op.axes(&[&x, &fits, &fits], &[&x]).links.len(), 5);
        let error = op.infer(&[&x, &fits, &short]).unwrap_err().to_string();
        assert!(error.contains("bias f32[7] must have 8 elements"), "{error}");
    }
}
