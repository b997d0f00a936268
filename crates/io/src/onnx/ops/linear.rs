//! `Gemm`, or `Transpose`, `MatMul` and `Add` where the input has not two axes.

use occam_graph::ops::Linear;

use super::OnnxForm;
use crate::Result;
use crate::onnx::proto::AttributeProto;
use crate::onnx::site::{Site, flag};

impl OnnxForm for Linear {
    /// The weight stays `[O, I]`, as in the state dict; runtimes transpose it once, when they load the model.
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let (x, fact) = at.input(0)?;
        // Before version 11 a `Gemm` had to have a bias.
        if fact.rank() == 2 && (at.inputs.len() == 3 || at.opset() >= 11) {
            at.whole("Gemm", [flag("transB", true)]);
            return Ok(());
        }
        let x = x.to_owned();
        let weight = at.input(1)?.0.to_owned();
        let perm = AttributeProto::ints("perm", [1, 0]);
        let weight = at.before("transpose", "Transpose", &[&weight], [perm]);
        match at.inputs.get(2).copied() {
            None => at.last("MatMul", &[&x, &weight], []),
            Some(bias) => {
                let product = at.before("matmul", "MatMul", &[&x, &weight], []);
                at.last("Add", &[&product, bias], []);
            }
        }
        Ok(())
    }
}
