//! Operators as ONNX defines them, one group a file: those through which gradients pass, by operations of tensors.
//!
//! Everything else, and what a group leaves out, is computed by the interpreter on the processor. That has no gradient: an
//! operator whose gradient is zero or has no meaning by its nature ([`CUT`], and all whose results are no floats) ends
//! the tape, any other refuses to be learned through.

mod binary;
mod conv;
mod einsum;
mod gather;
mod layout;
mod matmul;
mod norm;
mod pad;
mod pool;
mod quantize;
mod reduce;
mod resize;
mod softmax;
mod unary;

use occam_graph::onnx::Onnx;
use occam_graph::{Array, Content, Data, Fact};

use crate::error::refuse;
use crate::executor::held;
use crate::{Device, Error, Operand, Result, Tensor};

/// Computes an operator by tensors: results by ONNX output, none where it cannot with these options.
type Run = fn(&Call<'_>) -> Result<Option<Vec<Operand>>>;

/// Groups of operators by name.
const TABLES: &[&[(&str, Run)]] = &[
    binary::TABLE,
    conv::TABLE,
    einsum::TABLE,
    gather::TABLE,
    layout::TABLE,
    matmul::TABLE,
    norm::TABLE,
    pad::TABLE,
    pool::TABLE,
    quantize::TABLE,
    reduce::TABLE,
    resize::TABLE,
    softmax::TABLE,
    unary::TABLE,
];

/// Operators with floats as results whose gradient is zero.
const CUT: &[&str] = &["Ceil", "EyeLike", "Floor", "OneHot", "Round", "Sign"];

/// Operators whose results are no floats, or do not depend on the elements of their operands.
const NO_FLOATS: &[&str] = &[
    "And",
    "ArgMax",
    "ArgMin",
    "ConstantOfShape",
    "DynamicQuantizeLinear",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "NonMaxSuppression",
    "NonZero",
    "Not",
    "Or",
    "Shape",
    "Size",
    "Xor",
];

/// Operators whose results may be much larger than their operands.
const GROWS: &[&str] = &["Expand", "Pad", "Resize", "Tile", "Upsample"];

/// An operator with its operands.
pub(super) struct Call<'a> {
    pub op: &'a Onnx,
    pub device: &'a Device,
    /// By ONNX input.
    inputs: Vec<Option<&'a Operand>>,
}

impl Call<'_> {
    /// An optional operand.
    pub fn operand(&self, index: usize) -> Option<&Operand> {
        self.inputs.get(index).copied().flatten()
    }

    /// How many operands there are.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// An optional operand as floats.
    pub fn get(&self, index: usize) -> Result<Option<Tensor>> {
        match self.operand(index) {
            None => Ok(None),
            Some(operand) if held(operand.dtype()?) => Ok(Some(operand.to_tensor(self.device)?)),
            Some(operand) => refuse("operands", format!("floats wanted, found {operand:?}")),
        }
    }

    /// An operand as floats.
    pub fn tensor(&self, index: usize) -> Result<Tensor> {
        match self.get(index)? {
            Some(tensor) => Ok(tensor),
            None => refuse("operands", format!("input {index} is missing")),
        }
    }

    /// An optional operand in host memory.
    pub fn array(&self, index: usize) -> Result<Option<Array>> {
        self.operand(index).map(Operand::to_array).transpose()
    }

    /// An optional operand's elements as integers.
    pub fn ints(&self, index: usize) -> Result<Option<Vec<i64>>> {
        let Some(array) = self.array(index)? else { return Ok(None) };
        match array.into_data() {
            Data::I64(v) => Ok(Some(v)),
            Data::I32(v) => Ok(Some(v.into_iter().map(i64::from).collect())),
            other => refuse("operands", format!("input {index}: integers wanted, found {}", other.dtype())),
        }
    }

    /// Integers that are attribute `name` in older operator sets and operand `index` in newer ones.
    pub fn ints_of(&self, name: &str, index: usize) -> Result<Option<Vec<i64>>> {
        match self.op.ints(name)? {
            Some(v) => Ok(Some(v.to_vec())),
            None => self.ints(index),
        }
    }

    /// An optional operand's elements as floats in host memory; an absent one may be given as an empty one.
    pub fn floats(&self, index: usize) -> Result<Option<Vec<f64>>> {
        let Some(array) = self.array(index)?.filter(|a| !a.is_empty()) else { return Ok(None) };
        match array.into_data() {
            Data::F32(v) => Ok(Some(v.into_iter().map(f64::from).collect())),
            Data::F64(v) => Ok(Some(v)),
            other => refuse("operands", format!("input {index}: floats wanted, found {}", other.dtype())),
        }
    }

    /// A float attribute, or its default.
    pub fn float(&self, name: &str, default: f32) -> Result<f64> {
        Ok(self.op.float(name)?.unwrap_or(default).into())
    }

    /// A list of counts, or `default` of each axis.
    pub fn sizes(&self, name: &str, rank: usize, default: usize) -> Result<Vec<usize>> {
        let Some(ints) = self.op.ints(name)? else { return Ok(vec![default; rank]) };
        ints.iter()
            .map(|&n| {
                usize::try_from(n).or_else(|_| refuse("attribute", format!("`{name}` must not be negative")))
            })
            .collect()
    }
}

