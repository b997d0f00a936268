//! The ONNX form of every operator family, under the file name that the family has in `occam-graph`.
//!
//! The match in [`form`] has no default: a family without an ONNX form does not compile.

mod activation;
mod adaptive_pad;
mod batch_norm;
mod binary;
mod channel_shuffle;
mod concat;
mod conv;
mod dropout;
mod expand_batch;
mod fake_quant;
mod flatten;
mod gem_pool;
mod global_avg_pool;
mod layer_norm;
mod linear;
mod mat_mul;
mod norm_scale;
mod onnx;
mod pool;
mod scale;
mod slice;
mod softmax;
mod transpose;
mod unflatten;

use occam_graph::Op;

use super::site::Site;
use crate::Result;

/// A family that ONNX can say.
pub(super) trait OnnxForm {
    /// Writes one node of the family.
    fn write(&self, at: &mut Site<'_>) -> Result<()>;
}

/// The ONNX form of an operator.
pub(super) fn form(op: &Op) -> &dyn OnnxForm {
    match op {
        Op::Activation(op) => op,
        Op::AdaptivePad(op) => op,
        Op::BatchNorm(op) => op,
        Op::Binary(op) => op,
        Op::ChannelShuffle(op) => op,
        Op::Concat(op) => op,
        Op::Conv(op) => op,
        Op::Dropout(op) => op,
        Op::ExpandBatch(op) => op,
        Op::FakeQuant(op) => op,
        Op::Flatten(op) => op,
        Op::GemPool(op) => op,
        Op::GlobalAvgPool(op) => op,
        Op::LayerNorm(op) => op,
        Op::Linear(op) => op,
        Op::MatMul(op) => op,
        Op::NormScale(op) => op,
        Op::Onnx(op) => op,
        Op::Pool(op) => op,
        Op::Scale(op) => op,
        Op::Slice(op) => op,
        Op::Softmax(op) => op,
        Op::Transpose(op) => op,
        Op::Unflatten(op) => op,
    }
}
