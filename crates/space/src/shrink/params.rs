//! What of each parameter stays, and parameters with and without the rest.

use indexmap::IndexMap;
use occam_graph::{Array, Graph, Source};

use super::cuts::{Cuts, sliced};
use crate::{Error, Result, Selection, Trace};

/// By parameter that loses elements, the axes on which it does, with what stays on each.
pub type Kept = IndexMap<String, Vec<(usize, Vec<bool>)>>;

/// What [`shrink`](super::shrink) leaves of each parameter of `graph`.
///
/// # Errors
/// The trace is of another graph.
pub fn kept(graph: &Graph, trace: &Trace, selection: &Selection) -> Result<Kept> {
    let cuts = Cuts::of(graph, trace, selection)?;
    let mut kept = Kept::new();
    for (value, axes) in cuts.by_value() {
        let v = graph.value(value)?;
        if matches!(v.source, Source::Param(_)) {
            let axes = axes.into_iter().map(|(axis, counts)| (axis, counts.iter().map(|&n| n > 0).collect()));
            kept.insert(v.name.clone(), axes.collect());
        }
    }
    Ok(kept)
}

/// `array` with the elements that stay on each of `axes`.
///
/// # Errors
/// It has other sizes than the masks.
pub fn slice(array: &Array, axes: &[(usize, Vec<bool>)]) -> Result<Array> {
    for (axis, mask) in axes {
        fits(array, *axis, mask.len(), mask.len())?;
    }
    let counts: Vec<(usize, Vec<u32>)> =
        axes.iter().map(|(axis, mask)| (*axis, mask.iter().map(|&keep| keep.into()).collect())).collect();
    let axes: Vec<(usize, &[u32])> = counts.iter().map(|(axis, counts)| (*axis, counts.as_slice())).collect();
    sliced(array, &axes, &[])
}

/// The array of which `array` is the [`slice`](fn@slice), with zeros for what is missing.
///
/// # Errors
/// It has other sizes than what stays.
pub fn spread(array: &Array, axes: &[(usize, Vec<bool>)]) -> Result<Array> {
    let mut bytes = array.to_le_bytes();
    let mut shape = array.shape().to_vec();
    for (axis, mask) in axes {
        let left = mask.iter().filter(|&&k| k).count();
        fits(array, *axis, left, mask.len())?;
        let inner = shape.iter().skip(axis + 1).product::<usize>() * array.dtype().size();
        let mut out = Vec::with_capacity(bytes.len() / left.max(1) * mask.len());
        for part in bytes.chunks((left * inner).max(1)) {
            let mut elements = part.chunks(inner.max(1));
            for &keep in mask {
                match if keep { elements.next() } else { None } {
                    Some(element) => out.extend_from_slice(element),
                    None => out.resize(out.len() + inner, 0),
                }
            }
        }
        if let Some(d) = shape.get_mut(*axis) {
            *d = mask.len();
        }
        bytes = out;
    }
    Ok(Array::from_le_bytes(array.dtype(), shape, &bytes)?)
}

fn fits(array: &Array, axis: usize, size: usize, full: usize) -> Result<()> {
    if array.shape().get(axis) == Some(&size) {
        return Ok(());
    }
    Err(Error::Weights(format!("{array:?} (axis {axis} has not {size} of {full} elements)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sliced_is_spread_again() {
        let data: Vec<f32> = (0..24).map(|i| i as f32 + 1.0).collect();
        let array = Array::from_f32([2, 3, 4], data).unwrap();
        let axes = vec![(1, vec![true, false, true]), (2, vec![false, true, true, false])];
        let small = slice(&array, &axes).unwrap();
        assert_eq!(small.shape(), [2, 2, 2]);
        assert_eq!(small.as_f32().unwrap(), [2.0, 3.0, 10.0, 11.0, 14.0, 15.0, 22.0, 23.0]);
        let full = spread(&small, &axes).unwrap();
        assert_eq!(full.shape(), [2, 3, 4]);
        assert_eq!(
            &full.as_f32().unwrap()[..12],
            [0.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10.0, 11.0, 0.0]
        );
        assert_eq!(slice(&full, &axes).unwrap(), small);
        assert!(slice(&small, &axes).is_err());
    }
}
