//! Backends: which operators a runtime computes with integers, of which integers, and so where a graph is rounded.
//!
//! A backend is a table. [`Backend::place`] walks the graph with it: layers get their inputs and weights rounded, operators
//! of integers all they read and give, operators that only move elements hand integers on as they are, and everything else
//! stays in floats.

mod onnxruntime;
mod openvino;
mod place;
mod tensorrt;

use occam_graph::ops::{Activation, Binary, PoolKind};
use occam_graph::{NodeId, Op};

pub use place::Placed;

use crate::{Error, QScheme, Result};

/// What a backend does with an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Multiplies what it reads with a weight: both are rounded. What it gives must be rounded as well for it to be computed
    /// with integers.
    Layer,
    /// The same, whatever becomes of what it gives.
    OpenLayer,
    /// Computes integers of integers: used where what it reads is rounded anyway.
    Integer,
    /// Hands elements on: what it gives has the grid of what it reads.
    Passes,
}

/// A runtime, as quantization sees it.
#[derive(Debug)]
pub struct Backend {
    /// Its name, as on the command line.
    pub name: &'static str,
    /// The integers of activations.
    pub activations: QScheme,
    /// Bits of weights, which are signed and symmetric, with a scale for every output channel.
    pub weight_bits: u32,
    /// Which bits of weights and activations it stores.
    pub bits: &'static [u32],
    /// Operators by [`kind`]; what is not listed stays in floats.
    pub table: &'static [(&'static str, Use)],
    /// Activations by [`kind`] that are computed with the layer or operator before them: nothing is rounded between.
    pub fused: &'static [&'static str],
    /// Whether biases become integers of 32 bits, in steps of the input's scale times the weight's.
    pub integer_bias: bool,
    /// Whether products of two computed values are rounded.
    pub products: bool,
}

/// All backends.
pub const ALL: &[&Backend] = &[&onnxruntime::BACKEND, &openvino::BACKEND, &tensorrt::BACKEND];

impl Backend {
    /// The backend of that name.
    pub fn find(name: &str) -> Option<&'static Backend> {
        ALL.iter().find(|b| b.name == name).copied()
    }

    /// Refuses bit widths that the backend cannot store.
    ///
    /// # Errors
    /// A width is not in [`Backend::bits`].
    pub fn check_bits(&self, bits: u32) -> Result<()> {
        if self.bits.contains(&bits) {
            return Ok(());
        }
        Err(Error::Unstorable { backend: self.name, bits, stored: self.bits })
    }

    /// What it does with an operator; none where that stays in floats.
    pub fn how(&self, op: &Op) -> Option<Use> {
        let kind = kind(op);
        self.table.iter().find(|(name, _)| *name == kind).map(|(_, how)| *how)
    }
}

/// The name by which tables know an operator: that of ONNX.
pub fn kind(op: &Op) -> &str {
    match op {
        Op::Activation(Activation::Relu6) => "Clip",
        Op::Activation(a) => occam_graph::ops::OpFamily::name(a),
        Op::Binary(Binary::Add) => "Add",
        Op::Binary(Binary::Mul) => "Mul",
        Op::Pool(pool) if pool.kind == PoolKind::Max => "MaxPool",
        Op::Pool(_) => "AveragePool",
        Op::GlobalAvgPool(_) => "GlobalAveragePool",
        Op::Unflatten(_) => "Reshape",
        Op::Onnx(op) => &op.op_type,
        other => other.family_name(),
    }
}

/// A node that stays in floats though its operator could be computed with integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What one wants otherwise than the backend's table says.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Bits of weights; the backend's where none.
    pub weight_bits: Option<u32>,
    /// Bits of activations; the backend's where none.
    pub activation_bits: Option<u32>,
    /// One scale for a whole weight.
    pub per_tensor: bool,
    /// Activations symmetric around 0.
    pub symmetric: bool,
    /// Names of nodes, with `*`, or kinds of operators that stay in floats.
    pub skip: Vec<String>,
    /// Bits of weights of single layers, by name or pattern; the first that matches counts.
    pub layer_bits: Vec<(String, u32)>,
    /// Nodes that stay in floats, with why.
    pub floats: Vec<(NodeId, String)>,
    /// Weights alone: activations stay floats.
    pub weights_only: bool,
    /// Inputs of a layer that share a scale, in place of all of an output channel; of layers whose inputs are a multiple, and
    /// whose weight is a matrix. For [`Wishes::weights_only`].
    pub group_size: Option<usize>,
}
