//! Parameters in host memory: a state dict.

use indexmap::IndexMap;

use crate::{Array, Graph, Result};

/// Arrays by parameter name, in order.
pub type Weights = IndexMap<String, Array>;

/// How a set of weights fits a graph.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fit {
    /// Parameters of the graph that the weights lack.
    pub missing: Vec<String>,
    /// Weights that the graph does not have.
    pub unexpected: Vec<String>,
    /// Names with another shape: name, the graph's, the weights'.
    pub mismatched: Vec<(String, String, String)>,
}

impl Fit {
    /// Whether every parameter was found in its shape, and nothing else.
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }
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
                if shape.as_deref() != Some(a.shape()) {
                    let wanted = value.fact.to_string();
                    fit.mismatched.push((value.name.clone(), wanted, format!("{a:?}")));
                }
            }
        }
    }
    for name in weights.keys() {
        let known = graph.find(name).and_then(|v| graph.value(v).ok()).and_then(|v| v.role());
        if known.is_none() {
            fit.unexpected.push(name.clone());
        }
    }
    Ok(fit)
}
