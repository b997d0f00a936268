//! Which part of a divided axis carries the channels.

use occam_graph::{Correspondence, Node, Regroup};

use super::{Divide, FREE, Reason, Tracer};

impl Tracer<'_> {
    /// Ties a divided axis to one of its parts; the other parts must stay.
    ///
    /// A part can carry the channels only where some of its elements are free to go, and the part chosen by one node is
    /// free for the next ones while the others are not, so that a division and its reversal choose alike.
    pub(super) fn divide(&mut self, node: &Node, group: &Regroup, divide: Divide) {
        let sizes: Vec<usize> = group.parts.iter().map(|p| p.size).filter(|&n| n != 1).collect();
        let Some(whole) = self.slot(node, group.whole) else { return };
        let size = |i: usize| group.parts.get(i).map_or(0, |p| p.size);
        let mut free: Vec<(usize, usize)> = (group.parts.iter().enumerate())
            .filter(|(_, p)| p.size > 1 || sizes.is_empty())
            .filter_map(|(i, p)| Some((i, self.slot(node, p.axis?)?)))
            .collect();
        free.retain(|&(i, slot)| self.could_go(slot, size(i)));
        let chosen = match divide {
            Divide::Outermost => free.first(),
            Divide::Finest => free.iter().max_by_key(|&&(i, _)| (size(i), std::cmp::Reverse(i))),
        }
        .copied();
        if let Some((i, part)) = chosen {
            self.join(whole, part, &Correspondence::Blocks(group.blocks(i)));
        }
        let op = node.op.family().name().to_owned();
        let reason = self.reason(Reason::Divided { node: node.name.clone(), op, parts: sizes });
        if chosen.is_none() {
            self.keep_slot(whole, reason);
        }
        for (i, part) in group.parts.iter().enumerate() {
            if chosen.is_none_or(|(c, _)| c != i)
                && let Some(slot) = part.axis.and_then(|axis| self.slot(node, axis))
            {
                self.keep_slot(slot, reason);
            }
        }
    }

    /// Whether an axis has `size` numbered elements, some of which are free.
    fn could_go(&mut self, slot: usize, size: usize) -> bool {
        let Some(&s) = self.slots.get(slot) else { return false };
        s.len as usize == size && (s.start..s.start + s.len).any(|e| self.classes.reason(e) == FREE)
    }
}
