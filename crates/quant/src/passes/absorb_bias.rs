//! High biases moved into the next layer (Nagel et al., 2019, arXiv:1906.04721, section 4.1.3).

use occam_graph::{Graph, Weights};

use super::chain::{chain, each_input};
use super::statistics::Statistics;
use super::{Layer, Report};
use crate::Result;

/// Takes from a layer's biases what its results exceed 0 by almost always, and adds to the next layer's what that comes to:
/// activations with a high mean then have smaller ranges.
///
/// `c = max(0, mean − 3 · deviation)`, `b₁ − c`, `b₂ + Σ w₂ · c`. Exact where the result is at least `c`, which of a normal
/// distribution all but 0.13 % is. Skipped where a window of the second layer reaches beyond the image, whose zeros have no
/// `c`, and where no plain ReLU stands between.
///
/// # Errors
/// A weight is missing, or the graph breaks a rule.
pub fn absorb_biases(
    graph: &mut Graph,
    weights: &mut Weights,
    statistics: &mut Statistics,
) -> Result<Report> {
    let mut report = Report::default();
    for mut first in Layer::all(graph)? {
        let Some(moments) = statistics.get_mut(&first.name) else { continue };
        let c: Vec<f32> =
            moments.mean.iter().zip(&moments.deviation).map(|(m, d)| (m - 3.0 * d).max(0.0)).collect();
        if c.iter().all(|&c| c == 0.0) || c.len() != first.outputs() {
            continue;
        }
        let found = match chain(graph, &first)? {
            Ok(found) => found,
            Err(why) => {
                report.skip(&first.name, why);
                continue;
            }
        };
        let Some(mut second) = Layer::of(graph, found.second)? else {
            report.skip(&first.name, "the weight of the layer behind it is computed");
            continue;
        };
        let reaches = second.conv.is_some_and(|conv| conv.padding != [(0, 0); 2]);
        if found.relu6 || found.leaky || !found.active || found.padded || reaches {
            let why = if reaches || found.padded {
                "zeros around the image have no mean"
            } else {
                "no ReLU stands behind it"
            };
            report.skip(&first.name, why);
            continue;
        }
        let mut sums = vec![0.0f64; second.outputs()];
        let mut w = second.floats(graph, weights)?;
        each_input(&second, &mut w, |input, output, run| {
            let c = c.get(input / found.repeat.max(1)).copied().unwrap_or(0.0);
            if let Some(sum) = sums.get_mut(output) {
                *sum += f64::from(c) * run.iter().map(|&x| f64::from(x)).sum::<f64>();
            }
        });
        let b = first.bias(graph, weights)?.iter().zip(&c).map(|(b, c)| b - c).collect();
        first.set_bias(graph, weights, b)?;
        let b = second.bias(graph, weights)?;
        let b = b.iter().zip(&sums).map(|(&b, s)| (f64::from(b) + s) as f32).collect();
        second.set_bias(graph, weights, b)?;
        moments.mean.iter_mut().zip(&c).for_each(|(m, c)| *m -= c);
        let moved = c.iter().filter(|&&c| c > 0.0).count();
        report.did(&first.name, format!("{moved} biases moved to `{}`", second.name));
    }
    graph.verify()?;
    Ok(report)
}
