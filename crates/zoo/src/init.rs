//! First values of parameters.

use indexmap::IndexMap;
use occam_data::Seed;
use occam_data::streams::Draw;
use occam_graph::{Array, Bindings, Graph, Weights};
use rayon::prelude::*;

use crate::pretrained::Pretrained;
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
    /// Normal around a mean.
    NormalAround {
        /// The mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
    /// Normal under the condition that it lies between two bounds.
    TruncNormal {
        /// Mean of the whole normal distribution.
        mean: f64,
        /// Standard deviation of the whole normal distribution.
        std: f64,
        /// The bounds.
        bounds: [f64; 2],
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

/// First values by parameter name, and checkpoints to take them from.
#[derive(Debug, Clone, Default)]
pub struct Inits {
    pub(crate) fills: IndexMap<String, Init>,
    /// Elements that a file gave.
    pub(crate) given: Weights,
    /// In order: of two that have a parameter the later one counts.
    pub(crate) pretrained: Vec<Pretrained>,
}

impl Inits {
    /// These elements for all parameters, and no checkpoints.
    pub fn of_weights(weights: Weights) -> Self {
        Self { given: weights, ..Self::default() }
    }

    /// How the parameter of that name is filled, if no file has it.
    pub fn get(&self, name: &str) -> Option<&Init> {
        self.fills.get(name)
    }

    /// Fills `name`, if no file has it, as `other` is filled.
    pub fn fill_like(&mut self, name: &str, other: &str) {
        if let Some(&init) = self.fills.get(other) {
            self.fills.insert(name.to_owned(), init);
        }
    }
}

/// Elements of all parameters together at most: 8 GiB of `f32`.
const MOST: u64 = 1 << 31;

/// Fills all parameters of a graph.
///
/// Every parameter has a random stream of its own, named after it: its values do not depend on what else the
/// model holds.
///
/// # Errors
/// A parameter has no entry in `inits`, or its shape is not known; there are more than 2^31 elements; or a checkpoint
/// cannot be read or does not fit.
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
            if let Some(array) = inits.given.get(&v.name) {
                return Ok((v.name.clone(), array.clone()));
            }
            let missing = |what: &str| Error::Sample(format!("parameter `{}` has no {what}", v.name));
            let shape = v.fact.known_shape().ok_or_else(|| missing("known shape"))?;
            let init = inits.get(&v.name).ok_or_else(|| missing("first values"))?;
            Ok((v.name.clone(), fill(*init, &shape, &v.name, seed)?))
        })
        .collect();
    let mut weights: Weights = filled?.into_iter().collect();
    for pretrained in &inits.pretrained {
        pretrained.load(graph, &mut weights)?;
    }
    Ok(weights)
}

fn fill(init: Init, shape: &[usize], name: &str, seed: Seed) -> Result<Array> {
    let n: usize = shape.iter().product();
    let mut data: Vec<f32> = Vec::new();
    if data.try_reserve_exact(n).is_err() {
        return Err(Error::Sample(format!("there is no memory for the {n} elements of `{name}`")));
    }
    let mut rng = seed.stream(&format!("init.{name}"), &[]);
    let mut normal = |mean: f64, std: f64| {
        data.extend((0..n).map(|_| (mean + f64::from(rng.normal()) * std) as f32));
    };
    match init {
        Init::Constant(value) => data.resize(n, value),
        Init::Normal { std } => normal(0.0, std),
        Init::NormalAround { mean, std } => normal(mean, std),
        Init::KaimingNormalFanOut => {
            let area: usize = shape.iter().skip(2).product();
            let fan_out = shape.first().copied().unwrap_or(1) * area;
            normal(0.0, (2.0 / fan_out.max(1) as f64).sqrt());
        }
        Init::Uniform { bounds: [low, high] } => {
            data.extend((0..n).map(|_| (low + (high - low) * rng.uniform_f64()) as f32));
        }
        Init::TruncNormal { mean, std, bounds } => {
            let truncated = Truncated::new(bounds.map(|bound| (bound - mean) / std));
            let [low, high] = bounds;
            data.extend((0..n).map(|_| (mean + std * truncated.draw(&mut rng)).clamp(low, high) as f32));
        }
    }
    Ok(Array::from_f32(shape, data)?)
}

