//! What rounding does to a model: the error of each value, histograms, and how much the outputs suffer from each layer alone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use occam_engine::{Bound, Device, Executor, Grid, Grids, Mode, Params, Request, Tensor};
use occam_graph::Op;

use crate::ptq::Quantized;
use crate::{Kind, QParams, Result};

/// Bars of a histogram.
pub const BARS: usize = 64;

/// What rounding one value does to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounding {
    /// Name of the value.
    pub name: String,
    /// Whether it is a weight.
    pub kind: Kind,
    /// Least and largest element.
    pub range: (f32, f32),
    /// `10 · log10(Σ x² / Σ (x − x̂)²)` in dB: infinite where nothing changed.
    pub sqnr: f64,
    /// The part of the elements that lie beyond the grid.
    pub clipped: f64,
    /// How many elements lie in each of [`BARS`] equal parts of the range.
    pub histogram: Vec<u64>,
}

/// Sums over what passed.
#[derive(Debug, Clone)]
struct Sums {
    low: f32,
    high: f32,
    range: (f32, f32),
    signal: f64,
    noise: f64,
    clipped: u64,
    count: u64,
    bars: Vec<u64>,
}

impl Sums {
    fn new((low, high): (f32, f32)) -> Self {
        let range = (f32::INFINITY, f32::NEG_INFINITY);
        Self { low, high, range, signal: 0.0, noise: 0.0, clipped: 0, count: 0, bars: vec![0; BARS] }
    }

    fn add(&mut self, x: &[f32], rounded: &[f32], reach: (f32, f32)) {
        let width = (self.high - self.low).max(f32::MIN_POSITIVE);
        let (mut signal, mut noise) = (0.0f64, 0.0f64);
        for (&x, &y) in x.iter().zip(rounded) {
            signal += f64::from(x) * f64::from(x);
            noise += f64::from(x - y) * f64::from(x - y);
            self.clipped += u64::from(x < reach.0 || x > reach.1);
            let bar = ((x - self.low) / width * BARS as f32) as usize;
            if let Some(count) = self.bars.get_mut(bar.min(BARS - 1)) {
                *count += 1;
            }
            self.range = (self.range.0.min(x), self.range.1.max(x));
        }
        self.signal += signal;
        self.noise += noise;
        self.count += x.len() as u64;
    }

    fn finish(self, name: &str, kind: Kind) -> Rounding {
        Rounding {
            name: name.strip_suffix(".quant").unwrap_or(name).to_owned(),
            kind,
            range: self.range,
            sqnr: decibel(self.signal, self.noise),
            clipped: self.clipped as f64 / self.count.max(1) as f64,
            histogram: self.bars,
        }
    }
}

/// `10 · log10(signal / noise)`; infinite without noise.
fn decibel(signal: f64, noise: f64) -> f64 {
    if noise > 0.0 { 10.0 * (signal.max(f64::MIN_POSITIVE) / noise).log10() } else { f64::INFINITY }
}

/// Looks at what passes, and rounds none of it.
#[derive(Debug)]
struct Look {
    grids: HashMap<String, Scalar>,
    sums: Mutex<HashMap<String, Sums>>,
}

/// One grid for a whole tensor.
#[derive(Debug, Clone, Copy)]
struct Scalar {
    scale: f32,
    zero: f32,
    low: f32,
    high: f32,
}

impl Scalar {
    fn round(&self, x: f32) -> f32 {
        let q = (x * (1.0 / self.scale)).round_ties_even() + self.zero;
        (q.max(self.low).min(self.high) - self.zero) * self.scale
    }

    /// What is rounded by at most half a step.
    fn reach(&self) -> (f32, f32) {
        let at = |q: f32| (q - self.zero) * self.scale;
        (at(self.low - 0.5), at(self.high + 0.5))
    }
}

