//! Loops that the compiler turns into vectors as wide as the processor has them.

use crate::arch::arch;

struct Work<F>(F);

impl<R, F: FnMut() -> R> pulp::NullaryFnOnce for Work<F> {
    type Output = R;

    #[inline(always)]
    fn call(mut self) -> R {
        (self.0)()
    }
}

/// Runs a closure that is `#[inline(always)]`, compiled for the processor's vectors.
///
/// Given to `pulp` as it is, a closure that borrows what it captures is called through an adapter (`FnOnce` on top of
/// `FnMut`). The adapter has no attribute: where it is not inlined, the loops are compiled without wide vectors.
#[inline(always)]
pub(crate) fn vectorize<R>(work: impl FnMut() -> R) -> R {
    arch().dispatch(Work(work))
}

/// Partial sums.
const LANES: usize = 32;

/// `Σ v` in partial sums, within a closure of [`vectorize`].
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
