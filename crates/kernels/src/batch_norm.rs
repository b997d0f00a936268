//! Batch normalization in training, with the activation that follows it.
//!
//! Forward: `x̂ = (x − μ) / √(σ² + ε)`, `y = act(γ · x̂ + β)`. Backward, with `M` elements a channel and `g = dy` where
//! the activation passes it on, else 0: `dβ = Σ g`, `dγ = Σ g · x̂`,
//! `dx = γ / √(σ² + ε) · (g − dβ / M − x̂ · dγ / M)`. What the activation passed is computed again from `x`, so that `y`
//! need not be kept.

use pulp::{Simd, WithSimd};

use crate::Activation;
use crate::arch::arch;
use crate::channels::Layout;
use crate::memory::{Output, Shared};
use crate::tile::{load, store};

/// Elements that are summed in `f32` before the sum goes on in `f64`.
const CHUNK: usize = 4096;

/// Mean and biased variance of every channel.
///
/// # Panics
/// `x` is shorter than its sizes say.
pub fn statistics(x: &[f32], layout: Layout) -> (Vec<f32>, Vec<f32>) {
    assert!(x.len() >= layout.elements(), "sizes do not fit the slice");
    let both = layout.each_channel(|channel| arch().dispatch(Statistics { x, layout, channel }));
    both.into_iter().unzip()
}

struct Statistics<'a> {
    x: &'a [f32],
    layout: Layout,
    channel: usize,
}

impl WithSimd for Statistics<'_> {
    type Output = (f32, f32);

    /// Chunk by chunk: its own mean, the squares around it while it lies in the nearest cache, then both joined to
    /// what came before (Chan, Golub and LeVeque, 1983).
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f32, f32) {
        let (mut count, mut mean, mut squares) = (0f64, 0f64, 0f64);
        for start in self.layout.starts(self.channel) {
            for chunk in self.x[start..start + self.layout.inner].chunks(CHUNK) {
                let n = chunk.len() as f64;
                let sum = sum(simd, chunk, |v| v, |v| v);
                let middle = (sum / n) as f32;
                let m = simd.splat_f32s(middle);
                let square = |v: S::f32s| {
                    let d = simd.sub_f32s(v, m);
                    simd.mul_f32s(d, d)
                };
                let around = self::sum(simd, chunk, square, |v| (v - middle) * (v - middle));
                // The squares are around a rounded mean; the exact one is `exact`.
                let exact = sum / n;
                let around = around - n * (exact - f64::from(middle)).powi(2);
                let distance = exact - mean;
                let total = count + n;
                squares += around + distance * distance * count * n / total;
                mean += distance * n / total;
                count = total;
            }
        }
        (mean as f32, (squares.max(0.0) / count.max(1.0)) as f32)
    }
}

/// `Σ f(v)`, in four vectors of partial sums.
#[inline(always)]
fn sum<S: Simd>(simd: S, data: &[f32], f: impl Fn(S::f32s) -> S::f32s, one: impl Fn(f32) -> f32) -> f64 {
    let lanes = S::F32_LANES;
    let mut sums = [simd.splat_f32s(0.0); 4];
    let mut blocks = data.chunks_exact(4 * lanes);
    for block in &mut blocks {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: a block has four vectors.
            let v = unsafe { load::<S>(block.as_ptr().add(i * lanes)) };
            *sum = simd.add_f32s(*sum, f(v));
        }
    }
    let mut rest = blocks.remainder().chunks_exact(lanes);
    for block in &mut rest {
        // SAFETY: a block is a vector.
        sums[0] = simd.add_f32s(sums[0], f(unsafe { load::<S>(block.as_ptr()) }));
    }
    let all = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    let tail: f64 = rest.remainder().iter().map(|&v| f64::from(one(v))).sum();
    f64::from(simd.reduce_sum_f32s(all)) + tail
}

/// `γ / √(σ² + ε)` and `β − μ · γ / √(σ² + ε)` of every channel: the normalization as `x · scale + shift`.
pub fn affine(weight: &[f32], bias: &[f32], mean: &[f32], var: &[f32], eps: f64) -> (Vec<f32>, Vec<f32>) {
    let scale = |(&w, &v): (&f32, &f32)| (f64::from(w) / (f64::from(v) + eps).sqrt()) as f32;
    let scale: Vec<f32> = weight.iter().zip(var).map(scale).collect();
    let shift = |((&m, &s), &b): ((&f32, &f32), &f32)| (f64::from(b) - f64::from(m) * f64::from(s)) as f32;
    let shift = mean.iter().zip(&scale).zip(bias).map(shift).collect();
    (scale, shift)
}

