//! Convolution as products of matrices whose right operand is gathered from the image while it is packed.
//!
//! `y[o, p] = Σ_k w[o, k] · x[k, p]`: row `k = (channel, tap)` of the right operand is the channel's plane, shifted by
//! the tap; it is written, a few hundred pixels at a time, in the order in which the innermost loop reads it, and
//! stays in the near caches for all output channels. The input gradient is the same with the weights transposed and
//! the taps mirrored; at stride `s` it falls into `s · s` convolutions of stride 1, one for every remainder of the
//! position. The weight gradient is a product over the pixels.

mod depthwise;
mod forward;
mod gather;
mod input_grad;
mod planes;
mod weight_grad;
mod weights;
mod winograd;

pub use forward::{Epilogue, forward};
pub use input_grad::input_grad;
pub use weight_grad::weight_grad;

/// How a kernel moves over an image: first entry of a pair for rows, second for columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Step, at least 1.
    pub stride: [usize; 2],
    /// Zeros before and after.
    pub padding: [(usize, usize); 2],
    /// Distance of taps, at least 1.
    pub dilation: [usize; 2],
    /// Number of groups; divides both channel counts.
    pub groups: usize,
}

/// Sizes of one convolution: `[n, c, h, w]` with `[o, c / groups, kh, kw]` gives `[n, o, oh, ow]`.
#[derive(Debug, Clone, Copy)]
pub struct Dims {
    /// Images.
    pub n: usize,
    /// Input channels.
    pub c: usize,
    /// Rows of an input plane.
    pub h: usize,
    /// Columns of an input plane.
    pub w: usize,
    /// Output channels.
    pub o: usize,
    /// Rows of the kernel.
    pub kh: usize,
    /// Columns of the kernel.
    pub kw: usize,
    /// How it moves.
    pub geometry: Geometry,
    /// Elements from one output channel's kernels to the next one's, where the weights are the first channels of larger
    /// ones; none where they lie side by side.
    pub weight_row: Option<usize>,
}

/// Gradients of `x` and `w`, each where wanted; see [`input_grad`] and [`weight_grad`].
///
/// # Panics
/// [`Dims::check`] refuses the sizes, or a slice is shorter than they say.
pub fn backward(x: &[f32], w: &[f32], dy: &[f32], d: &Dims, wanted: [bool; 2]) -> [Option<Vec<f32>>; 2] {
    assert_eq!(d.check(), Ok(()), "{d:?}");
    if depthwise::fits(d) {
        assert!(x.len() >= d.input_len() && d.has_weights(w) && dy.len() >= d.output_len());
        return depthwise::backward(x, w, dy, d, wanted);
    }
    let dw = wanted[1].then(|| weight_grad(x, dy, d));
    [wanted[0].then(|| input_grad(w, dy, d)), dw]
}

/// Elements that a tensor has at most. What kernels lay out beside their operands is larger by some small factor, so
/// that it can be counted as well.
const MOST: usize = isize::MAX as usize >> 8;

/// The product of sizes, if nothing of it exceeds [`MOST`].
fn count(sizes: &[usize]) -> Option<usize> {
    let all = sizes.iter().try_fold(1usize, |all, &size| all.checked_mul(size.max(1)));
    all.filter(|&all| all <= MOST)
}

impl Dims {
    /// Whether these are sizes of a convolution, and all counts of elements that follow from them can be counted in
    /// memory. Images and channels may be none: sums of nothing are 0.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        const LARGE: Result<(), &str> = Err("there are more elements than memory can have");
        let Geometry { stride, padding, dilation, groups } = self.geometry;
        if [self.kh, self.kw].contains(&0) || stride.contains(&0) || dilation.contains(&0) {
            return Err("kernel, stride and dilation must be at least 1");
        }
        if groups == 0 || !self.c.is_multiple_of(groups) || !self.o.is_multiple_of(groups) {
            return Err("the groups do not divide the channels");
        }
        for (axis, (size, k)) in [(self.h, self.kh), (self.w, self.kw)].into_iter().enumerate() {
            let (before, after) = padding[axis];
            let padded = size.checked_add(before).and_then(|size| size.checked_add(after));
            let reach = dilation[axis].checked_mul(k - 1).and_then(|reach| reach.checked_add(1));
            match (padded, reach) {
                (Some(padded), Some(reach)) if padded.max(stride[axis]) <= MOST => {
                    if reach > padded {
                        return Err("the kernel is larger than the padded image");
                    }
                }
                _ => return LARGE,
            }
        }
        let (oh, ow) = self.output();
        let cg = self.c / groups;
        let kernel = [cg, self.kh, self.kw];
        let row = self.weight_row.map_or_else(|| count(&kernel), |row| count(&[row]));
        let counts = [
            // Strided planes are laid out once a tap at most.
            count(&[self.n, self.c, self.h, self.w, self.kh, self.kw]),
            count(&[self.n, self.o, oh, ow]),
            count(&kernel),
            row.and_then(|row| count(&[self.o, row])),
        ];
        if counts.contains(&None) { LARGE } else { Ok(()) }
    }

    /// Rows and columns of an output plane.
    pub fn output(&self) -> (usize, usize) {
        let along = |size: usize, k: usize, i: usize| {
            let (before, after) = self.geometry.padding[i];
            let reach = self.geometry.dilation[i].saturating_mul(k.max(1) - 1).saturating_add(1);
            let room = size.saturating_add(before).saturating_add(after).saturating_sub(reach);
            (room / self.geometry.stride[i].max(1)).saturating_add(1)
        };
        (along(self.h, self.kh, 0), along(self.w, self.kw, 1))
    }

    /// Input and output channels of a group.
    fn group(&self) -> (usize, usize) {
        let groups = self.geometry.groups.max(1);
        (self.c / groups, self.o / groups)
    }

    fn input_len(&self) -> usize {
        self.n * self.c * self.h * self.w
    }

    fn output_len(&self) -> usize {
        let (oh, ow) = self.output();
        self.n * self.o * oh * ow
    }

    /// Elements of a weight gradient.
    fn weight_len(&self) -> usize {
        self.o * self.group().0 * self.kh * self.kw
    }

    /// Elements from one output channel's kernels to the next one's.
    fn weight_row(&self) -> usize {
        self.weight_row.unwrap_or(self.group().0 * self.kh * self.kw)
    }

    /// Whether `w` has all kernels.
    fn has_weights(&self, w: &[f32]) -> bool {
        let row = self.group().0 * self.kh * self.kw;
        let last = self.o.checked_sub(1).map_or(0, |o| o * self.weight_row() + row);
        self.weight_row() >= row && w.len() >= last
    }
}