/// The standard normal distribution between two bounds.
struct Truncated {
    bounds: [f64; 2],
    /// Probability of lying below each bound.
    below: [f64; 2],
}

impl Truncated {
    /// Share of the distribution from which on drawing until it fits is quicker than inverting.
    const LIKELY: f64 = 0.2;

    fn new(bounds: [f64; 2]) -> Self {
        Self { bounds, below: bounds.map(below) }
    }

    fn draw(&self, rng: &mut impl Draw) -> f64 {
        let ([low, high], [from, to]) = (self.bounds, self.below);
        if to - from >= Self::LIKELY {
            loop {
                let z = f64::from(rng.normal());
                if (low..=high).contains(&z) {
                    return z;
                }
            }
        }
        // Halving finds the place below which the drawn share of the distribution lies, in any tail.
        let share = from + (to - from) * rng.uniform_f64();
        let (mut low, mut high) = (low.max(-40.0), high.min(40.0));
        for _ in 0..64 {
            let middle = 0.5 * (low + high);
            if below(middle) < share {
                low = middle;
            } else {
                high = middle;
            }
        }
        0.5 * (low + high)
    }
}

/// Probability that a standard normal number is below `z`.
fn below(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean, standard deviation, smallest and largest of many elements.
    fn figures(init: Init) -> [f64; 4] {
        let array = fill(init, &[200, 500], "weight", Seed(3)).unwrap();
        let v: Vec<f64> = array.as_f32().unwrap().iter().map(|&x| f64::from(x)).collect();
        let n = v.len() as f64;
        let mean = v.iter().sum::<f64>() / n;
        let var = v.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        let (low, high) = v.iter().fold((f64::MAX, f64::MIN), |(l, h), &x| (l.min(x), h.max(x)));
        [mean, var.sqrt(), low, high]
    }

    fn near(found: f64, wanted: f64, tolerance: f64) {
        assert!((found - wanted).abs() <= tolerance, "{found} of {wanted}");
    }

    #[test]
    fn elements_have_their_distribution() {
        let [mean, std, ..] = figures(Init::Normal { std: 0.02 });
        near(mean, 0.0, 3e-4);
        near(std, 0.02, 2e-4);
        let [mean, std, ..] = figures(Init::NormalAround { mean: -1.0, std: 0.5 });
        near(mean, -1.0, 6e-3);
        near(std, 0.5, 5e-3);
        let [mean, std, low, high] = figures(Init::Uniform { bounds: [-0.5, 1.5] });
        near(mean, 0.5, 8e-3);
        near(std, 2.0 / 12f64.sqrt(), 5e-3);
        assert!((-0.5..-0.499).contains(&low) && (1.499..=1.5).contains(&high));
        assert_eq!(figures(Init::Constant(0.25)), [0.25, 0.0, 0.25, 0.25]);
        let [mean, std, ..] = figures(Init::KaimingNormalFanOut);
        near(mean, 0.0, 2e-3);
        near(std, 0.1, 1e-3);
    }

    /// Mean and deviation by the formulas of the truncated normal distribution.
    #[test]
    fn truncated_normals_stay_within_their_bounds() {
        let cases = [
            ([0.0, 1.0], [-2.0, 2.0], [0.0, 0.879_626]),
            ([0.0, 0.02], [-2.0, 2.0], [0.0, 0.02]),
            ([1.0, 0.5], [0.5, 1.0], [0.770_069, 0.141_113]),
            // A window in the tail.
            ([0.0, 1.0], [3.0, 4.0], [3.260_454, 0.221_986]),
        ];
        for ([mean, std], bounds, wanted) in cases {
            let [found_mean, found_std, low, high] = figures(Init::TruncNormal { mean, std, bounds });
            assert!(low >= bounds[0] && high <= bounds[1], "{low} {high}");
            near(found_mean, wanted[0], 0.02 * wanted[1] + 1e-6);
            near(found_std, wanted[1], 0.02 * wanted[1]);
        }
    }
}
