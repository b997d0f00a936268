//! Roundings that learn (Nagel et al., 2020, arXiv:2004.10568).

use occam_graph::ops::FakeQuant;
use rayon::prelude::*;

use crate::QParams;

/// The stretch of the sigmoid, ζ and γ.
const ZETA: f32 = 1.1;
/// See [`ZETA`].
const GAMMA: f32 = -0.1;

/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 12;

/// How roundings learn: the authors' defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Steps of Adam.
    pub iterations: usize,
    /// The part of them without regularizer.
    pub warm_start: f32,
    /// β of the regularizer `1 − |2h − 1|^β` after the warm start and at the end; linear between.
    pub beta: [f32; 2],
    /// The factor of the regularizer.
    pub lambda: f32,
    /// Of Adam.
    pub learning_rate: f32,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { iterations: 10_000, warm_start: 0.2, beta: [20.0, 2.0], lambda: 0.01, learning_rate: 1e-3 }
    }
}

impl Schedule {
    /// β of a step; none in the warm start.
    pub fn beta_at(&self, step: usize) -> Option<f32> {
        let start = (self.warm_start * self.iterations as f32) as usize;
        if step < start {
            return None;
        }
        let [from, to] = self.beta;
        let part = (step - start) as f32 / (self.iterations - start).max(1) as f32;
        Some(to + (from - to) * (1.0 - part).max(0.0))
    }
}

/// The weights of a layer on their grid, each between the two integers around it:
///
/// `Ŵ = s · (clamp(⌊W / s⌋ + h(V) + z, low, high) − z)` with `h(V) = clamp(σ(V) (ζ − γ) + γ, 0, 1)`, ζ = 1.1, γ = −0.1.
#[derive(Debug, Clone)]
pub struct Rounding {
    v: Vec<f32>,
    floor: Vec<f32>,
    moments: Vec<[f32; 2]>,
    scale: Vec<f32>,
    zero: Vec<f32>,
    range: [f32; 2],
    row: usize,
    steps: i32,
}

/// `h(V)` and its derivative.
fn rectified(v: f32) -> (f32, f32) {
    let sigma = 1.0 / (1.0 + (-v).exp());
    let stretched = sigma * (ZETA - GAMMA) + GAMMA;
    if (0.0..=1.0).contains(&stretched) {
        (stretched, sigma * (1.0 - sigma) * (ZETA - GAMMA))
    } else {
        (stretched.clamp(0.0, 1.0), 0.0)
    }
}

impl Rounding {
    /// Starts where `Ŵ` is `w`. `w` has `row` elements for every index of the grid's axis, which is 0, or any where it has one
    /// grid. None where the grid has another axis or does not fit.
    pub fn new(w: &[f32], op: &FakeQuant, grid: &QParams) -> Option<Self> {
        let count = grid.scale.len();
        let own = if op.axis.is_none() { count == 1 } else { op.axis == Some(0) };
        if !own || count == 0 || !w.len().is_multiple_of(count) || grid.zero_point.len() != count {
            return None;
        }
        let row = (w.len() / count).max(1);
        let (mut v, mut floor) = (Vec::with_capacity(w.len()), Vec::with_capacity(w.len()));
        for (w, &s) in w.chunks(row).zip(&grid.scale) {
            for w in w {
                let down = (w / s).floor();
                // A weight on its grid may lie a bit beside it by the division.
                let rest = (w / s - down).clamp(0.0, 1.0);
                floor.push(down);
                v.push(-((ZETA - GAMMA) / (rest - GAMMA) - 1.0).ln());
            }
        }
        Some(Self {
            moments: vec![[0.0; 2]; v.len()],
            v,
            floor,
            scale: grid.scale.clone(),
            zero: grid.zero_point.iter().map(|&z| z as f32).collect(),
            range: [op.low as f32, op.high as f32],
            row,
            steps: 0,
        })
    }

    /// `V`.
    pub fn v(&self) -> &[f32] {
        &self.v
    }

