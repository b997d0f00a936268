//! Evaluation of operators, one group a file, as in `occam_graph::onnx`.

mod activation;
mod arg;
mod binary;
mod cast;
mod control;
mod conv;
mod cumulative;
mod det;
mod detection;
mod dropout;
mod einsum;
mod gather;
mod generate;
mod grid;
mod layout;
mod local_norm;
mod loss;
mod matmul;
mod norm;
mod pad;
mod pool;
mod quantize;
mod rearrange;
mod recurrent;
mod reduce;
mod resize;
mod scatter;
mod select;
mod shape;
mod softmax;
mod taper;
mod top;
mod unary;
mod variadic;

use occam_graph::onnx::Onnx;
use occam_graph::{Array, DType};

use crate::error::refuse;
use crate::{Error, Result};

/// Evaluates one operator.
pub(crate) struct Eval {
    /// Name of the operator.
    pub name: &'static str,
    /// Results by ONNX output; those that are not wanted may be left out at the end.
    pub run: fn(&Operands<'_>) -> Result<Vec<Array>>,
}

impl Eval {
    pub const fn new(name: &'static str, run: fn(&Operands<'_>) -> Result<Vec<Array>>) -> Self {
        Self { name, run }
    }
}

/// All groups of operators.
const TABLES: &[&[Eval]] = &[
    activation::TABLE,
    arg::TABLE,
    binary::TABLE,
    cast::TABLE,
    control::TABLE,
    conv::TABLE,
    cumulative::TABLE,
    det::TABLE,
    detection::TABLE,
    dropout::TABLE,
    einsum::TABLE,
    gather::TABLE,
    generate::TABLE,
    grid::TABLE,
    layout::TABLE,
    local_norm::TABLE,
    loss::TABLE,
    matmul::TABLE,
    norm::TABLE,
    pad::TABLE,
    pool::TABLE,
    quantize::TABLE,
    rearrange::TABLE,
    recurrent::TABLE,
    reduce::TABLE,
    resize::TABLE,
    scatter::TABLE,
    select::TABLE,
    shape::TABLE,
    softmax::TABLE,
    taper::TABLE,
    top::TABLE,
    unary::TABLE,
    variadic::TABLE,
];

/// An operator with its operands.
pub(crate) struct Operands<'a> {
    pub op: &'a Onnx,
    /// By ONNX input.
    pub inputs: Vec<Option<Array>>,
}

impl Operands<'_> {
    /// An optional operand.
    pub fn get(&self, index: usize) -> Option<&Array> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    /// An operand.
    pub fn array(&self, index: usize) -> Result<&Array> {
        self.get(index).ok_or_else(|| Error::Op(format!("input {index} is missing")))
    }

    /// An operand's elements as integers, whatever integer type they are of.
    pub fn ints(&self, index: usize) -> Result<Option<Vec<i64>>> {
        self.get(index).map(crate::numbers::to_i64).transpose()
    }

    /// Integers that are attribute `name` in older operator sets and operand `index` in newer ones.
    pub fn ints_of(&self, name: &str, index: usize) -> Result<Option<Vec<i64>>> {
        match self.op.ints(name)? {
            Some(ints) => Ok(Some(ints.to_vec())),
            None => self.ints(index),
        }
    }

    /// An operand's only element as an integer.
    pub fn int(&self, index: usize) -> Result<Option<i64>> {
        match self.ints(index)?.as_deref() {
            None => Ok(None),
            Some([n]) => Ok(Some(*n)),
            Some(v) => refuse(format!("input {index} must have one element, found {}", v.len())),
        }
    }

    /// An operand's element type.
    pub fn dtype(&self, index: usize) -> Result<DType> {
        Ok(self.array(index)?.dtype())
    }
}

fn find(op: &Onnx) -> Option<&'static Eval> {
    let own = op.domain.is_empty() || op.domain == "ai.onnx";
    TABLES.iter().flat_map(|t| t.iter()).find(|e| own && e.name == op.op_type)
}

/// Whether an operator can be evaluated.
pub fn knows(op: &Onnx) -> bool {
    find(op).is_some()
}

/// The wanted results of an operator, given its operands in a node's order (those that are absent left out).
///
/// # Errors
/// The operator is not known, or refuses its operands.
pub fn evaluate(op: &Onnx, inputs: &[Array]) -> Result<Vec<Array>> {
    let Some(eval) = find(op) else {
        return refuse(format!("operator {} is not supported", op.op_type));
    };
    let operands = Operands { op, inputs: op.slots(inputs.iter().cloned()) };
    Ok(op.wanted((eval.run)(&operands)?)?)
}
