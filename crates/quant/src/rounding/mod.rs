//! Which way each weight is rounded, chosen so that what layers compute changes least.
//!
//! All work on a graph that holds [`FakeQuant`](occam_graph::ops::FakeQuant) nodes whose grids are set, and write weights that
//! lie on their grids: rounding to nearest then gives what was chosen. Biases can be corrected afterwards, by
//! [`crate::passes`].

mod ada_round;
mod capture;
mod cholesky;
mod gptq;
mod hessian;
mod learn;
mod matrix;
mod quantizer;
mod ranges;
mod reconstruct;
#[cfg(test)]
mod tests;

pub use ada_round::{AdaRound, ada_round};
pub use gptq::{Gptq, GptqLayer, Sparse, Sparsity, gptq, quantize_matrix};
pub use learn::{Rounding, Schedule};
pub use quantizer::{GridRule, Grids};
pub use ranges::{RangeRule, choose_ranges, grid_of};
pub use reconstruct::{Reconstruct, reconstruct_blocks};
