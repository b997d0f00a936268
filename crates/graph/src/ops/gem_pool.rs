//! Generalized-mean pooling.

use super::{GlobalAvgPool, OpFamily, check_inputs};
use crate::{AxisMap, Error, Fact, Result};

/// `(mean of max(x, ε)ᵖ)^(1/p)` over all spatial axes: `[N, C, ..]` to `[N, C, 1, ..]` (Radenović et al., 2018,
/// arXiv:1711.02512). The mean for `p` of 1, and nearer the maximum the larger `p` is.
///
/// Inputs: `x [N, C, ..]`, `p [1]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GemPool {
    /// ε, below which no element counts; above 0.
    pub eps: f64,
}

impl OpFamily for GemPool {
    fn name(&self) -> &'static str {
        "GemPool"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("eps", self.eps.to_string())]
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 2..=2)?;
        let &[x, p] = inputs else { return Ok(Vec::new()) };
        if p.known_shape().as_deref() != Some(&[1]) {
            return Err(Error::Op(format!("p must have one element, found {p}")));
        }
        if !(self.eps > 0.0 && self.eps.is_finite()) {
            return Err(Error::Op(format!("eps {} must be above 0", self.eps)));
        }
        GlobalAvgPool.infer(&[x])
    }

    fn axes(&self, inputs: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        GlobalAvgPool.axes(inputs, outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dim;

    #[test]
    fn misfits_are_named() {
        let x = Fact::f32([Dim::symbol("N"), 6.into(), Dim::symbol("H"), 4.into()]);
        let p = Fact::f32([1usize]);
        let op = GemPool { eps: 1e-6 };
        assert_eq!(op.infer(&[&x, &p]).unwrap()[0].to_string(), "f32[N, 6, 1, 1]");
        assert!(op.infer(&[&x, &Fact::f32([2usize])]).unwrap_err().to_string().contains("one element"));
        assert!(GemPool { eps: 0.0 }.infer(&[&x, &p]).unwrap_err().to_string().contains("above 0"));
        assert!(op.infer(&[&Fact::f32([2usize, 3]), &p]).is_err());
    }
}
