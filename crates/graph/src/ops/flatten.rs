//! Flattening.

use super::{OpFamily, check_inputs};
use crate::axes::{Part, input, output};
use crate::{AxisMap, Dim, Error, Fact, Result};

/// Joins all axes from `axis` on into one, as `torch.flatten(x, axis)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flatten {
    /// First axis that is joined; at least 1.
    pub axis: usize,
}

impl OpFamily for Flatten {
    fn name(&self) -> &'static str {
        "Flatten"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string())]
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        let Some(&x) = inputs.first() else { return Ok(Vec::new()) };
        if self.axis == 0 || self.axis > x.rank() {
            return Err(Error::Op(format!("axis {} must be in 1..={} for {x}", self.axis, x.rank())));
        }
        let (kept, joined) = x.shape.split_at(self.axis);
        let mut size = Dim::Known(1);
        for d in joined {
            size = size.times(d)?;
        }
        let mut shape = kept.to_vec();
        shape.push(size);
        Ok(vec![Fact { dtype: x.dtype, shape }])
    }

    /// Element `c` of the first joined axis with more than one is the run of `inner` elements from `c · inner`.
    fn axes(&self, inputs: &[&Fact], _: &[&Fact]) -> AxisMap {
        let mut map = AxisMap::default();
        for axis in 0..self.axis {
            map = map.same(input(0, axis), output(0, axis));
        }
        let Some(joined) = inputs.first().and_then(|x| x.shape.get(self.axis..)) else { return map };
        let sizes: Option<Vec<usize>> = joined.iter().map(Dim::known).collect();
        let Some(sizes) = sizes else { return map };
        let part = |(i, &size): (usize, &usize)| Part { axis: Some(input(0, self.axis + i)), size };
        map.regroup(output(0, self.axis), sizes.iter().enumerate().map(part).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Block;

    #[test]
    fn channels_become_runs() {
        let x = Fact::f32([Dim::symbol("N"), 8.into(), 2.into(), 3.into()]);
        let op = Flatten { axis: 1 };
        let out = op.infer(&[&x]).unwrap();
        assert_eq!(out[0].to_string(), "f32[N, 48]");
        let map = op.axes(&[&x], &[&out[0]]);
        let run = Block { a_start: 0, b_start: 0, count: 8, a_step: 6, b_step: 1 };
        assert_eq!(map.regroups[0].whole, output(0, 1));
        assert_eq!(map.regroups[0].blocks(0), [run]);
    }

    #[test]
    fn axes_of_one_element_do_not_matter() {
        let x = Fact::f32([Dim::symbol("N"), 1.into(), 8.into()]);
        let op = Flatten { axis: 1 };
        let map = op.axes(&[&x], &[&op.infer(&[&x]).unwrap()[0]]);
        let run = Block { a_start: 0, b_start: 0, count: 8, a_step: 1, b_step: 1 };
        assert_eq!(map.regroups[0].parts[1].axis, Some(input(0, 2)));
        assert_eq!(map.regroups[0].blocks(1), [run]);
    }
}
