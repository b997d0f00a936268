//! Concatenation along one axis.

use super::{OpFamily, check_axis};
use crate::axes::{Block, input, output};
use crate::{AxisMap, Dim, Error, Fact, Result};

/// Joins its inputs along `axis`; all other sizes must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concat {
    /// The axis along which the inputs lie one after the other.
    pub axis: usize,
}

impl OpFamily for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string())]
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        let Some((&first, rest)) = inputs.split_first() else {
            return Err(Error::Op("takes at least 1 input".into()));
        };
        check_axis(first, self.axis)?;
        let mut out = first.clone();
        for (k, f) in rest.iter().enumerate() {
            let fits = f.dtype == first.dtype
                && f.rank() == first.rank()
                && (0..f.rank()).all(|i| {
                    i == self.axis
                        || f.shape.get(i).zip(first.shape.get(i)).is_some_and(|(a, b)| a.may_equal(b))
                });
            if !fits {
                return Err(Error::Op(format!("input {} {f} does not fit {first}", k + 1)));
            }
            if let (Some(sum), Some(d)) = (out.shape.get_mut(self.axis), f.shape.get(self.axis)) {
                *sum = sum.plus(d)?;
            }
        }
        Ok(vec![out])
    }

    /// Element `i` of input `k` is element `offset(k) + i` of the output; other axes pass through.
    fn axes(&self, inputs: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        let mut map = AxisMap::default();
        let mut offset = Some(0);
        let rank = outputs.first().map_or(0, |f| f.rank());
        for (k, f) in inputs.iter().enumerate() {
            for axis in (0..rank).filter(|&a| a != self.axis) {
                map = map.same(input(k, axis), output(0, axis));
            }
            let size = f.shape.get(self.axis).and_then(Dim::known);
            if let (Some(start), Some(n)) = (offset, size) {
                let run = Block::range(0, start, n);
                map = map.blocks(input(k, self.axis), output(0, self.axis), vec![run]);
            }
            offset = offset.zip(size).map(|(o, n)| o + n);
        }
        map
    }
}
