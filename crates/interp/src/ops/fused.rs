//! Operators that are several of ONNX's in one.

use occam_graph::Array;
use occam_graph::onnx::MICROSOFT;
use occam_graph::onnx::fused::{Operand, steps};

use super::{Eval, Operands, evaluate};
use crate::error::refuse;
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Gelu", by_steps).of(MICROSOFT),
    Eval::new("BiasGelu", by_steps).of(MICROSOFT),
    Eval::new("FastGelu", by_steps).of(MICROSOFT),
    Eval::new("QuickGelu", by_steps).of(MICROSOFT),
    Eval::new("FusedConv", by_steps).of(MICROSOFT),
    Eval::new("FusedGemm", by_steps).of(MICROSOFT),
    Eval::new("FusedMatMul", by_steps).of(MICROSOFT),
    Eval::new("SkipLayerNormalization", by_steps).of(MICROSOFT),
];

fn by_steps(c: &Operands<'_>) -> Result<Vec<Array>> {
    let Some(written) = steps(c.op, |i| c.get(i).map_or(0, |x| x.shape().len()))? else {
        return refuse("stands for no other operators");
    };
    let missing = || Error::Op("a step gives nothing".into());
    let mut results: Vec<Vec<Array>> = Vec::with_capacity(written.steps.len());
    for step in &written.steps {
        let operands = step
            .operands
            .iter()
            .map(|from| match from {
                Operand::Input(i) => c.array(*i).cloned(),
                Operand::Constant(array) => Ok(array.clone()),
                Operand::Step(i) => results.get(*i).and_then(|r| r.first()).cloned().ok_or_else(missing),
            })
            .collect::<Result<Vec<_>>>()?;
        results.push(evaluate(&step.op, &operands)?);
    }
    let outputs = written.outputs.iter().map(|&(step, i)| results.get(step)?.get(i).cloned());
    outputs.collect::<Option<Vec<_>>>().ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;

    fn microsoft(name: &str, inputs: usize) -> Onnx {
        Onnx { domain: MICROSOFT.into(), ..Onnx::new(name, 1, inputs) }
    }

    fn f(shape: &[usize], v: &[f32]) -> Array {
        Array::from_f32(shape, v.to_vec()).unwrap()
    }

    fn near(op: &Onnx, operands: &[Array], wanted: &[f32]) {
        let found = evaluate(op, operands).unwrap();
        let found = found[0].as_f32().unwrap();
        assert_eq!(found.len(), wanted.len(), "{op:?}");
        for (a, b) in found.iter().zip(wanted) {
            assert!((a - b).abs() < 3e-6, "{op:?}: {found:?}, not {wanted:?}");
        }
    }

    /// What ONNX Runtime 1.32 gives.
    #[test]
    fn activations_are_those_of_onnx_runtime() {
        let (x, b) = (f(&[1, 4], &[-2.0, -0.5, 0.0, 1.5]), f(&[4], &[0.5, -1.0, 2.0, 0.25]));
        let one = std::slice::from_ref(&x);
        let two = [x.clone(), b];
        near(&microsoft("Gelu", 1), one, &[-0.0455, -0.154_269, 0.0, 1.399_789]);
        near(&microsoft("BiasGelu", 2), &two, &[-0.100_211, -0.100_211, 1.9545, 1.679_896]);
        near(&microsoft("FastGelu", 1), one, &[-0.045_402, -0.154_286, 0.0, 1.399_572]);
        near(&microsoft("FastGelu", 2), &two, &[-0.100_428, -0.100_428, 1.954_598, 1.679_795]);
        near(&microsoft("QuickGelu", 1), one, &[-0.064_341, -0.149_612, 0.0, 1.391_662]);
        let steep = microsoft("QuickGelu", 1).with("alpha", Attribute::Float(2.0));
        near(&steep, one, &[-0.035_972, -0.134_471, 0.0, 1.428_861]);
    }

    /// What ONNX Runtime 1.32 gives.
    #[test]
    fn products_are_those_of_onnx_runtime() {
        let a = f(&[1, 2, 3], &[-1.0, -0.5, 0.0, 0.5, 1.0, 1.5]);
        let b = f(&[1, 2, 3], &[-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]);
        let turned = microsoft("FusedMatMul", 2).with("transB", Attribute::Int(1));
        near(&turned.with("alpha", Attribute::Float(0.5)), &[a.clone(), b.clone()], &[1.25, -1.0, -1.0, 3.5]);
        let turned = microsoft("FusedMatMul", 2).with("transA", Attribute::Int(1));
        near(&turned, &[a, b], &[2.5, 2.0, 1.5, 2.0, 2.5, 3.0, 1.5, 3.0, 4.5]);
        let (x, w) = (
            f(&[1, 2, 2, 2], &[-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]),
            f(&[2, 2, 1, 1], &[1.0, -1.0, 0.5, 2.0]),
        );
        let b = f(&[2], &[0.5, -0.5]);
        let conv = |name: &str, params: &[f32]| {
            let op = microsoft("FusedConv", 3).with("activation", Attribute::String(name.into()));
            op.with("activation_params", Attribute::Floats(params.to_vec()))
        };
        let all = [x.clone(), w.clone(), b];
        near(&conv("LeakyRelu", &[0.1]), &all, &[-0.35, -0.35, -0.35, -0.35, -0.25, 0.0, 2.5, 5.0]);
        near(&conv("Clip", &[-1.0, 2.0]), &all, &[-1.0, -1.0, -1.0, -1.0, -1.0, 0.0, 2.0, 2.0]);
        near(&conv("HardSigmoid", &[0.2, 0.5]), &all, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0]);
        let sum = Onnx { inputs: vec![true, true, false, true], ..conv("Relu", &[]) };
        near(&sum, &[x, w, f(&[1, 2, 2, 2], &[1.0; 8])], &[0.0, 0.0, 0.0, 0.0, 0.0, 1.5, 4.0, 6.5]);
        let gemm = microsoft("FusedGemm", 3)
            .with("activation", Attribute::String("LeakyRelu".into()))
            .with("activation_alpha", Attribute::Float(0.1))
            .with("alpha", Attribute::Float(0.5))
            .with("transB", Attribute::Int(1));
        let all =
            [f(&[2, 2], &[1.0, 2.0, -3.0, 0.5]), f(&[2, 2], &[1.0, -1.0, 2.0, 0.0]), f(&[2], &[0.5, -0.5])];
        near(&gemm, &all, &[0.0, 0.5, -0.125, -0.35]);
    }

    /// What ONNX Runtime 1.32 gives.
    #[test]
    fn sums_are_normalized() {
        let x = f(&[2, 1, 4], &[-2.0, -0.5, 0.0, 1.5, 1.5, 0.0, -0.5, -2.0]);
        let skip = f(&[2, 1, 4], &[0.5, -1.0, 2.0, 0.25, 1.0, -2.0, 4.0, 0.5]);
        let all = [
            x,
            skip,
            f(&[4], &[1.0, 2.0, 3.0, 4.0]),
            f(&[4], &[0.1, 0.2, 0.3, 0.4]),
            f(&[4], &[0.5, 0.0, 0.0, 1.0]),
        ];
        let norm = microsoft("SkipLayerNormalization", 5);
        near(
            &norm,
            &all,
            &[-0.749_045, -2.041_478, 2.643_363, 5.154_65, 0.962_662, -2.387_986, 3.534_983, -2.187_986],
        );
        let mut more = norm;
        more.outputs = vec![true, false, false, true];
        let sum = evaluate(&more, &all).unwrap();
        assert_eq!(sum[1].as_f32().unwrap(), [-1.0, -1.5, 2.0, 2.75, 3.0, -2.0, 3.5, -0.5]);
    }
}
