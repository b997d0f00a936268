//! Another order of axes.

use super::{OpFamily, check_inputs};
use crate::axes::{input, output};
use crate::{AxisMap, Error, Fact, Result};

/// Axis `i` of the output is axis `perm[i]` of the input, as `torch.permute`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transpose {
    /// Every axis of the input once.
    pub perm: Vec<usize>,
}

impl OpFamily for Transpose {
    fn name(&self) -> &'static str {
        "Transpose"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let perm: Vec<String> = self.perm.iter().map(usize::to_string).collect();
        vec![("perm", perm.join(","))]
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        let Some(&x) = inputs.first() else { return Ok(Vec::new()) };
        let mut sorted = self.perm.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x.rank()) {
            return Err(Error::Op(format!("{:?} is no order of the axes of {x}", self.perm)));
        }
        let shape = self.perm.iter().filter_map(|&i| x.shape.get(i).cloned()).collect();
        Ok(vec![Fact { dtype: x.dtype, shape }])
    }

    fn axes(&self, _: &[&Fact], _: &[&Fact]) -> AxisMap {
        self.perm.iter().enumerate().fold(AxisMap::default(), |m, (o, &i)| m.same(input(0, i), output(0, o)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dim;

    #[test]
    fn axes_take_their_new_places() {
        let x = Fact::f32([Dim::symbol("N"), 5.into(), 3.into(), 8.into()]);
        let op = Transpose { perm: vec![0, 2, 1, 3] };
        let out = op.infer(&[&x]).unwrap();
        assert_eq!(out[0].to_string(), "f32[N, 3, 5, 8]");
        let links = op.axes(&[&x], &[&out[0]]).links;
        assert!(links.iter().any(|l| (l.a, l.b) == (input(0, 2), output(0, 1))));
        for perm in [vec![0, 1, 2], vec![0, 1, 2, 2], vec![1, 2, 3, 4]] {
            let error = Transpose { perm }.infer(&[&x]).unwrap_err().to_string();
            assert!(error.contains("no order of the axes"), "{error}");
        }
    }
}
