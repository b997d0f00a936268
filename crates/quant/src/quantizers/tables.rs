//! What each of the original's backends rounds, as tables.

use occam_graph::Op;

use crate::backends::kind;

/// What a backend rounds, by the patterns of its operators.
///
/// Convolutions and linear layers, with the batch normalization and the ReLU after them, read and give rounded values
/// everywhere. Operators are called as in ONNX: `Add`, `MaxPool`, `Clip` for ReLU6.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Sums and products of two computed values, with the ReLU after them, and products of matrices read and give rounded
    /// values.
    pub arithmetic: bool,
    /// Operators of one input that read rounded values and give values with a grid of their own.
    pub own: Vec<&'static str>,
    /// Operators that hand elements on: what they give has the grid of what they read.
    pub passes: Vec<&'static str>,
    /// Operators whose results have the same grid whatever the data.
    pub fixed: Vec<&'static str>,
    /// Operators before which nothing is rounded.
    pub plain_before: Vec<&'static str>,
    /// Operators after which nothing is rounded.
    pub plain_after: Vec<&'static str>,
    /// Whether what the model gives stays as it is.
    pub plain_outputs: bool,
    /// Whether biases become integers in a file.
    pub integer_bias: bool,
    /// Whether files have OpenVINO's `FakeQuantize` instead of integers.
    pub fake_quantize: bool,
}

/// What hands elements on: pooling (a mean of integers is within their range), shapes, ReLU.
const PASSES: &[&str] = &[
    IDENTITY,
    "AveragePool",
    "ExpandBatch",
    "Flatten",
    "GlobalAveragePool",
    "MaxPool",
    "Relu",
    "Reshape",
    "Resize",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Modules that do nothing, which graphs know only as calls whose result is their argument.
pub const IDENTITY: &str = "Identity";

impl Table {
    fn layers(name: &'static str) -> Self {
        Self {
            name,
            arithmetic: false,
            own: Vec::new(),
            passes: Vec::new(),
            fixed: Vec::new(),
            plain_before: Vec::new(),
            plain_after: Vec::new(),
            plain_outputs: false,
            integer_bias: false,
            fake_quantize: false,
        }
    }

    /// PyTorch's own: layers, arithmetic, activations, normalizations and all that hands elements on.
    pub fn native() -> Self {
        Self {
            arithmetic: true,
            own: vec!["Elu", "LeakyRelu", "HardSwish", "BatchNorm", "LayerNorm", "Dropout"],
            passes: [PASSES, &["Concat"]].concat(),
            fixed: vec!["Sigmoid", "HardSigmoid", "Tanh", "Softmax"],
            ..Self::layers("native")
        }
    }

    /// OpenVINO: layers, arithmetic and all that hands elements on; nothing twice around ReLU6 and max pooling.
    pub fn openvino() -> Self {
        Self {
            arithmetic: true,
            passes: [PASSES, &["Concat"]].concat(),
            plain_before: vec!["Clip", IDENTITY],
            plain_after: vec!["MaxPool"],
            plain_outputs: true,
            ..Self::layers("openvino")
        }
    }

    /// TensorRT: layers alone.
    pub fn tensorrt() -> Self {
        Self {
            plain_before: vec!["Clip", IDENTITY],
            plain_after: vec!["MaxPool"],
            plain_outputs: true,
            ..Self::layers("tensorrt")
        }
    }

    /// ONNX Runtime: layers, arithmetic and all that hands elements on, which it computes with integers between layers.
    pub fn onnxruntime() -> Self {
        Self {
            arithmetic: true,
            passes: PASSES.to_vec(),
            own: vec!["Concat"],
            plain_before: vec!["Clip"],
            plain_outputs: true,
            integer_bias: true,
            ..Self::layers("onnxruntime")
        }
    }

    /// Research: layers alone, and everything that they read and give.
    pub fn academic() -> Self {
        Self::layers("academic")
    }
}

/// Whether an operator multiplies by a weight.
pub(super) fn is_layer(op: &Op) -> bool {
    matches!(op, Op::Conv(_) | Op::Linear(_))
}

/// The operator's name in tables that a PyTorch class, function or method stands for; none for an unknown one.
pub(super) fn torch_kind(name: &str) -> Option<&'static str> {
    let last = name.rsplit('.').next().unwrap_or(name);
    Some(match last {
        "Conv1d" | "Conv2d" | "Conv3d" | "conv2d" => "Conv",
        "Linear" | "linear" => "Linear",
        "BatchNorm1d" | "BatchNorm2d" | "BatchNorm3d" => "BatchNorm",
        "LayerNorm" => "LayerNorm",
        "ReLU" | "relu" | "relu_" => "Relu",
        "ReLU6" | "relu6" | "Hardtanh" | "clamp" => "Clip",
        "LeakyReLU" | "leaky_relu" => "LeakyRelu",
        "ELU" | "elu" => "Elu",
        "Hardswish" | "hardswish" | "HSwish" => "HardSwish",
        "Hardsigmoid" | "hardsigmoid" | "HSigmoid" => "HardSigmoid",
        "Sigmoid" | "sigmoid" => "Sigmoid",
        "Tanh" | "tanh" => "Tanh",
        "Softmax" | "softmax" => "Softmax",
        "SiLU" | "silu" | "Swish" => "Silu",
        "GELU" | "gelu" => "Gelu",
        "MaxPool2d" | "max_pool2d" => "MaxPool",
        "AvgPool2d" | "avg_pool2d" => "AveragePool",
        "AdaptiveAvgPool2d" | "adaptive_avg_pool2d" | "mean" => "GlobalAveragePool",
        "Dropout" | "dropout" => "Dropout",
        "Identity" => IDENTITY,
        "Flatten" | "flatten" => "Flatten",
        "reshape" | "view" => "Reshape",
        "add" | "iadd" => "Add",
        "mul" | "imul" => "Mul",
        "cat" | "concat" => "Concat",
        "matmul" => "MatMul",
        "permute" | "transpose" => "Transpose",
        _ => return None,
    })
}

/// The name of an operator in tables.
pub(super) fn name(op: &Op) -> &str {
    kind(op)
}
