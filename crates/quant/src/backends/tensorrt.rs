//! TensorRT's explicit quantization: signed integers symmetric around 0, without zero points.

use super::{Backend, Use};
use crate::QScheme;

/// Signed symmetric activations and weights; sums are computed in floats between layers, and only their rounded side
/// branches are given grids.
pub(super) const BACKEND: Backend = Backend {
    name: "tensorrt",
    activations: QScheme {
        qdtype: crate::QDtype::Qint8,
        bit: 8,
        is_symmetry: true,
        is_symmetric_range: false,
        ch_axis: None,
        group: None,
    },
    weight_bits: 8,
    bits: &[4, 8],
    table: &[
        ("Conv", Use::OpenLayer),
        ("Linear", Use::OpenLayer),
        ("MatMul", Use::OpenLayer),
        ("ConvTranspose", Use::OpenLayer),
        ("Add", Use::Integer),
        ("AveragePool", Use::Integer),
        ("GlobalAveragePool", Use::Integer),
        ("MaxPool", Use::Passes),
        ("Flatten", Use::Passes),
        ("Reshape", Use::Passes),
        ("Transpose", Use::Passes),
        ("Identity", Use::Passes),
    ],
    fused: &["Relu", "Clip"],
    integer_bias: false,
    products: true,
};