impl Grids for Look {
    fn grid(&self, node: &str, x: &Tensor) -> occam_engine::Result<Grid> {
        if let Some(grid) = self.grids.get(node) {
            let x = x.to_f32()?;
            let rounded: Vec<f32> = x.iter().map(|&x| grid.round(x)).collect();
            if let Some(sums) = lock(&self.sums).get_mut(node) {
                sums.add(&x, &rounded, grid.reach());
            }
        }
        Ok(Grid::Off)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Rounds at some nodes alone.
#[derive(Debug)]
struct Only(HashSet<String>, bool);

impl Grids for Only {
    fn grid(&self, node: &str, _: &Tensor) -> occam_engine::Result<Grid> {
        Ok(if self.0.contains(node) == self.1 { Grid::Given } else { Grid::Off })
    }
}

/// A quantized model that is run in parts.
pub struct Analyzer<'a> {
    model: &'a Quantized,
    executor: Executor,
    params: Bound,
}

/// Which roundings a run does.
#[derive(Debug, Clone)]
pub enum Which {
    /// None: the float model.
    None,
    /// All.
    All,
    /// Those of these nodes alone.
    Only(HashSet<String>),
    /// All but those of these nodes.
    But(HashSet<String>),
}

impl<'a> Analyzer<'a> {
    /// One for `model`.
    ///
    /// # Errors
    /// The graph breaks a rule.
    pub fn new(model: &'a Quantized, device: &Device) -> Result<Self> {
        let params = Params::new(&model.graph, &model.weights, device)?.constants();
        let executor = Executor::new(Arc::new(model.graph.clone()))?;
        Ok(Self { model, executor, params })
    }

    /// The outputs on `inputs`, with the roundings of `which`.
    ///
    /// # Errors
    /// The inputs do not fit.
    pub fn run(&self, inputs: &[Tensor], which: &Which) -> Result<Vec<Tensor>> {
        let grids: Option<Arc<dyn Grids>> = match which {
            Which::None => Some(Arc::new(Only(HashSet::new(), true))),
            Which::All => None,
            Which::Only(nodes) => Some(Arc::new(Only(nodes.clone(), true))),
            Which::But(nodes) => Some(Arc::new(Only(nodes.clone(), false))),
        };
        let request = Request { grids, ..Request::new(Mode::Eval) };
        Ok(self.executor.run(&self.params, inputs, &request)?.outputs)
    }

    /// What rounding does to each weight, and to each activation of the float model on `batches`.
    ///
    /// # Errors
    /// The inputs do not fit, or a weight is missing.
    pub fn roundings<E>(
        &self,
        batches: impl IntoIterator<Item = std::result::Result<Vec<Tensor>, E>>,
    ) -> std::result::Result<Vec<Rounding>, E>
    where
        E: From<crate::Error>,
    {
        let look = Arc::new(self.look()?);
        for batch in batches {
            let grids: Arc<dyn Grids> = look.clone();
            let request = Request { grids: Some(grids), ..Request::new(Mode::Eval) };
            self.executor.run(&self.params, &batch?, &request).map_err(crate::Error::from)?;
        }
        let mut sums = std::mem::take(&mut *lock(&look.sums));
        let mut list = Vec::new();
        for (point, quant) in self.model.placed.placement.points.iter().zip(&self.model.quants) {
            match point.kind {
                Kind::Activation => {
                    if let Some(sums) = sums.remove(&quant.name) {
                        list.push(sums.finish(&quant.name, Kind::Activation));
                    }
                }
                Kind::Weight => list.push(self.weight(quant)?),
            }
        }
        Ok(list)
    }

    fn look(&self) -> Result<Look> {
        let (mut grids, mut sums) = (HashMap::new(), HashMap::new());
        let model = self.model;
        for ((point, quant), range) in
            model.placed.placement.points.iter().zip(&model.quants).zip(&model.ranges)
        {
            let QParams { scale, zero_point } = quant.get(&model.graph, &model.weights)?;
            let (Kind::Activation, &[scale], &[zero]) = (point.kind, scale.as_slice(), zero_point.as_slice())
            else {
                continue;
            };
            let (low, high) = (point.scheme.low() as f32, point.scheme.high() as f32);
            let grid = Scalar { scale, zero: zero as f32, low, high };
            grids.insert(quant.name.clone(), grid);
            sums.insert(quant.name.clone(), Sums::new(range.unwrap_or(grid.reach())));
        }
        Ok(Look { grids, sums: Mutex::new(sums) })
    }

