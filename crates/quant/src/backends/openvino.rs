//! OpenVINO: it reads pairs of QuantizeLinear and DequantizeLinear as its FakeQuantize, and moves them through what only
//! moves elements by itself.

use super::{Backend, Use};
use crate::QScheme;

/// Unsigned activations with a zero point, signed weights.
pub(super) const BACKEND: Backend = Backend {
    name: "openvino",
    activations: QScheme {
        qdtype: crate::QDtype::Quint8,
        bit: 8,
        is_symmetry: false,
        is_symmetric_range: false,
        ch_axis: None,
        group: None,
    },
    weight_bits: 8,
    bits: &[4, 7, 8],
    table: &[
        ("Conv", Use::OpenLayer),
        ("Linear", Use::OpenLayer),
        ("MatMul", Use::OpenLayer),
        ("ConvTranspose", Use::OpenLayer),
        ("Add", Use::Integer),
        ("Mul", Use::Integer),
        ("AveragePool", Use::Integer),
        ("GlobalAveragePool", Use::Integer),
        ("Concat", Use::Passes),
        ("MaxPool", Use::Passes),
        ("Flatten", Use::Passes),
        ("Reshape", Use::Passes),
        ("Transpose", Use::Passes),
        ("Squeeze", Use::Passes),
        ("Unsqueeze", Use::Passes),
        ("Slice", Use::Passes),
        ("Split", Use::Passes),
        ("ChannelShuffle", Use::Passes),
        ("Identity", Use::Passes),
    ],
    fused: &["Relu", "Clip"],
    integer_bias: false,
    products: true,
};
