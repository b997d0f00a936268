//! Operators as ONNX defines them, by the interpreter, on the processor.

use occam_graph::onnx::Onnx;

use crate::error::refuse;
use crate::{Device, Result, Tensor};

/// Results of an operator that has no gradient here.
///
/// # Errors
/// A gradient would have to pass through it, or it refuses its operands.
pub(super) fn eval(op: &Onnx, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    if inputs.iter().any(Tensor::is_tracked) {
        return refuse("gradient", format!("operator {} has no gradient", op.op_type));
    }
    let device = inputs.first().map_or_else(Device::cpu, Tensor::device);
    let arrays = inputs.iter().map(Tensor::to_array).collect::<Result<Vec<_>>>()?;
    let results = occam_interp::evaluate(op, &arrays)?;
    results.iter().map(|a| Tensor::from_array(a, &device)).collect()
}
