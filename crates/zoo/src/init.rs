//! First values of parameters.

use indexmap::IndexMap;
use occam_data::Seed;
use occam_data::streams::Draw;
use occam_graph::{Array, Bindings, Graph, Weights};
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
    /// Uniform between two bounds.
    Uniform {
        /// The bounds.
        bounds: [f64; 2],
    },
    /// Normal with variance `2 / fan_out`, where `fan_out` is the output channels times the kernel's area: keeps
    /// the variance of gradients through ReLUs (He et al., 2015, arXiv:1502.01852).
    KaimingNormalFanOut,
}

impl Init {
    /// Uniform in ±1 / √fan_in: the first values of PyTorch's own convolutions and linear layers, weights and biases.
    pub fn fan_in_uniform(fan_in: usize) -> Self {
        let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
        Init::Uniform { bounds: [-bound, bound] }
    }
}

/// First values by parameter name.
pub type Inits = IndexMap<String, Init>;

/// Elements of all parameters together at most: 8 GiB of `f32`.
const MOST: u64 = 1 << 31;

/// Fills all parameters of a graph.
///
/// Every parameter has a random stream of its own, named after it: its values do not depend on what else the
/// model holds.
///
/// # Errors
/// A parameter has no entry in `inits`, or its shape is not known; or there are more than 2^31 elements.
pub fn initialize(graph: &Graph, inits: &Inits, seed: Seed) -> Result<Weights> {
    let mut elements = 0u64;
    for (_, value) in graph.params() {
        elements = elements.saturating_add(value.fact.numel(&Bindings::new()).unwrap_or(u64::MAX));
    }
    if elements > MOST {
        return Err(Error::Sample(format!(
            "the model has more than {MOST} parameters, which no memory here holds"
        )));
    }
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
    let mut data: Vec<f32> = Vec::new();
    if data.try_reserve_exact(n).is_err() {
        return Err(Error::Sample(format!("there is no memory for the {n} elements of `{name}`")));
    }
    let std = match init {
        Init::Constant(value) => {
            data.resize(n, value);
            return Ok(Array::from_f32(shape, data)?);
        }
        Init::Uniform { bounds: [low, high] } => {
            let mut rng = seed.stream(&format!("init.{name}"), &[]);
            data.extend((0..n).map(|_| (low + (high - low) * rng.uniform_f64()) as f32));
            return Ok(Array::from_f32(shape, data)?);
        }
        Init::Normal { std } => std,
        Init::KaimingNormalFanOut => {
            let area: usize = shape.iter().skip(2).product();
            let fan_out = shape.first().copied().unwrap_or(1) * area;
            (2.0 / fan_out.max(1) as f64).sqrt()
        }
    };
    let mut rng = seed.stream(&format!("init.{name}"), &[]);
    data.extend((0..n).map(|_| (f64::from(rng.normal()) * std) as f32));
    Ok(Array::from_f32(shape, data)?)
}