    fn map(&self, part: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
        let [low, high] = self.range;
        let mut out = vec![0.0; self.v.len()];
        let rows = (CHUNK / self.row).max(1);
        let grids = self.scale.par_chunks(rows).zip(self.zero.par_chunks(rows));
        let size = self.row * rows;
        out.par_chunks_mut(size)
            .zip(self.v.par_chunks(size).zip(self.floor.par_chunks(size)))
            .zip(grids)
            .for_each(|((out, (v, floor)), (scale, zero))| {
                let rows = v.chunks(self.row).zip(floor.chunks(self.row)).zip(scale.iter().zip(zero));
                for (out, ((v, floor), (s, z))) in out.chunks_mut(self.row).zip(rows) {
                    for (out, (v, f)) in out.iter_mut().zip(v.iter().zip(floor)) {
                        *out = s * ((f + part(*v) + z).clamp(low, high) - z);
                    }
                }
            });
        out
    }

    /// `Ŵ`.
    pub fn soft(&self) -> Vec<f32> {
        self.map(|v| rectified(v).0)
    }

    /// Weights on the grid: upwards where `V` is at least 0.
    pub fn hard(&self) -> Vec<f32> {
        self.map(|v| if v >= 0.0 { 1.0 } else { 0.0 })
    }

    /// `Σ 1 − |2h(V) − 1|^β`: 0 where all have decided.
    pub fn regularizer(&self, beta: f32) -> f64 {
        self.v.iter().map(|&v| 1.0 - f64::from((2.0 * rectified(v).0 - 1.0).abs().powf(beta))).sum()
    }

    /// The gradient of `V`, where `dw` is that of `Ŵ`, and of the regularizer times `lambda` where `beta` is given.
    pub fn gradient(&self, dw: &[f32], beta: Option<f32>, lambda: f32) -> Vec<f32> {
        let at = |i: usize| self.one(i, dw.get(i).copied().unwrap_or(0.0), beta, lambda);
        (0..self.v.len()).map(at).collect()
    }

    fn one(&self, i: usize, dw: f32, beta: Option<f32>, lambda: f32) -> f32 {
        let (Some(&v), Some(&f)) = (self.v.get(i), self.floor.get(i)) else { return 0.0 };
        let (Some(&s), Some(&z)) = (self.scale.get(i / self.row), self.zero.get(i / self.row)) else {
            return 0.0;
        };
        gradient(v, f, (s, z), self.range, dw, beta.map(|b| (b, lambda)))
    }

    /// One step of Adam.
    pub fn step(&mut self, dw: &[f32], beta: Option<f32>, schedule: &Schedule) {
        const B1: f32 = 0.9;
        const B2: f32 = 0.999;
        self.steps += 1;
        let (c1, c2) = (1.0 - B1.powi(self.steps), 1.0 - B2.powi(self.steps));
        let rate = schedule.learning_rate / c1;
        let root = 1.0 / c2.sqrt();
        let regularizer = beta.map(|b| (b, schedule.lambda));
        let (row, range, scale, zero) = (self.row, self.range, &self.scale, &self.zero);
        let parts = self.v.par_chunks_mut(CHUNK).zip(self.moments.par_chunks_mut(CHUNK));
        let parts = parts.zip(self.floor.par_chunks(CHUNK).zip(dw.par_chunks(CHUNK)));
        parts.enumerate().for_each(|(chunk, ((v, moments), (floor, dw)))| {
            for (i, ((v, m), (f, dw))) in v.iter_mut().zip(moments).zip(floor.iter().zip(dw)).enumerate() {
                let of = (chunk * CHUNK + i) / row;
                let (Some(&s), Some(&z)) = (scale.get(of), zero.get(of)) else { continue };
                let g = gradient(*v, *f, (s, z), range, *dw, regularizer);
                m[0] += (1.0 - B1) * (g - m[0]);
                m[1] += (1.0 - B2) * (g * g - m[1]);
                *v -= rate * m[0] / (m[1].sqrt() * root + 1e-8);
            }
        });
    }
}

/// The gradient of one `V`.
fn gradient(
    v: f32,
    floor: f32,
    (s, z): (f32, f32),
    [low, high]: [f32; 2],
    dw: f32,
    regularizer: Option<(f32, f32)>,
) -> f32 {
    let (h, slope) = rectified(v);
    if slope == 0.0 {
        return 0.0;
    }
    let mut g = 0.0;
    if (low..=high).contains(&(floor + h + z)) {
        g = dw * s * slope;
    }
    if let Some((beta, lambda)) = regularizer {
        let t = 2.0 * h - 1.0;
        g -= lambda * beta * t.abs().powf(beta - 1.0) * t.signum() * 2.0 * slope;
    }
    g
}
