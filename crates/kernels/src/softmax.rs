//! Cross entropy of logits with class indices.

use std::fmt;

use rayon::prelude::*;

use crate::memory::Output;
use crate::vector::{sum, vectorize};

/// Elements that are worth a task.
const TASK: usize = 1 << 13;

/// A target that is no class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetError {
    /// The sample.
    pub sample: usize,
    /// Its target.
    pub target: i64,
    /// How many classes there are.
    pub classes: usize,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sample, target, classes } = self;
        write!(f, "target {target} of sample {sample} is not one of {classes} classes")
    }
}

impl std::error::Error for TargetError {}

fn classes_of(targets: &[i64], classes: usize) -> Result<Vec<usize>, TargetError> {
    let class = |(sample, &target): (usize, &i64)| match usize::try_from(target) {
        Ok(t) if t < classes => Ok(t),
        _ => Err(TargetError { sample, target, classes }),
    };
    targets.iter().enumerate().map(class).collect()
}

/// `e^x` for `x ≤ 0`, to about two units in the last place; 0 where the result is less than the least normal number.
///
/// The method of Cephes' `expf`: `x = k · ln 2 + r`, a polynomial of `r`, and `k` into the exponent. Unlike the
/// standard library's it becomes vectors.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = x - k * 0.693_359_4;
    let r = r + k * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + c;
    }
    let p = p * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x < -87.0 { 0.0 } else { p * power }
}

/// Cross entropy of every sample and the softmax it is the logarithm of.
///
/// `logits` are `[n, classes]` with `n` targets; gives `loss = log Σ_j e^(x_j − m) − (x_t − m)` with the row's largest
/// logit `m`, `[n]`, and `p_j = e^(x_j − m) / Σ_k e^(x_k − m)`, `[n, classes]`.
///
/// # Errors
/// A target is no class.
///
/// # Panics
/// `logits` is shorter than its sizes say.
pub fn cross_entropy_forward(
    logits: &[f32],
    targets: &[i64],
    classes: usize,
) -> Result<(Vec<f32>, Vec<f32>), TargetError> {
    let n = targets.len();
    assert!(logits.len() >= n * classes, "sizes do not fit the slice");
    let targets = classes_of(targets, classes)?;
    let mut probabilities = Output::new(n * classes);
    let to = probabilities.shared();
    let row = |(i, &target): (usize, &usize)| {
        let logits = &logits[i * classes..(i + 1) * classes];
        // SAFETY: this task's row, which is written before it becomes a slice.
        let row = unsafe {
            to.put(i * classes, logits);
            std::slice::from_raw_parts_mut(to.at(i * classes), classes)
        };
        vectorize(
            #[inline(always)]
            || {
                let most = largest(row);
                for v in row.iter_mut() {
                    *v = exp(*v - most);
                }
                let total = sum(row);
                for v in row.iter_mut() {
                    *v /= total;
                }
                // The rest is at most the logarithm of the number of classes: nothing cancels.
                (f64::from(total).ln() - (f64::from(logits[target]) - f64::from(most))) as f32
            },
        )
    };
    let tasks = targets.par_iter().enumerate().with_min_len((TASK / classes.max(1)).max(1));
    let losses = tasks.map(row).collect();
    // SAFETY: every row was written.
    Ok((losses, unsafe { probabilities.finish() }))
}

/// The largest element, in partial results that are vectors to the compiler.
#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 32];
    let mut blocks = row.chunks_exact(lanes.len());
    for block in &mut blocks {
        for (lane, &v) in lanes.iter_mut().zip(block) {
            *lane = if v > *lane { v } else { *lane };
        }
    }
    blocks.remainder().iter().chain(&lanes).fold(f32::NEG_INFINITY, |a, &v| if v > a { v } else { a })
}

/// `dx_ij = u_i · (p_ij − [j = t_i])`, `[n, classes]`, with the gradient `u` of every sample's loss, `[n]`.
///
/// # Errors
/// A target is no class.
///
/// # Panics
/// `probabilities` or `upstream` is shorter than its sizes say.
pub fn cross_entropy_backward(
    probabilities: &[f32],
    targets: &[i64],
    upstream: &[f32],
    classes: usize,
) -> Result<Vec<f32>, TargetError> {
    let n = targets.len();
    assert!(probabilities.len() >= n * classes && upstream.len() >= n, "sizes do not fit the slices");
    let targets = classes_of(targets, classes)?;
    let mut dx = Output::new(n * classes);
    let to = dx.shared();
    let tasks = targets.par_iter().enumerate().with_min_len((TASK / classes.max(1)).max(1));
    tasks.for_each(|(i, &target)| {
        let (row, u) = (&probabilities[i * classes..(i + 1) * classes], upstream[i]);
        vectorize(
            #[inline(always)]
            || {
                for (j, &p) in row.iter().enumerate() {
                    // SAFETY: an element of this task's row.
                    unsafe { *to.at(i * classes + j) = u * p };
                }
            },
        );
        // SAFETY: as above; a target is a class.
        unsafe { *to.at(i * classes + target) = u * (row[target] - 1.0) };
    });
    // SAFETY: every row was written.
    unsafe { Ok(dx.finish()) }
}
