//! Elements of axes, numbered, and which of them belong together.

use occam_graph::{Graph, ValueId};

use crate::{Error, Result};

/// Longer axes are not followed.
const LONGEST: usize = 1 << 20;
/// More elements in all are not followed.
const MOST: usize = 1 << 27;

/// An axis of a value whose elements are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub value: ValueId,
    pub axis: u32,
    pub start: u32,
    pub len: u32,
}

impl Slot {
    /// The numbers of its elements.
    pub fn elements(&self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.len) as usize
    }
}

/// All axes of known sizes, in order of their values.
pub(crate) struct Slots {
    pub all: Vec<Slot>,
    /// By index of the value, where its slots begin.
    first: Vec<u32>,
    pub elements: usize,
}

impl Slots {
    /// Numbers the elements of `graph`; an axis of unknown size, or too long a one, has none.
    pub fn of(graph: &Graph) -> Result<Self> {
        let (mut all, mut elements) = (Vec::new(), 0usize);
        let mut first = vec![0u32; graph.value_count() + 1];
        let mut next = 0;
        for (id, value) in graph.values() {
            first.iter_mut().take(id.index() + 1).skip(next).for_each(|f| *f = all.len() as u32);
            next = id.index() + 1;
            for (axis, d) in value.fact.shape.iter().enumerate() {
                let len = d.known().filter(|&n| n <= LONGEST).unwrap_or(0);
                let start = elements;
                elements += len;
                if elements > MOST {
                    return Err(Error::TooLarge(elements));
                }
                all.push(Slot { value: id, axis: axis as u32, start: start as u32, len: len as u32 });
            }
        }
        first.iter_mut().skip(next).for_each(|f| *f = all.len() as u32);
        Ok(Self { all, first, elements })
    }

    /// The slots of a value, one an axis.
    pub fn range(&self, value: ValueId) -> std::ops::Range<usize> {
        let at = |i: usize| self.first.get(i).map_or(0, |&f| f as usize);
        at(value.index())..at(value.index() + 1)
    }

    /// The number of an axis's slot.
    pub fn index(&self, value: ValueId, axis: usize) -> Option<usize> {
        self.range(value).nth(axis)
    }

    /// The slot of that number.
    pub fn get(&self, index: usize) -> Option<&Slot> {
        self.all.get(index)
    }
}

/// No reason to stay.
pub(crate) const FREE: u32 = u32::MAX;

/// Elements in classes, each of which has the reason why it must stay, if there is one.
pub(crate) struct Classes {
    parent: Vec<u32>,
    reason: Vec<u32>,
}

impl Classes {
    /// Every one of `count` elements alone, and free.
    pub fn new(count: usize) -> Self {
        Self { parent: (0..count as u32).collect(), reason: vec![FREE; count] }
    }

    /// The first element of the class of `element`.
    pub fn find(&mut self, element: u32) -> u32 {
        let mut at = element;
        loop {
            let up = self.parent.get(at as usize).copied().unwrap_or(at);
            if up == at {
                return at;
            }
            let above = self.parent.get(up as usize).copied().unwrap_or(up);
            if let Some(p) = self.parent.get_mut(at as usize) {
                *p = above;
            }
            at = above;
        }
    }

    /// Makes the classes of two elements one. The earlier reason stays.
    pub fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        let (low, high) = (a.min(b), a.max(b));
        if low == high {
            return;
        }
        if let Some(p) = self.parent.get_mut(high as usize) {
            *p = low;
        }
        let reason = self.reason.get(high as usize).copied().unwrap_or(FREE);
        if let Some(r) = self.reason.get_mut(low as usize) {
            *r = (*r).min(reason);
        }
    }

    /// Gives the class of an element a reason to stay, unless it has an earlier one.
    pub fn keep(&mut self, element: u32, reason: u32) {
        let root = self.find(element);
        if let Some(r) = self.reason.get_mut(root as usize) {
            *r = (*r).min(reason);
        }
    }

    /// By element the first of its class.
    pub fn firsts(&mut self) -> &[u32] {
        // A parent comes before its children, and is a first element by the time they are reached.
        for i in 0..self.parent.len() {
            let up = self.parent.get(i).map_or(i, |&p| p as usize);
            let first = self.parent.get(up).copied().unwrap_or_default();
            if let Some(p) = self.parent.get_mut(i) {
                *p = first;
            }
        }
        &self.parent
    }

    /// The reason of the class of an element.
    pub fn reason(&mut self, element: u32) -> u32 {
        let root = self.find(element);
        self.reason.get(root as usize).copied().unwrap_or(FREE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_named_by_their_first_element() {
        let mut classes = Classes::new(6);
        classes.join(4, 2);
        classes.join(5, 4);
        classes.keep(5, 7);
        classes.join(1, 3);
        assert_eq!((classes.find(5), classes.find(3), classes.find(0)), (2, 1, 0));
        assert_eq!((classes.reason(4), classes.reason(1)), (7, FREE));
        classes.join(3, 4);
        assert_eq!((classes.find(5), classes.reason(3)), (1, 7));
        classes.join(5, 0);
        assert_eq!(classes.firsts(), [0, 0, 0, 0, 0, 0]);
    }
}
