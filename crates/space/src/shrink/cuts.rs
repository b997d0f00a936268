//! What becomes of each element of each axis.

use std::borrow::Cow;
use std::collections::BTreeMap;

use occam_graph::{Array, Dim, Fact, Graph, Source, ValueId, Weights};

use crate::{Error, Result, Selection, Trace};

/// Axes with what becomes of their elements.
type Axes<'a> = Vec<(usize, &'a [u32])>;

/// By axis of a value, how many elements each of its elements becomes: none where it goes, itself and new ones after it where
/// channels are added. Only axes that change.
pub(super) struct Cuts {
    axes: BTreeMap<(usize, usize), (ValueId, Vec<u32>)>,
}

impl Cuts {
    /// What `selection` removes.
    pub fn of(graph: &Graph, trace: &Trace, selection: &Selection) -> Result<Self> {
        let mut axes: BTreeMap<(usize, usize), (ValueId, Vec<u32>)> = BTreeMap::new();
        for (i, unit) in trace.units.iter().enumerate() {
            let keep = selection.of(i);
            if keep.iter().all(|&k| k) {
                continue;
            }
            for member in &unit.members {
                let key = (member.value.index(), member.axis);
                let size = graph.value(member.value)?.fact.shape.get(member.axis).and_then(Dim::known);
                let new = || (member.value, vec![1; size.unwrap_or(0)]);
                let (_, counts) = axes.entry(key).or_insert_with(new);
                for channel in keep.iter().enumerate().filter(|(_, k)| !**k).map(|(c, _)| c) {
                    for &e in member.of(channel) {
                        if let Some(c) = counts.get_mut(e as usize) {
                            *c = 0;
                        }
                    }
                }
            }
        }
        Ok(Self { axes })
    }

    /// What adding channels at the end of units does, so that they have `widths`.
    ///
    /// Where a channel is a run of elements (the places of an image that were flattened with it), the new channels are runs of
    /// the same length after the last one; where its elements lie apart (a dimension of all attention heads), a new channel
    /// has one after each.
    pub fn growth(graph: &Graph, trace: &Trace, widths: &[usize]) -> Result<Self> {
        let mut axes: BTreeMap<(usize, usize), (ValueId, Vec<u32>)> = BTreeMap::new();
        for (unit, &width) in trace.units.iter().zip(widths) {
            let more = u32::try_from(width.saturating_sub(unit.channels)).unwrap_or(u32::MAX);
            if more == 0 {
                continue;
            }
            for member in &unit.members {
                let key = (member.value.index(), member.axis);
                let size = graph.value(member.value)?.fact.shape.get(member.axis).and_then(Dim::known);
                let new = || (member.value, vec![1; size.unwrap_or(0)]);
                let (_, counts) = axes.entry(key).or_insert_with(new);
                let last = member.of(unit.channels.saturating_sub(1));
                for run in last.chunk_by(|a, b| a + 1 == *b) {
                    let added = more.saturating_mul(u32::try_from(run.len()).unwrap_or(u32::MAX));
                    if let Some(c) = run.last().and_then(|&e| counts.get_mut(e as usize)) {
                        *c = c.saturating_add(added);
                    }
                }
            }
        }
        Ok(Self { axes })
    }

    /// How many elements each of an axis becomes; none where all stay as they are.
    pub fn counts(&self, value: ValueId, axis: usize) -> Option<&[u32]> {
        self.axes.get(&(value.index(), axis)).map(|(_, counts)| counts.as_slice())
    }

    /// How many elements the first `end` of an axis become.
    pub fn count(&self, value: ValueId, axis: usize, end: usize) -> usize {
        match self.counts(value, axis) {
            Some(counts) => sum(counts.get(..end).unwrap_or(counts)),
            None => end,
        }
    }

    /// By element of an axis its place among those that they become; none where all stay where they are.
    pub fn places(&self, value: ValueId, axis: usize) -> Option<Vec<usize>> {
        let counts = self.counts(value, axis)?;
        let place = |end: &mut usize, &n: &u32| {
            let start = *end;
            *end += n as usize;
            Some(start)
        };
        Some(counts.iter().scan(0, place).collect())
    }