/// `act(x · scale + shift)`, channel by channel.
///
/// # Panics
/// A slice is shorter than its sizes say.
pub fn apply(x: &[f32], scale: &[f32], shift: &[f32], layout: Layout, activation: Activation) -> Vec<f32> {
    assert!(x.len() >= layout.elements() && scale.len() >= layout.channels && shift.len() >= layout.channels);
    let mut out = Output::new(layout.elements());
    let to = out.shared();
    layout.each_channel(|channel| {
        arch().dispatch(Apply {
            x,
            to,
            layout,
            channel,
            scale: scale[channel],
            shift: shift[channel],
            range: activation.range(),
        });
    });
    // SAFETY: the channels make up the tensor.
    unsafe { out.finish() }
}

struct Apply<'a> {
    x: &'a [f32],
    to: Shared,
    layout: Layout,
    channel: usize,
    scale: f32,
    shift: f32,
    range: (f32, f32),
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        let (scale, shift) = (simd.splat_f32s(self.scale), simd.splat_f32s(self.shift));
        let (low, high) = (simd.splat_f32s(self.range.0), simd.splat_f32s(self.range.1));
        for start in self.layout.starts(self.channel) {
            let x = &self.x[start..start + self.layout.inner];
            let whole = x.len() / lanes * lanes;
            // SAFETY: the same elements of the output, which are this channel's.
            unsafe {
                for i in (0..whole).step_by(lanes) {
                    let v = simd.mul_add_e_f32s(load::<S>(x.as_ptr().add(i)), scale, shift);
                    store::<S>(self.to.at(start + i), simd.min_f32s(high, simd.max_f32s(low, v)));
                }
                for (i, &v) in x.iter().enumerate().skip(whole) {
                    let v = v.mul_add(self.scale, self.shift);
                    let v = if v < self.range.0 { self.range.0 } else { v };
                    *self.to.at(start + i) = if v > self.range.1 { self.range.1 } else { v };
                }
            }
        }
    }
}

/// What the way back needs of the way there.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a> {
    /// The input.
    pub x: &'a [f32],
    /// `γ`
    pub weight: &'a [f32],
    /// `β`
    pub bias: &'a [f32],
    /// `μ`
    pub mean: &'a [f32],
    /// `σ²`, biased.
    pub var: &'a [f32],
    /// `ε`
    pub eps: f64,
    /// The activation.
    pub activation: Activation,
}

/// Gradients of `x`, `γ` and `β`.
///
/// # Panics
/// A slice is shorter than its sizes say.
pub fn backward(saved: &Saved<'_>, dy: &[f32], layout: Layout) -> [Vec<f32>; 3] {
    let c = layout.channels;
    assert!(dy.len() >= layout.elements() && saved.x.len() >= layout.elements());
    assert!([saved.weight, saved.bias, saved.mean, saved.var].iter().all(|v| v.len() >= c));
    let (scale, shift) = affine(saved.weight, saved.bias, saved.mean, saved.var, saved.eps);
    let mut dx = Output::new(layout.elements());
    let to = dx.shared();
    let sums = layout.each_channel(|channel| {
        let inv = 1.0 / (f64::from(saved.var[channel]) + saved.eps).sqrt();
        arch().dispatch(Backward {
            x: saved.x,
            dy,
            to,
            layout,
            channel,
            mean: saved.mean[channel],
            inv: inv as f32,
            scale: scale[channel],
            shift: shift[channel],
            activation: saved.activation,
        })
    });
    let (dweight, dbias) = sums.into_iter().unzip();
    // SAFETY: the channels make up the tensor.
    [unsafe { dx.finish() }, dweight, dbias]
}

struct Backward<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    to: Shared,
    layout: Layout,
    channel: usize,
    mean: f32,
    inv: f32,
    scale: f32,
    shift: f32,
    activation: Activation,
}

