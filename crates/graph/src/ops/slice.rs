//! A part of one axis.

use super::{OpFamily, check_axis, check_inputs};
use crate::axes::{Block, input, output};
use crate::{AxisMap, Dim, Error, Fact, Result};

/// The elements `start..end` of `axis`, whose size must be known; other axes stay whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The axis that is cut.
    pub axis: usize,
    /// First element that is kept.
    pub start: usize,
    /// First element behind them.
    pub end: usize,
}

impl OpFamily for Slice {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("axis", self.axis.to_string()),
            ("start", self.start.to_string()),
            ("end", self.end.to_string()),
        ]
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        let Some(&x) = inputs.first() else { return Ok(Vec::new()) };
        check_axis(x, self.axis)?;
        let Some(size) = x.shape.get(self.axis).and_then(Dim::known) else {
            return Err(Error::Op(format!("the size of axis {} of {x} must be known", self.axis)));
        };
        if self.start >= self.end || self.end > size {
            return Err(Error::Op(format!("{}..{} is no part of 0..{size}", self.start, self.end)));
        }
        let mut out = x.clone();
        if let Some(d) = out.shape.get_mut(self.axis) {
            *d = Dim::Known(self.end - self.start);
        }
        Ok(vec![out])
    }

    /// Element `start + i` of the input is element `i` of the output; other axes pass through.
    fn axes(&self, _: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        let rank = outputs.first().map_or(0, |f| f.rank());
        let mut map = AxisMap::default();
        for axis in (0..rank).filter(|&a| a != self.axis) {
            map = map.same(input(0, axis), output(0, axis));
        }
        let run = Block::range(self.start, 0, self.end.saturating_sub(self.start));
        map.blocks(input(0, self.axis), output(0, self.axis), vec![run])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_is_a_run_of_the_axis() {
        let x = Fact::f32([Dim::symbol("N"), 7.into(), Dim::symbol("H")]);
        let op = Slice { axis: 1, start: 4, end: 7 };
        let out = op.infer(&[&x]).unwrap();
        assert_eq!(out[0].to_string(), "f32[N, 3, H]");
        let map = op.axes(&[&x], &[&out[0]]);
        assert_eq!(map.links.len(), 3);
        assert_eq!(map.links[2].map, crate::Correspondence::Blocks(vec![Block::range(4, 0, 3)]));
    }

    #[test]
    fn misfits_are_named() {
        let x = Fact::f32([Dim::symbol("N"), 7.into()]);
        let cases = [
            (Slice { axis: 2, start: 0, end: 1 }, "axis 2 is beyond"),
            (Slice { axis: 0, start: 0, end: 1 }, "must be known"),
            (Slice { axis: 1, start: 3, end: 3 }, "3..3 is no part of 0..7"),
            (Slice { axis: 1, start: 3, end: 8 }, "3..8 is no part of 0..7"),
        ];
        for (op, wanted) in cases {
            let error = op.infer(&[&x]).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
