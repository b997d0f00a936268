//! Which weights stay.

use indexmap::IndexMap;
use occam_graph::{Graph, Op};

use super::Pattern;
use crate::Scope;
use crate::importance::axes::{Part, parts};

/// A weight that may become sparse: of a convolution or a linear layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The parameter.
    pub name: String,
    /// The nodes that use it.
    pub nodes: Vec<String>,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The axis of the layer's inputs.
    pub inputs: usize,
}

/// The weights of all convolutions and linear layers, in the graph's order; biases and normalizations are not among them.
pub fn layers(graph: &Graph) -> Vec<Layer> {
    let parts = parts(graph);
    let mut found: IndexMap<&str, Layer> = IndexMap::new();
    for (_, node) in graph.nodes() {
        for &v in &node.inputs {
            let Some(Part::Weight { output }) = parts.get(&v) else { continue };
            let Ok(value) = graph.value(v) else { continue };
            let Some(shape) = value.fact.known_shape().filter(|s| s.len() > 1) else { continue };
            let inputs = match (&node.op, output) {
                // Of a matrix in front of what it multiplies, and of stacks of matrices, axes are counted from the end.
                (Op::MatMul(_), _) if shape.len() > 2 => continue,
                (Op::Onnx(op), _) if op.op_type == "MatMul" && shape.len() > 2 => continue,
                (_, 0) => 1,
                _ => 0,
            };
            let name = value.name.clone();
            let layer = Layer { name, nodes: Vec::new(), shape, inputs };
            found.entry(value.name.as_str()).or_insert(layer).nodes.push(node.name.clone());
        }
    }
    found.into_values().collect()
}

/// By layer which of its elements stay, or why it has to stay as it is.
///
/// | pattern | |
/// |---|---|
/// | a part | `round(part · n)` of the `n` weights with the smallest absolute values go, half to even, as in `torch.nn.utils.prune`; with [`Scope::Global`] of those of all layers, else of each layer |
/// | runs | along the axis of the inputs, at every output and position of the window, in each run those with the largest absolute values stay; a layer whose inputs are no multiple of a run stays as it is; the scope has no say |
///
/// Among equals the first go, of a run the last.
pub fn masks(pattern: Pattern, scope: Scope, layers: &[(&Layer, &[f32])]) -> Vec<Result<Vec<bool>, String>> {
    match (pattern, scope) {
        (Pattern::Part(part), Scope::Uniform) => layers
            .iter()
            .map(|(_, values)| Ok(smallest_of(part, &[values]).pop().unwrap_or_default()))
            .collect(),
        (Pattern::Part(part), Scope::Global) => {
            let all: Vec<&[f32]> = layers.iter().map(|(_, values)| *values).collect();
            smallest_of(part, &all).into_iter().map(Ok).collect()
        }
        (Pattern::Runs { stay, of }, _) => {
            layers.iter().map(|(layer, values)| runs(layer, values, stay, of)).collect()
        }
    }
}

/// The masks of lists whose `part` of least magnitude goes.
fn smallest_of(part: f64, lists: &[&[f32]]) -> Vec<Vec<bool>> {
    let total: usize = lists.iter().map(|l| l.len()).sum();
    let count = ((part * total as f64).round_ties_even() as usize).min(total);
    let mut masks: Vec<Vec<bool>> = lists.iter().map(|l| vec![true; l.len()]).collect();
    if count == 0 {
        return masks;
    }
    let mut sizes: Vec<f32> = lists.iter().flat_map(|l| l.iter().map(|x| x.abs())).collect();
    let (_, &mut threshold, _) = sizes.select_nth_unstable_by(count - 1, f32::total_cmp);
    let below = lists.iter().flat_map(|l| l.iter()).filter(|x| x.abs() < threshold).count();
    // Of those that are as large as the last to go, so many go, too.
    let mut equal = count - below;
    for (list, mask) in lists.iter().zip(&mut masks) {
        for (x, stays) in list.iter().zip(mask) {
            let size = x.abs();
            if size < threshold {
                *stays = false;
            } else if size == threshold && equal > 0 {
                *stays = false;
                equal -= 1;
            }
        }
    }
    masks
}

