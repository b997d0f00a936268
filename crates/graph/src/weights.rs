//! Parameters in host memory: a state dict.

use std::cmp::Reverse;
use std::collections::HashMap;

use indexmap::IndexMap;

use crate::{Array, Graph, Result};

/// Arrays by parameter name, in order.
pub type Weights = IndexMap<String, Array>;

/// How a set of weights fits a graph.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fit {
    /// Parameters of the graph that the weights have in their shape.
    pub matched: Vec<String>,
    /// Parameters of the graph that the weights lack.
    pub missing: Vec<String>,
    /// Weights that the graph does not have, without those that nothing is learned in: PyTorch's counters of batches, and
    /// what a transformer's windows make of their sizes.
    pub unexpected: Vec<String>,
    /// Names with another shape: name, the graph's, the weights'.
    pub mismatched: Vec<(String, String, String)>,
}

/// Last parts of names of buffers that say nothing that a graph does not know: see [`Fit::unexpected`].
const UNREAD: [&str; 3] = ["num_batches_tracked", "relative_position_index", "attn_mask"];

/// Parts of two names that a hint may change, at most.
const PARTS: usize = 3;

impl Fit {
    /// Whether every parameter was found in its shape, and nothing else.
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }

    /// How unexpected names most likely begin other than the missing ones: the beginning that they have, the one that is
    /// missing, and how many names would be found by that. Both are whole parts up to a dot, or empty.
    ///
    /// None where that explains less than a quarter of what is missing.
    pub fn renamed(&self) -> Option<(String, String, usize)> {
        let mut rests: HashMap<&str, Vec<&str>> = HashMap::new();
        for name in &self.missing {
            for (start, rest) in splits(name) {
                rests.entry(rest).or_default().push(start);
            }
        }
        let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
        for name in &self.unexpected {
            for (start, rest) in splits(name) {
                for wanted in rests.get(rest).into_iter().flatten().filter(|&&wanted| wanted != start) {
                    *counts.entry((start, wanted)).or_default() += 1;
                }
            }
        }
        let ((found, wanted), count) = counts
            .into_iter()
            .max_by_key(|&((a, b), n)| (n, Reverse(a.len() + b.len()), Reverse(a), Reverse(b)))?;
        (count > 1 && count * 4 >= self.missing.len()).then(|| (found.into(), wanted.into(), count))
    }
}

/// The ways to take parts off the front of a name.
fn splits(name: &str) -> impl Iterator<Item = (&str, &str)> {
    let dots = name.match_indices('.').map(|(at, _)| at + 1);
    std::iter::once(0).chain(dots).take(PARTS + 1).map(|at| name.split_at(at))
}

/// Compares `weights` with what `graph` needs.
///
/// # Errors
/// The graph's own shapes are not known.
pub fn fit(graph: &Graph, weights: &Weights) -> Result<Fit> {
    let mut fit = Fit::default();
    for (_, value) in graph.params() {
        match weights.get(&value.name) {
            None => fit.missing.push(value.name.clone()),
            Some(a) => {
                let shape = value.fact.known_shape();
                if shape.as_deref() == Some(a.shape()) {
                    fit.matched.push(value.name.clone());
                } else {
                    let wanted = value.fact.to_string();
                    fit.mismatched.push((value.name.clone(), wanted, format!("{a:?}")));
                }
            }
        }
    }
    let read = |name: &&String| name.rsplit_once('.').is_none_or(|(_, last)| !UNREAD.contains(&last));
    for name in weights.keys().filter(read) {
        let known = graph.find(name).and_then(|v| graph.value(v).ok()).and_then(|v| v.role());
        if known.is_none() {
            fit.unexpected.push(name.clone());
        }
    }
    Ok(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renamed_beginnings_are_told() {
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect();
        let fit = |missing: &[&str], unexpected: &[&str]| Fit {
            missing: names(missing),
            unexpected: names(unexpected),
            ..Fit::default()
        };
        let bare = fit(&["backbone.a.w", "backbone.b.w", "head.fc.w"], &["a.w", "b.w", "fc.w"]);
        assert_eq!(bare.renamed(), Some((String::new(), "backbone.".into(), 2)));
        let other = fit(&["backbone.a.w", "backbone.b.w"], &["encoder.q.a.w", "encoder.q.b.w"]);
        assert_eq!(other.renamed(), Some(("encoder.q.".into(), "backbone.".into(), 2)));
        assert_eq!(fit(&["backbone.a.w"], &["x.y"]).renamed(), None);
        assert_eq!(fit(&["a.w"], &["b.w"]).renamed(), None);
    }
}
