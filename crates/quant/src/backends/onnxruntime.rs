//! ONNX Runtime on a CPU: its QDQ fusions and the integer kernels behind them.

use super::{Backend, Use};
use crate::QScheme;

/// Unsigned activations with a zero point and signed weights: what its kernels for x86 (VNNI) and ARM are fastest at. A
/// convolution is computed with integers only where its result is rounded, a product of matrices in any case.
pub(super) const BACKEND: Backend = Backend {
    name: "onnxruntime",
    activations: QScheme {
        qdtype: crate::QDtype::Quint8,
        bit: 8,
        is_symmetry: false,
        is_symmetric_range: false,
        ch_axis: None,
        group: None,
    },
    weight_bits: 8,
    bits: &[4, 7, 8, 16],
    table: &[
        ("Conv", Use::Layer),
        ("Linear", Use::OpenLayer),
        ("MatMul", Use::OpenLayer),
        ("Add", Use::Integer),
        ("Mul", Use::Integer),
        ("AveragePool", Use::Integer),
        ("GlobalAveragePool", Use::Integer),
        ("Concat", Use::Integer),
        ("LeakyRelu", Use::Integer),
        ("Sigmoid", Use::Integer),
        ("MaxPool", Use::Passes),
        ("Flatten", Use::Passes),
        ("Reshape", Use::Passes),
        ("Transpose", Use::Passes),
        ("Squeeze", Use::Passes),
        ("Unsqueeze", Use::Passes),
        ("Resize", Use::Passes),
        ("Slice", Use::Passes),
        ("Identity", Use::Passes),
    ],
    fused: &["Relu", "Clip"],
    integer_bias: true,
    products: false,
};
