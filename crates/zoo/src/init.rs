//! First values of parameters.

use indexmap::IndexMap;
use occam_data::Seed;
use occam_data::streams::Draw;
use occam_graph::{Array, Graph, Weights};
use rayon::prelude::*;

use crate::{Error, Result};

/// How a parameter is filled before training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Every element is the value.
    Constant(f32),
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Normal with variance `2 / fan_out`, where `fan_out` is the output channels times the kernel's area: keeps
    /// the variance of gradients through ReLUs (He et al., 2015, arXiv:1502.01852).
    KaimingNormalFanOut,
}

/// First values by parameter name.
pub type Inits = IndexMap<String, Init>;

/// Fills all parameters of a graph.
///
/// Every parameter has a random stream of its own, named after it: its values do not depend on what else the
/// model holds.
///
/// # Errors
/// A parameter has no entry in `inits`, or its shape is not known.
pub fn initialize(graph: &Graph, inits: &Inits, seed: Seed) -> Result<Weights> {
    let params: Vec<_> = graph.params().map(|(_, v)| v).collect();
    let filled: Result<Vec<(String, Array)>> = params
        .into_par_iter()
        .map(|v| {
            let missing = |what: &str| Error::Sample(format!("parameter `{}` has no {what}", v.name));
            let shape = v.fact.known_shape().ok_or_else(|| missing("known shape"))?;
            let init = inits.get(&v.name).ok_or_else(|| missing("first values"))?;
            Ok((v.name.clone(), fill(*init, &shape, &v.name, seed)?))
        })
        .collect();
    Ok(filled?.into_iter().collect())
}

fn fill(init: Init, shape: &[usize], name: &str, seed: Seed) -> Result<Array> {
    let n: usize = shape.iter().product();
    let normal = |std: f64| {
        let mut rng = seed.stream(&format!("init.{name}"), &[]);
        (0..n).map(|_| (f64::from(rng.normal()) * std) as f32).collect()
    };
    let data = match init {
        Init::Constant(value) => vec![value; n],
        Init::Normal { std } => normal(std),
        Init::KaimingNormalFanOut => {
            let area: usize = shape.iter().skip(2).product();
            let fan_out = shape.first().copied().unwrap_or(1) * area;
            normal((2.0 / fan_out.max(1) as f64).sqrt())
        }
    };
    Ok(Array::from_f32(shape, data)?)
}