    fn weight(&self, quant: &crate::Quant) -> Result<Rounding> {
        let model = self.model;
        let node = model.graph.node(quant.node)?;
        let (Op::FakeQuant(op), Some(&w)) = (&node.op, node.inputs.first()) else {
            return Err(crate::Error::Other(format!("`{}` does not round", quant.name)));
        };
        let array = crate::ptq::known(&model.graph, &model.weights, w)?;
        let grid = quant.get(&model.graph, &model.weights)?;
        let rounded = crate::lower::rounded(array, op, &grid)?;
        let data = array.as_f32()?;
        let bounds = data.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
        let mut sums = Sums::new(bounds);
        sums.add(data, &rounded, (f32::MIN, f32::MAX));
        Ok(sums.finish(&quant.name, Kind::Weight))
    }

    /// The nodes that round for each layer: its weight's and that of what it reads.
    ///
    /// # Errors
    /// A layer is not one of the graph.
    pub fn layers(&self) -> Result<Vec<(String, HashSet<String>)>> {
        let mut list = Vec::new();
        for layer in &self.model.placed.layers {
            let of = |i: usize| self.model.quants.get(i).map(|q| q.name.clone());
            let nodes = [of(layer.weight), layer.input.and_then(of)].into_iter().flatten().collect();
            list.push((self.model.graph.node(layer.node)?.name.clone(), nodes));
        }
        Ok(list)
    }
}

/// How far outputs lie from those they should be: sums of squares, classes, and angles.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Distance {
    signal: f64,
    noise: f64,
    same: u64,
    rows: u64,
    cosines: f64,
}

impl Distance {
    /// Takes rows of `[rows, classes]` into account.
    pub fn add(&mut self, wanted: &[f32], found: &[f32], classes: usize) {
        for (a, b) in wanted.chunks_exact(classes.max(1)).zip(found.chunks_exact(classes.max(1))) {
            let (mut aa, mut bb, mut ab) = (0.0f64, 0.0f64, 0.0f64);
            for (&x, &y) in a.iter().zip(b) {
                let (x, y) = (f64::from(x), f64::from(y));
                (aa, bb, ab) = (aa + x * x, bb + y * y, ab + x * y);
                self.noise += (x - y) * (x - y);
            }
            self.signal += aa;
            self.cosines += if aa > 0.0 && bb > 0.0 { ab / (aa * bb).sqrt() } else { f64::from(aa == bb) };
            self.same += u64::from(argmax(a) == argmax(b));
            self.rows += 1;
        }
    }

    /// `10 · log10(Σ x² / Σ (x − x̂)²)` in dB.
    pub fn sqnr(&self) -> f64 {
        decibel(self.signal, self.noise)
    }

    /// Percent of the rows whose largest element is at the same place.
    pub fn same(&self) -> f64 {
        100.0 * self.same as f64 / self.rows.max(1) as f64
    }

    /// The mean cosine of the angle between rows.
    pub fn cosine(&self) -> f64 {
        self.cosines / self.rows.max(1) as f64
    }
}

/// The place of the largest element, the first of several.
pub fn argmax(x: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in x.iter().enumerate() {
        if x.get(best).is_none_or(|b| v > b) {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_of_rows() {
        let mut d = Distance::default();
        d.add(&[1.0, 0.0, 0.0, 2.0], &[1.0, 0.0, 2.0, 0.0], 2);
        assert_eq!((d.same(), d.cosine()), (50.0, 0.5));
        assert!((d.sqnr() - 10.0 * (5.0f64 / 8.0).log10()).abs() < 1e-12);
        let mut equal = Distance::default();
        equal.add(&[1.0, 2.0], &[1.0, 2.0], 2);
        assert!(equal.sqnr().is_infinite() && (equal.cosine() - 1.0).abs() < 1e-12);
    }
}