    /// Whether an axis of the value changes.
    pub fn touches(&self, value: ValueId) -> bool {
        self.axes.range((value.index(), 0)..(value.index() + 1, 0)).next().is_some()
    }

    /// The values that change, with the axes on which they do.
    pub fn by_value(&self) -> Vec<(ValueId, Axes<'_>)> {
        let mut all: Vec<(ValueId, Axes<'_>)> = Vec::new();
        for (&(_, axis), (value, counts)) in &self.axes {
            match all.last_mut() {
                Some((last, axes)) if last == value => axes.push((axis, counts)),
                _ => all.push((*value, vec![(axis, counts)])),
            }
        }
        all
    }

    /// The fact that a value will have.
    pub fn fact(&self, graph: &Graph, value: ValueId) -> Result<Fact> {
        let mut fact = graph.value(value)?.fact.clone();
        for (axis, d) in fact.shape.iter_mut().enumerate() {
            if let Some(counts) = self.counts(value, axis) {
                *d = Dim::Known(sum(counts));
            }
        }
        Ok(fact)
    }
}

/// How many elements there will be.
pub(super) fn sum(counts: &[u32]) -> usize {
    counts.iter().map(|&n| n as usize).sum()
}

/// `array` with the elements that those on each of `axes` become; new ones are `fill`, the bytes of one element.
pub(super) fn sliced(array: &Array, axes: &[(usize, &[u32])], fill: &[u8]) -> Result<Array> {
    let mut bytes = array.raw_bytes().map_or_else(|| array.to_le_bytes().into(), Cow::Borrowed);
    let mut shape = array.shape().to_vec();
    for &(axis, counts) in axes {
        let Some((before, rest)) = shape.split_at_checked(axis) else { continue };
        let outer: usize = before.iter().product();
        let elements = rest.iter().skip(1).product::<usize>();
        let inner = elements * array.dtype().size();
        let mut out = Vec::with_capacity(bytes.len());
        for o in 0..outer {
            for (i, &count) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
                let start = (o * counts.len() + i) * inner;
                out.extend_from_slice(bytes.get(start..start + inner).unwrap_or_default());
                (elements..count as usize * elements).for_each(|_| out.extend_from_slice(fill));
            }
        }
        if let Some(d) = shape.get_mut(axis) {
            *d = sum(counts);
        }
        bytes = out.into();
    }
    Ok(Array::from_le_bytes(array.dtype(), shape, &bytes)?)
}

/// `weights` with zeros where [`shrink`](super::shrink) would remove elements, and `graph` with zeros in its constants.
///
/// What this computes is what the smaller model computes, where every unit that loses channels is
/// [exact](crate::Unit::exact).
///
/// # Errors
/// The weights are not those of the graph.
pub fn zeroed(
    graph: &Graph,
    weights: &Weights,
    trace: &Trace,
    selection: &Selection,
) -> Result<(Graph, Weights)> {
    let cuts = Cuts::of(graph, trace, selection)?;
    let (mut full, mut zeroed) = (graph.clone(), weights.clone());
    for (value, axes) in cuts.by_value() {
        let v = graph.value(value)?;
        match v.source {
            Source::Param(_) => {
                let Some(array) = weights.get(&v.name) else { return Err(Error::Weights(v.name.clone())) };
                zeroed.insert(v.name.clone(), with_zeros(array, &axes)?);
            }
            Source::Const => {
                if let Some(array) = v.constant() {
                    full.set_const(value, with_zeros(array, &axes)?)?;
                }
            }
            Source::Input | Source::Node(..) => {}
        }
    }
    full.infer()?;
    Ok((full, zeroed))
}

fn with_zeros(array: &Array, axes: &[(usize, &[u32])]) -> Result<Array> {
    let mut bytes = array.to_le_bytes();
    let size = array.dtype().size();
    for &(axis, counts) in axes {
        let inner = array.shape().iter().skip(axis + 1).product::<usize>() * size;
        let row = counts.len() * inner;
        if row == 0 {
            continue;
        }
        for chunk in bytes.chunks_mut(row) {
            for (element, &count) in chunk.chunks_mut(inner).zip(counts) {
                if count == 0 {
                    element.fill(0);
                }
            }
        }
    }
    Ok(Array::from_le_bytes(array.dtype(), array.shape(), &bytes)?)
}