/// `axis` counted from the end where it is negative.
fn axis_of(axis: i64, rank: usize) -> Result<usize> {
    Ok(occam_graph::onnx::axis_of(axis, rank)?)
}

/// One result.
fn one(tensor: Tensor) -> Result<Option<Vec<Operand>>> {
    Ok(Some(vec![Operand::Tensor(tensor)]))
}

/// `tensor` with axes of size 1 before its own, up to `rank`.
fn raised(tensor: &Tensor, rank: usize) -> Result<Tensor> {
    match rank.checked_sub(tensor.rank()) {
        None | Some(0) => Ok(tensor.clone()),
        Some(more) => {
            let mut shape = vec![1; more];
            shape.extend(tensor.shape());
            tensor.reshape(&shape)
        }
    }
}

/// Two tensors of equal rank.
fn together(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    let rank = a.rank().max(b.rank());
    Ok((raised(a, rank)?, raised(b, rank)?))
}

/// The wanted results of an operator, given its operands in the node's order.
///
/// # Errors
/// It refuses its operands, or a gradient would have to pass and there is none.
pub(crate) fn eval(op: &Onnx, inputs: &[Operand], device: &Device) -> Result<Vec<Operand>> {
    let own = op.domain.is_empty() || op.domain == "ai.onnx";
    if let ("Shape", true, Some(x)) = (op.op_type.as_str(), own, inputs.first()) {
        return shape(op, x);
    }
    if own && GROWS.contains(&op.op_type.as_str()) {
        occam_interp::check_room(op, &known(inputs)?)?;
    }
    let tracked = inputs.iter().any(Operand::is_tracked);
    // Backends do not compute with nothing.
    if !tracked && inputs.iter().any(|o| o.shape().contains(&0)) {
        return interpret(op, inputs, device);
    }
    let run = TABLES.iter().flat_map(|t| t.iter()).find(|(name, _)| own && *name == op.op_type);
    if let Some((_, run)) = run
        && inputs.iter().any(|o| matches!(o, Operand::Tensor(_)))
    {
        let call = Call { op, device, inputs: op.slots(inputs.iter()) };
        match run(&call) {
            Ok(Some(results)) if op.outputs.iter().rposition(|&w| w).is_none_or(|i| i < results.len()) => {
                return Ok(op.wanted(results)?);
            }
            // What operations of tensors refuse, the interpreter may know, or it says better what is wrong.
            Err(e) if tracked => return Err(e),
            _ => {}
        }
    }
    let cut = own && (CUT.contains(&op.op_type.as_str()) || NO_FLOATS.contains(&op.op_type.as_str()));
    if tracked && !cut {
        let more = if run.is_some() { " with these options" } else { "" };
        return refuse("gradient", format!("operator {} has no gradient{more}", op.op_type));
    }
    interpret(op, inputs, device)
}

/// What is known of operands before the operator is computed.
fn known(inputs: &[Operand]) -> Result<Vec<(Fact, Option<Content>)>> {
    let one = |o: &Operand| {
        let content = match o {
            Operand::Array(a) => Some(Content::Array(a.clone())),
            Operand::Tensor(_) => None,
        };
        Ok((Fact::new(o.dtype()?, o.shape()), content))
    };
    inputs.iter().map(one).collect()
}

/// By the interpreter.
fn interpret(op: &Onnx, inputs: &[Operand], device: &Device) -> Result<Vec<Operand>> {
    let arrays = inputs.iter().map(Operand::to_array).collect::<Result<Vec<_>>>()?;
    let results = occam_interp::evaluate(op, &arrays)?;
    results.into_iter().map(|a| Operand::of(a, device)).collect()
}

/// The sizes of `x` without a look at its elements.
fn shape(op: &Onnx, x: &Operand) -> Result<Vec<Operand>> {
    let shape = x.shape();
    let rank = shape.len() as i64;
    let place =
        |n: i64| usize::try_from(if n < 0 { n.saturating_add(rank) } else { n }.clamp(0, rank)).unwrap_or(0);
    let start = place(op.int("start")?.unwrap_or(0));
    let end = place(op.int("end")?.unwrap_or(rank));
    let sizes: Vec<i64> = shape.get(start..end).unwrap_or_default().iter().map(|&d| d as i64).collect();
    let array = Array::from_i64([sizes.len()], sizes).map_err(Error::from)?;
    Ok(vec![Operand::Array(array)])
}
