//! Kernels for training and inference on the processor: slices of `f32` in, vectors of `f32` out.
//!
//! Nothing here knows tensors, tapes or graphs; `occam-engine` calls these functions where elements are `f32`.
//! Vectors are as wide as the processor that runs has them (`pulp`), loops are shared by rayon's threads.
//!
//! At a given number of threads every result is the same bit for bit: work is split by index alone, and partial
//! sums are added in index order.

mod arch;
pub mod batch_norm;
pub mod channels;
pub mod conv;
pub mod elementwise;
pub mod fake_quant;
mod memory;
pub mod optim;
pub mod pool;
pub mod softmax;
pub mod summary;
mod tile;
mod vector;

// The reference that tests in here and in `tests/` share names the crate as it is named outside.
#[cfg(test)]
extern crate self as occam_kernels;

/// What follows a sum before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
}

impl Activation {
    /// The range that results are clamped to.
    pub fn range(self) -> (f32, f32) {
        match self {
            Activation::None => (f32::NEG_INFINITY, f32::INFINITY),
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
        }
    }
}
