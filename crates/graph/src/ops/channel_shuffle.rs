//! Channel shuffle.

use super::{OpFamily, check_inputs};
use crate::axes::{Block, input, output};
use crate::{AxisMap, Dim, Error, Fact, Result};

/// Interleaves groups of channels (axis 1), as `torch.nn.ChannelShuffle`: with `n` channels in each group, channel
/// `i · n + k` becomes channel `k · groups + i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelShuffle {
    /// Number of groups; the channels must be a multiple of it.
    pub groups: usize,
}

impl OpFamily for ChannelShuffle {
    fn name(&self) -> &'static str {
        "ChannelShuffle"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("groups", self.groups.to_string())]
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        let Some(&x) = inputs.first() else { return Ok(Vec::new()) };
        let Some(channels) = x.shape.get(1).and_then(Dim::known) else {
            return Err(Error::Op(format!("the channels of {x} must be known")));
        };
        if self.groups == 0 || !channels.is_multiple_of(self.groups) {
            return Err(Error::Op(format!(
                "{channels} channels cannot be split into {} groups",
                self.groups
            )));
        }
        Ok(vec![x.clone()])
    }

    /// Channels correspond one by one: neighbours of a group are `groups` channels apart in the output, so no two of
    /// them make a run. All groups keep the same positions, for else those that stay are not interleaved.
    fn axes(&self, inputs: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        let rank = outputs.first().map_or(0, |f| f.rank());
        let mut map = AxisMap::default();
        for axis in (0..rank).filter(|&a| a != 1) {
            map = map.same(input(0, axis), output(0, axis));
        }
        let Some(channels) = inputs.first().and_then(|x| x.shape.get(1)).and_then(Dim::known) else {
            return map;
        };
        let each = channels / self.groups.max(1);
        let moved = |c: usize| Block::range(c, c % each * self.groups + c / each, 1);
        map.blocks(input(0, 1), output(0, 1), (0..channels).map(moved).collect()).tied(
            input(0, 1),
            self.groups,
            each,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_interleaved() {
        let x = Fact::f32([Dim::symbol("N"), 6.into(), Dim::symbol("H"), Dim::symbol("W")]);
        let op = ChannelShuffle { groups: 2 };
        let out = op.infer(&[&x]).unwrap();
        assert_eq!(out[0], x);
        let map = op.axes(&[&x], &[&out[0]]);
        assert_eq!(map.links.len(), 5);
        let crate::Correspondence::Blocks(blocks) = &map.links[3].map else { panic!("{map:?}") };
        assert!(blocks.iter().map(|b| b.b_start).eq([0, 2, 4, 1, 3, 5]));
        assert!(blocks.iter().enumerate().all(|(i, b)| *b == Block::range(i, b.b_start, 1)));
    }

    #[test]
    fn misfits_are_named() {
        let x = Fact::f32([Dim::symbol("N"), 6.into(), 2.into()]);
        for groups in [0, 4] {
            let error = ChannelShuffle { groups }.infer(&[&x]).unwrap_err().to_string();
            assert!(error.contains("6 channels cannot be split"), "{error}");
        }
        let free = Fact::f32([Dim::symbol("N"), Dim::symbol("C")]);
        let error = ChannelShuffle { groups: 2 }.infer(&[&free]).unwrap_err().to_string();
        assert!(error.contains("must be known"), "{error}");
    }
}
