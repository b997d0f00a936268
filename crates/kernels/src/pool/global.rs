//! Means of whole planes.

use rayon::prelude::*;

use crate::memory::Output;
use crate::vector::{sum, vectorize};

/// Elements that are worth a task.
const TASK: usize = 1 << 14;

/// The mean of every plane, `[planes]`: `y = Σ x / inner`, NaN where `inner` is 0.
///
/// # Panics
/// `x` is shorter than `planes · inner`.
pub fn global_avg_forward(x: &[f32], planes: usize, inner: usize) -> Vec<f32> {
    assert!(x.len() >= planes * inner, "sizes do not fit the slice");
    let mean = |p: usize| {
        let x = &x[p * inner..(p + 1) * inner];
        let sum = vectorize(
            #[inline(always)]
            || sum(x),
        );
        sum / inner as f32
    };
    (0..planes).into_par_iter().with_min_len((TASK / inner.max(1)).max(1)).map(mean).collect()
}

/// `dx = dy / inner` for every element of a plane, `[planes, inner]`.
///
/// # Panics
/// `dy` is shorter than `planes`.
pub fn global_avg_backward(dy: &[f32], planes: usize, inner: usize) -> Vec<f32> {
    assert!(dy.len() >= planes, "sizes do not fit the slice");
    let mut dx = Output::new(planes * inner);
    let to = dx.shared();
    let tasks = (0..planes).into_par_iter().with_min_len((TASK / inner.max(1)).max(1));
    tasks.for_each(|p| {
        let share = dy[p] / inner as f32;
        for i in 0..inner {
            // SAFETY: an element of this task's plane.
            unsafe { *to.at(p * inner + i) = share };
        }
    });
    // SAFETY: every plane was written.
    unsafe { dx.finish() }
}
