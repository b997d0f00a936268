//! Sparsity: single weights become 0, shapes stay.
//!
//! A file that is sparse is as large and as fast as before in most runtimes. What gains: compression of the file, and hardware
//! that skips zeros in a pattern (2:4 on NVIDIA's Ampere and later).

mod masks;
mod pattern;

pub use masks::{Layer, layers, masks};
pub use pattern::Pattern;

use occam_graph::{Array, Graph, Weights};

use crate::{Error, Result, Scope, matches};

/// What became of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The parameter.
    pub name: String,
    /// The layers that use it.
    pub nodes: Vec<String>,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Zeros before.
    pub before: usize,
    /// Zeros after.
    pub after: usize,
    /// Why it was left alone.
    pub kept: Option<String>,
}

/// Makes the smallest weights of all layers 0, but of those that a pattern of `keep` names by parameter or node.
///
/// Weights of half precision are masked as they are; other bits of the weights stay.
///
/// # Errors
/// A pattern of `keep` names no layer, there is no layer with weights, or a weight is missing or no finite number.
pub fn sparsify(
    graph: &Graph,
    weights: &mut Weights,
    pattern: Pattern,
    scope: Scope,
    keep: &[String],
) -> Result<Vec<Outcome>> {
    let layers = layers(graph);
    let named = |p: &str, l: &Layer| l.nodes.iter().chain([&l.name]).any(|n| matches(p, n));
    if let Some(strange) = keep.iter().find(|p| !layers.iter().any(|l| named(p, l))) {
        let names = layers.iter().flat_map(|l| l.nodes.iter().map(String::as_str));
        let hint = occam_config::suggest(strange, names).map(str::to_owned);
        return Err(Error::Pattern { pattern: strange.clone(), hint });
    }
    let mut values = Vec::with_capacity(layers.len());
    for layer in &layers {
        let wrong = |message: &str| Error::Weights { name: layer.name.clone(), message: message.into() };
        let array = weights.get(&layer.name).ok_or_else(|| wrong("is not among the weights"))?;
        let floats = array.to_f32()?.as_f32()?.to_vec();
        if floats.iter().any(|x| !x.is_finite()) {
            return Err(wrong("has elements that are no finite numbers"));
        }
        values.push(floats);
    }
    let chosen: Vec<bool> = layers.iter().map(|l| !keep.iter().any(|p| named(p, l))).collect();
    let taking: Vec<(&Layer, &[f32])> = (layers.iter().zip(&values).zip(&chosen))
        .filter(|(_, chosen)| **chosen)
        .map(|((layer, values), _)| (layer, values.as_slice()))
        .collect();
    if taking.is_empty() {
        return Err(Error::Nothing("it has no layers with weights".into()));
    }
    let mut found = masks(pattern, scope, &taking).into_iter();
    let mut outcomes = Vec::with_capacity(layers.len());
    for ((layer, values), chosen) in layers.iter().zip(&values).zip(chosen) {
        let before = values.iter().filter(|&&x| x == 0.0).count();
        let mask = if chosen { found.next().unwrap_or(Ok(Vec::new())) } else { Err("kept".to_owned()) };
        let (after, kept) = match mask {
            Ok(mask) => {
                if let Some(array) = weights.get_mut(&layer.name) {
                    *array = masked(array, &mask)?;
                }
                (values.iter().zip(&mask).filter(|&(&x, &stays)| x == 0.0 || !stays).count(), None)
            }
            Err(why) => (before, Some(why)),
        };
        let (name, nodes, shape) = (layer.name.clone(), layer.nodes.clone(), layer.shape.clone());
        outcomes.push(Outcome { name, nodes, shape, before, after, kept });
    }
    Ok(outcomes)
}

/// `array` with 0 where `mask` is false.
fn masked(array: &Array, mask: &[bool]) -> Result<Array> {
    let mut bytes = array.to_le_bytes();
    for (element, _) in bytes.chunks_mut(array.dtype().size()).zip(mask).filter(|(_, stays)| !**stays) {
        element.fill(0);
    }
    Ok(Array::from_le_bytes(array.dtype(), array.shape(), &bytes)?)
}
