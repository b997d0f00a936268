//! Activations and sums, element by element.
//!
//! NaN stays NaN, as in PyTorch: a diverged network must not look sound.

use rayon::prelude::*;

use crate::Activation;
use crate::memory::Output;

/// Elements of a task.
const GRAIN: usize = 1 << 15;

/// The activation of one element.
#[inline(always)]
fn activated(v: f32, (low, high): (f32, f32)) -> f32 {
    let v = if v < low { low } else { v };
    if v > high { high } else { v }
}

/// What the activation passes on of gradient `g`, by its output `y`.
#[inline(always)]
fn passed(g: f32, y: f32, (low, high): (f32, f32)) -> f32 {
    if y <= low || y >= high { 0.0 } else { g }
}

/// `out[i] = f(a[i], b[i])`
fn map(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync + Copy) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "the slices differ in length");
    let n = a.len();
    let mut out = Output::new(n);
    let to = out.shared();
    (0..n.div_ceil(GRAIN)).into_par_iter().for_each(|task| {
        let (first, end) = (task * GRAIN, ((task + 1) * GRAIN).min(n));
        let (a, b) = (&a[first..end], &b[first..end]);
        crate::vector::vectorize(
            #[inline(always)]
            || {
                for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
                    // SAFETY: inside the output; tasks have ranges of their own.
                    unsafe { *to.at(first + i) = f(a, b) };
                }
            },
        );
    });
    // SAFETY: the tasks cover the output.
    unsafe { out.finish() }
}

/// `a[i] = f(a[i], b[i])`
fn map_in_place(a: &mut [f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync + Copy) {
    assert_eq!(a.len(), b.len(), "the slices differ in length");
    a.par_chunks_mut(GRAIN).zip(b.par_chunks(GRAIN)).for_each(|(a, b)| {
        crate::vector::vectorize(
            #[inline(always)]
            || a.iter_mut().zip(b).for_each(|(a, &b)| *a = f(*a, b)),
        );
    });
}

/// `act(x)`
pub fn activate(x: &[f32], activation: Activation) -> Vec<f32> {
    let range = activation.range();
    map(x, x, move |v, _| activated(v, range))
}

/// `x = act(x)`
pub fn activate_in_place(x: &mut [f32], activation: Activation) {
    let range = activation.range();
    x.par_chunks_mut(GRAIN).for_each(|x| {
        crate::vector::vectorize(
            #[inline(always)]
            || x.iter_mut().for_each(|v| *v = activated(*v, range)),
        );
    });
}

/// `act(a + b)`
///
/// # Panics
/// The slices differ in length.
pub fn add(a: &[f32], b: &[f32], activation: Activation) -> Vec<f32> {
    let range = activation.range();
    map(a, b, move |a, b| activated(a + b, range))
}

/// `a = act(a + b)`
///
/// # Panics
/// The slices differ in length.
pub fn add_in_place(a: &mut [f32], b: &[f32], activation: Activation) {
    let range = activation.range();
    map_in_place(a, b, move |a, b| activated(a + b, range));
}

/// The gradient of the activation's input: `dy` where the output `y` lies strictly inside its range, else 0.
///
/// # Panics
/// The slices differ in length.
pub fn pass(dy: &[f32], y: &[f32], activation: Activation) -> Vec<f32> {
    let range = activation.range();
    map(dy, y, move |g, y| passed(g, y, range))
}

/// [`pass`], onto `dy`.
///
/// # Panics
/// The slices differ in length.
pub fn pass_in_place(dy: &mut [f32], y: &[f32], activation: Activation) {
    let range = activation.range();
    map_in_place(dy, y, move |g, y| passed(g, y, range));
}

/// `Σ f(x)`, chunk by chunk, the chunks' sums in order and all in `f64`.
fn total(x: &[f32], f: impl Fn(f64) -> f64 + Sync + Copy) -> f64 {
    let chunks: Vec<f64> = x
        .par_chunks(GRAIN)
        .map(|chunk| {
            crate::vector::vectorize(
                #[inline(always)]
                || {
                    let mut sums = [0f64; 16];
                    let mut blocks = chunk.chunks_exact(16);
                    for block in &mut blocks {
                        for (sum, &v) in sums.iter_mut().zip(block) {
                            *sum += f(f64::from(v));
                        }
                    }
                    let rest = blocks.remainder().iter().map(|&v| f(f64::from(v)));
                    sums.iter().copied().chain(rest).sum::<f64>()
                },
            )
        })
        .collect();
    chunks.iter().sum()
}

/// `Σ x`; the same bits at any number of threads.
pub fn sum(x: &[f32]) -> f64 {
    total(
        x,
        #[inline(always)]
        |v| v,
    )
}

/// `Σ x²`; the same bits at any number of threads.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    total(
        x,
        #[inline(always)]
        |v| v * v,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_agree() {
        let a: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.37).sin() * 9.0).collect();
        let b: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.11).cos() * 9.0).collect();
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            let (low, high) = activation.range();
            let y = add(&a, &b, activation);
            assert!(y.iter().zip(a.iter().zip(&b)).all(|(y, (a, b))| *y == (a + b).max(low).min(high)));
            let mut own = a.clone();
            add_in_place(&mut own, &b, activation);
            assert_eq!(own, y);
            let mut own = a.clone();
            activate_in_place(&mut own, activation);
            assert_eq!(own, activate(&a, activation));
            assert!(own.iter().zip(&a).all(|(y, a)| *y == a.max(low).min(high)));
            let g = pass(&b, &y, activation);
            assert!(
                g.iter()
                    .zip(b.iter().zip(&y))
                    .all(|(g, (b, y))| { *g == if *y > low && *y < high { *b } else { 0.0 } })
            );
            let mut own = b.clone();
            pass_in_place(&mut own, &y, activation);
            assert_eq!(own, g);
        }
        assert!(activate(&[f32::NAN], Activation::Relu6)[0].is_nan());
        let wanted: f64 = a.iter().map(|&v| f64::from(v).powi(2)).sum();
        assert!((sum_of_squares(&a) - wanted).abs() < 1e-9 * wanted);
        let wanted: f64 = a.iter().map(|&v| f64::from(v)).sum();
        assert!((sum(&a) - wanted).abs() < 1e-9 * a.len() as f64);
        assert_eq!((sum(&[]), sum(&[f32::MAX, f32::MAX])), (0.0, 2.0 * f64::from(f32::MAX)));
    }
}
