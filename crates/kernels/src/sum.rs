//! Sums in 32 partial sums, which are vectors to the compiler.

/// Partial sums.
const LANES: usize = 32;

/// `Σ v`, within a closure that `pulp` dispatches.
#[inline(always)]
pub(crate) fn sum(data: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let mut blocks = data.chunks_exact(LANES);
    for block in &mut blocks {
        for (sum, &v) in sums.iter_mut().zip(block) {
            *sum += v;
        }
    }
    let mut lanes = LANES;
    while lanes > 1 {
        lanes /= 2;
        for i in 0..lanes {
            sums[i] += sums[i + lanes];
        }
    }
    blocks.remainder().iter().fold(sums[0], |sum, &v| sum + v)
}
