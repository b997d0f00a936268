//! Splitting an axis.

use super::{OpFamily, check_axis, check_inputs};
use crate::axes::{Part, input, output};
use crate::{AxisMap, Dim, Error, Fact, Result};

/// Makes several axes of one, as `torch.unflatten(x, axis, sizes)`: the opposite of [`super::Flatten`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unflatten {
    /// The axis that is split; its size must be known.
    pub axis: usize,
    /// Sizes of the new axes, outermost first; their product is the size.
    pub sizes: Vec<usize>,
}

impl OpFamily for Unflatten {
    fn name(&self) -> &'static str {
        "Unflatten"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let sizes: Vec<String> = self.sizes.iter().map(usize::to_string).collect();
        vec![("axis", self.axis.to_string()), ("sizes", sizes.join(","))]
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        let Some(&x) = inputs.first() else { return Ok(Vec::new()) };
        check_axis(x, self.axis)?;
        let product = self.sizes.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let size = x.shape.get(self.axis).and_then(Dim::known);
        if self.sizes.is_empty() || product.is_none() || product != size {
            return Err(Error::Op(format!(
                "axis {} of {x} cannot be split into {:?}",
                self.axis, self.sizes
            )));
        }
        let mut out = x.clone();
        out.shape.splice(self.axis..=self.axis, self.sizes.iter().map(|&d| Dim::Known(d)));
        Ok(vec![out])
    }

    /// An element of the first new axis with more than one is a run of elements of the old one.
    fn axes(&self, inputs: &[&Fact], _: &[&Fact]) -> AxisMap {
        let rank = inputs.first().map_or(0, |x| x.rank());
        let more = self.sizes.len().saturating_sub(1);
        let mut map = AxisMap::default();
        for axis in (0..rank).filter(|&a| a != self.axis) {
            let moved = if axis < self.axis { axis } else { axis + more };
            map = map.same(input(0, axis), output(0, moved));
        }
        let part = |(i, &size): (usize, &usize)| Part { axis: Some(output(0, self.axis + i)), size };
        map.regroup(input(0, self.axis), self.sizes.iter().enumerate().map(part).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Block;

    #[test]
    fn heads_are_runs_of_features() {
        let x = Fact::f32([Dim::symbol("N"), 5.into(), 24.into()]);
        let op = Unflatten { axis: 2, sizes: vec![3, 8] };
        let out = op.infer(&[&x]).unwrap();
        assert_eq!(out[0].to_string(), "f32[N, 5, 3, 8]");
        let map = op.axes(&[&x], &[&out[0]]);
        let run = Block { a_start: 0, b_start: 0, count: 3, a_step: 8, b_step: 1 };
        assert_eq!(map.regroups[0].blocks(0), [run]);
        assert_eq!(map.regroups[0].whole, input(0, 2));
        let op = Unflatten { axis: 1, sizes: vec![1, 5] };
        let out = op.infer(&[&x]).unwrap();
        let map = op.axes(&[&x], &[&out[0]]);
        assert!(map.links.iter().any(|l| (l.a, l.b) == (input(0, 2), output(0, 3))));
        assert_eq!(map.regroups[0].parts[1], Part { axis: Some(output(0, 2)), size: 5 });
    }

    #[test]
    fn misfits_are_named() {
        let x = Fact::f32([Dim::symbol("N"), 24.into()]);
        for (axis, sizes) in [(1, vec![3, 7]), (1, vec![]), (0, vec![2, 2]), (1, vec![usize::MAX, 3])] {
            let error = Unflatten { axis, sizes }.infer(&[&x]).unwrap_err().to_string();
            assert!(error.contains("cannot be split"), "{error}");
        }
        assert!(Unflatten { axis: 2, sizes: vec![1] }.infer(&[&x]).is_err());
    }
}
