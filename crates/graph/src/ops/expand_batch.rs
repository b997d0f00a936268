//! One example for every example of a batch.

use super::{OpFamily, check_inputs};
use crate::axes::{input, output};
use crate::{AxisMap, Dim, Error, Fact, Result};

/// Repeats `x [1, ..]` along axis 0, once for every element of axis 0 of `like [N, ..]`: a learned token at every image.
///
/// Inputs: `x`, `like`, of which only the first size is read. Output `[N, ..]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpandBatch;

impl OpFamily for ExpandBatch {
    fn name(&self) -> &'static str {
        "ExpandBatch"
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 2..=2)?;
        let &[x, like] = inputs else { return Ok(Vec::new()) };
        if x.shape.first() != Some(&Dim::Known(1)) {
            return Err(Error::Op(format!("the first size of {x} must be 1")));
        }
        let Some(batch) = like.shape.first() else {
            return Err(Error::Op("the second input must have at least one axis".into()));
        };
        let mut out = x.clone();
        if let Some(first) = out.shape.first_mut() {
            *first = batch.clone();
        }
        Ok(vec![out])
    }

    /// Axis 0 is that of `like`, all others are those of `x`.
    fn axes(&self, _: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        let rank = outputs.first().map_or(0, |f| f.rank());
        (1..rank).fold(AxisMap::default().same(input(1, 0), output(0, 0)), |m, i| {
            m.same(input(0, i), output(0, i))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_may_be_a_symbol() {
        let (x, like) = (Fact::f32([1usize, 2, 8]), Fact::f32([Dim::symbol("N"), 3.into()]));
        assert_eq!(ExpandBatch.infer(&[&x, &like]).unwrap()[0].to_string(), "f32[N, 2, 8]");
        let error = ExpandBatch.infer(&[&like, &x]).unwrap_err().to_string();
        assert!(error.contains("must be 1"), "{error}");
        assert!(ExpandBatch.infer(&[&x, &Fact::f32(Vec::<usize>::new())]).is_err());
    }
}
