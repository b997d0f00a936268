//! Mixed precision: which part of a run computes in half of `f32`'s bits.

use std::fmt;

use occam_graph::DType;

/// Element type of convolutions and products of matrices.
///
/// Parameters, their gradients and optimizers are `f32` in all of them; so are normalization, softmax, means and losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// 24 bits of significand: nothing is cast.
    #[default]
    F32,
    /// 8 bits of significand and the range of `f32`.
    Bf16,
    /// 11 bits of significand; numbers beyond 65504 become infinite, those below 6e-8 become 0.
    F16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

impl Precision {
    /// The element type, where it is not `f32`.
    pub(crate) fn low(self) -> Option<DType> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(DType::BF16),
            Self::F16 => Some(DType::F16),
        }
    }
}

/// How a run casts, and by what it scales gradients meanwhile.
///
/// Weights and images are cast where a convolution or a fully connected layer reads them, once a run; operators that only
/// move elements, activations and sums keep the type that comes in, `f32` where types meet; all others, and what the run
/// returns, are `f32`.
///
/// On the way back gradients are multiplied by `loss_scale` where they enter the graph and divided by it where they leave,
/// so that small ones do not vanish in `f16` (Micikevicius et al., 2018, arXiv:1710.03740). Whoever reads them finds them
/// unscaled, in `f32`, and infinite or no number where the scale was too large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Autocast {
    /// What convolutions compute in.
    pub precision: Precision,
    /// Above 0; powers of two change no bit of what does not overflow.
    pub loss_scale: f32,
}

impl Default for Autocast {
    fn default() -> Self {
        Self { precision: Precision::F32, loss_scale: 1.0 }
    }
}