impl Backward<'_> {
    /// What the activation passes on of one gradient.
    #[inline(always)]
    fn pass(&self, x: f32, g: f32) -> f32 {
        let y = x.mul_add(self.scale, self.shift);
        match self.activation {
            Activation::None => g,
            Activation::Relu => {
                if y <= 0.0 {
                    0.0
                } else {
                    g
                }
            }
            Activation::Relu6 => {
                if y <= 0.0 || y >= 6.0 {
                    0.0
                } else {
                    g
                }
            }
        }
    }

    #[inline(always)]
    fn pass_all<S: Simd>(&self, simd: S, x: S::f32s, g: S::f32s) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        if self.activation == Activation::None {
            return g;
        }
        let y = simd.mul_add_e_f32s(x, simd.splat_f32s(self.scale), simd.splat_f32s(self.shift));
        let g = simd.select_f32s(simd.less_than_or_equal_f32s(y, zero), zero, g);
        if self.activation == Activation::Relu {
            return g;
        }
        simd.select_f32s(simd.greater_than_or_equal_f32s(y, simd.splat_f32s(6.0)), zero, g)
    }
}

impl WithSimd for Backward<'_> {
    /// `dγ` and `dβ`.
    type Output = (f32, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f32, f32) {
        let lanes = S::F32_LANES;
        let inner = self.layout.inner;
        let whole = inner / lanes * lanes;
        let mean = simd.splat_f32s(self.mean);
        let inv = simd.splat_f32s(self.inv);
        let (mut db, mut dg) = (0f64, 0f64);
        for start in self.layout.starts(self.channel) {
            let (x, dy) = (&self.x[start..start + inner], &self.dy[start..start + inner]);
            let mut from = 0;
            while from < inner {
                let end = (from + CHUNK).min(inner);
                let mut sums = [[simd.splat_f32s(0.0); 2]; 2];
                let vectors = (end.min(whole) - from.min(whole)) / lanes;
                for i in 0..vectors {
                    // SAFETY: whole vectors lie inside both rows.
                    let (v, g) = unsafe {
                        let at = from + i * lanes;
                        (load::<S>(x.as_ptr().add(at)), load::<S>(dy.as_ptr().add(at)))
                    };
                    let g = self.pass_all(simd, v, g);
                    let [b, w] = &mut sums[i % 2];
                    *b = simd.add_f32s(*b, g);
                    *w = simd.mul_add_e_f32s(g, simd.sub_f32s(v, mean), *w);
                }
                db += f64::from(simd.reduce_sum_f32s(simd.add_f32s(sums[0][0], sums[1][0])));
                dg += f64::from(simd.reduce_sum_f32s(simd.add_f32s(sums[0][1], sums[1][1])))
                    * f64::from(self.inv);
                for i in from + vectors * lanes..end {
                    let g = self.pass(x[i], dy[i]);
                    db += f64::from(g);
                    dg += f64::from(g) * f64::from((x[i] - self.mean) * self.inv);
                }
                from = end;
            }
        }
        let count = self.layout.count();
        let (b, w) = ((db / count) as f32, (dg / count) as f32);
        let (vb, vw, scale) = (simd.splat_f32s(b), simd.splat_f32s(w), simd.splat_f32s(self.scale));
        for start in self.layout.starts(self.channel) {
            let (x, dy) = (&self.x[start..start + inner], &self.dy[start..start + inner]);
            // SAFETY: the same elements of the gradient, which are this channel's.
            unsafe {
                for i in (0..whole).step_by(lanes) {
                    let v = load::<S>(x.as_ptr().add(i));
                    let g = self.pass_all(simd, v, load::<S>(dy.as_ptr().add(i)));
                    let hat = simd.mul_f32s(simd.sub_f32s(v, mean), inv);
                    let d = simd.sub_f32s(simd.sub_f32s(g, vb), simd.mul_f32s(hat, vw));
                    store::<S>(self.to.at(start + i), simd.mul_f32s(d, scale));
                }
                for i in whole..inner {
                    let g = self.pass(x[i], dy[i]);
                    let hat = (x[i] - self.mean) * self.inv;
                    *self.to.at(start + i) = (g - b - hat * w) * self.scale;
                }
            }
        }
        (dg as f32, db as f32)
    }
}
