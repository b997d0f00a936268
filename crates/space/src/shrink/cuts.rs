//! What is removed of each axis.

use std::borrow::Cow;
use std::collections::BTreeMap;

use occam_graph::{Array, Dim, Fact, Graph, Source, ValueId, Weights};

use crate::{Error, Result, Selection, Trace};

/// Axes with which of their elements stay.
type Kept<'a> = Vec<(usize, &'a [bool])>;

/// By axis of a value, which elements stay; only axes that lose some.
pub(super) struct Cuts {
    axes: BTreeMap<(usize, usize), (ValueId, Vec<bool>)>,
}

impl Cuts {
    /// What `selection` removes.
    pub fn of(graph: &Graph, trace: &Trace, selection: &Selection) -> Result<Self> {
        let mut axes: BTreeMap<(usize, usize), (ValueId, Vec<bool>)> = BTreeMap::new();
        for (i, unit) in trace.units.iter().enumerate() {
            let keep = selection.of(i);
            if keep.iter().all(|&k| k) {
                continue;
            }
            for member in &unit.members {
                let key = (member.value.index(), member.axis);
                let size = graph.value(member.value)?.fact.shape.get(member.axis).and_then(Dim::known);
                let new = || (member.value, vec![true; size.unwrap_or(0)]);
                let (_, mask) = axes.entry(key).or_insert_with(new);
                for channel in keep.iter().enumerate().filter(|(_, k)| !**k).map(|(c, _)| c) {
                    for &e in member.of(channel) {
                        if let Some(m) = mask.get_mut(e as usize) {
                            *m = false;
                        }
                    }
                }
            }
        }
        Ok(Self { axes })
    }

    /// Which elements of an axis stay; none where all do.
    pub fn kept(&self, value: ValueId, axis: usize) -> Option<&[bool]> {
        self.axes.get(&(value.index(), axis)).map(|(_, mask)| mask.as_slice())
    }

    /// How many of the first `end` elements of an axis stay.
    pub fn count(&self, value: ValueId, axis: usize, end: usize) -> usize {
        match self.kept(value, axis) {
            Some(mask) => mask.iter().take(end).filter(|&&k| k).count(),
            None => end,
        }
    }

    /// Whether an axis of the value loses elements.
    pub fn touches(&self, value: ValueId) -> bool {
        self.axes.range((value.index(), 0)..(value.index() + 1, 0)).next().is_some()
    }

    /// The values that lose elements, with the axes on which they do.
    pub fn by_value(&self) -> Vec<(ValueId, Kept<'_>)> {
        let mut all: Vec<(ValueId, Kept<'_>)> = Vec::new();
        for (&(_, axis), (value, mask)) in &self.axes {
            match all.last_mut() {
                Some((last, axes)) if last == value => axes.push((axis, mask)),
                _ => all.push((*value, vec![(axis, mask)])),
            }
        }
        all
    }

    /// The fact of a value without what is removed.
    pub fn fact(&self, graph: &Graph, value: ValueId) -> Result<Fact> {
        let mut fact = graph.value(value)?.fact.clone();
        for (axis, d) in fact.shape.iter_mut().enumerate() {
            if let Some(mask) = self.kept(value, axis) {
                *d = Dim::Known(mask.iter().filter(|&&k| k).count());
            }
        }
        Ok(fact)
    }
}

/// `array` with the elements that stay on each of `axes`.
pub(super) fn sliced(array: &Array, axes: &[(usize, &[bool])]) -> Result<Array> {
    let mut bytes = array.raw_bytes().map_or_else(|| array.to_le_bytes().into(), Cow::Borrowed);
    let mut shape = array.shape().to_vec();
    for &(axis, mask) in axes {
        let Some((before, rest)) = shape.split_at_checked(axis) else { continue };
        let outer: usize = before.iter().product();
        let inner = rest.iter().skip(1).product::<usize>() * array.dtype().size();
        let mut out = Vec::with_capacity(bytes.len());
        for o in 0..outer {
            for i in (0..mask.len()).filter(|&i| mask.get(i).copied().unwrap_or(true)) {
                let start = (o * mask.len() + i) * inner;
                out.extend_from_slice(bytes.get(start..start + inner).unwrap_or_default());
            }
        }
        if let Some(d) = shape.get_mut(axis) {
            *d = mask.iter().filter(|&&k| k).count();
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

fn with_zeros(array: &Array, axes: &[(usize, &[bool])]) -> Result<Array> {
    let mut bytes = array.to_le_bytes();
    let size = array.dtype().size();
    for &(axis, mask) in axes {
        let inner = array.shape().iter().skip(axis + 1).product::<usize>() * size;
        let row = mask.len() * inner;
        if row == 0 {
            continue;
        }
        for chunk in bytes.chunks_mut(row) {
            for (element, &keep) in chunk.chunks_mut(inner).zip(mask) {
                if !keep {
                    element.fill(0);
                }
            }
        }
    }
    Ok(Array::from_le_bytes(array.dtype(), array.shape(), &bytes)?)
}