fn runs(layer: &Layer, values: &[f32], stay: usize, of: usize) -> Result<Vec<bool>, String> {
    let inputs = layer.shape.get(layer.inputs).copied().unwrap_or(0);
    if inputs == 0 || !inputs.is_multiple_of(of) {
        return Err(format!("its {inputs} inputs are no multiple of {of}"));
    }
    let inner: usize = layer.shape.iter().skip(layer.inputs + 1).product();
    let mut mask = vec![true; values.len()];
    for start in (0..values.len()).step_by((inner * inputs).max(1)) {
        for at in 0..inner {
            for run in (0..inputs).step_by(of) {
                let place = |k: usize| start + (run + k) * inner + at;
                let size = |k: usize| values.get(place(k)).map_or(0.0, |x| x.abs());
                let mut order: Vec<usize> = (0..of).collect();
                order.sort_by(|&a, &b| size(b).total_cmp(&size(a)).then(a.cmp(&b)));
                for &k in order.iter().skip(stay) {
                    if let Some(stays) = mask.get_mut(place(k)) {
                        *stays = false;
                    }
                }
            }
        }
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(shape: &[usize], inputs: usize) -> Layer {
        Layer { name: "w".into(), nodes: vec!["conv".into()], shape: shape.to_vec(), inputs }
    }

    #[test]
    fn the_smallest_of_all_or_of_each_go() {
        let (a, b) = (layer(&[1, 4], 1), layer(&[1, 4], 1));
        let (x, y) = ([1.0f32, -2.0, 3.0, -4.0], [0.1f32, -0.2, 0.3, -9.0]);
        let lists = [(&a, x.as_slice()), (&b, y.as_slice())];
        let of = |scope| -> Vec<Vec<bool>> {
            masks(Pattern::Part(0.5), scope, &lists).into_iter().map(Result::unwrap).collect()
        };
        assert_eq!(of(Scope::Uniform), [[false, false, true, true], [false, false, true, true]]);
        assert_eq!(of(Scope::Global), [[false, true, true, true], [false, false, false, true]]);
    }

    #[test]
    fn equals_go_until_the_part_is_met() {
        let a = layer(&[1, 5], 1);
        let same = [1.0f32; 5];
        let found = masks(Pattern::Part(0.5), Scope::Global, &[(&a, &same)]);
        // 2.5 is rounded to 2, as Python does.
        assert_eq!(found, [Ok(vec![false, false, true, true, true])]);
    }

    #[test]
    fn runs_go_along_the_inputs() {
        // Two outputs, four inputs, two positions of the window.
        let a = layer(&[2, 4, 1, 2], 1);
        let values: Vec<f32> = [1, 8, -3, 2, 5, -1, 7, 3, 1, 1, 1, 1, 1, 1, 2, 2].map(|x| x as f32).to_vec();
        let found = masks(Pattern::Runs { stay: 2, of: 4 }, Scope::Global, &[(&a, &values)]);
        let mask = found[0].clone().unwrap();
        assert_eq!(mask[..8], [false, true, false, false, true, false, true, true]);
        // The first of equals stays.
        assert_eq!(mask[8..], [true, true, false, false, false, false, true, true]);
        let odd = layer(&[1, 6], 1);
        let found = masks(Pattern::Runs { stay: 2, of: 4 }, Scope::Global, &[(&odd, &[0.0; 6])]);
        assert_eq!(found, [Err("its 6 inputs are no multiple of 4".to_owned())]);
        // Inputs on the first axis.
        let across = layer(&[4, 1], 0);
        let found =
            masks(Pattern::Runs { stay: 1, of: 4 }, Scope::Global, &[(&across, &[1.0, -5.0, 2.0, 3.0])]);
        assert_eq!(found, [Ok(vec![false, true, false, false])]);
    }
}
