//! Operators against PyTorch: outputs and gradients. Made by `tools/golden/operators.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use occam::engine::{Bound, Device, Executor, Mode, Request, Tensor};
use occam::graph::ops::{
    Activation, AdaptivePad, Binary, ExpandBatch, LayerNorm, MatMul, Scale, Softmax, Transpose, Unflatten,
};
use occam::graph::{Builder, Fact, Op};
use occam_testing::{Golden, assert_close, fill, values};

fn operator(case: &str) -> Op {
    match case {
        "leaky_relu" => Activation::LeakyRelu { slope: 0.1 }.into(),
        "elu" => Activation::Elu { alpha: 0.7 }.into(),
        "sigmoid" => Activation::Sigmoid.into(),
        "tanh" => Activation::Tanh.into(),
        "hard_sigmoid" => Activation::HardSigmoid { bias: 3.0, divisor: 6.0, min: 0.0, max: 1.0 }.into(),
        "hard_sigmoid_wide" => {
            Activation::HardSigmoid { bias: 1.0, divisor: 2.0, min: -0.5, max: 1.5 }.into()
        }
        "hard_swish" => Activation::HardSwish.into(),
        "silu" => Activation::Silu.into(),
        "gelu" => Activation::Gelu { tanh: false }.into(),
        "gelu_tanh" => Activation::Gelu { tanh: true }.into(),
        "mul_planes" => Binary::Mul.into(),
        "layer_norm" => LayerNorm { eps: 1e-6 }.into(),
        "mat_mul" => MatMul { transpose_b: false }.into(),
        "mat_mul_transposed" => MatMul { transpose_b: true }.into(),
        "softmax" => Softmax { axis: 3 }.into(),
        "softmax_middle" => Softmax { axis: 2 }.into(),
        "scale" => Scale { factor: 0.3 }.into(),
        "transpose" => Transpose { perm: vec![0, 2, 3, 1] }.into(),
        "unflatten" => Unflatten { axis: 2, sizes: vec![4, 2] }.into(),
        "expand_batch" => ExpandBatch.into(),
        "adaptive_pad" => {
            AdaptivePad { kernel: [3, 5], stride: [2, 2], dilation: [2, 1], corner: false }.into()
        }
        "adaptive_pad_corner" => {
            AdaptivePad { kernel: [4, 4], stride: [4, 4], dilation: [1, 1], corner: true }.into()
        }
        other => panic!("no operator for {other}"),
    }
}

#[test]
fn operators_are_pytorchs() {
    let golden = Golden::load("operators");
    for (case, inputs) in golden.json("cases").as_object().unwrap() {
        let mut b = Builder::new();
        let (mut ids, mut leaves) = (Vec::new(), Vec::new());
        for input in inputs.as_array().unwrap() {
            let name = input[0].as_str().unwrap();
            let shape: Vec<usize> =
                input[1].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
            let array = fill(
                &format!("{case}.{name}"),
                &shape,
                input[2].as_f64().unwrap(),
                input[3].as_f64().unwrap(),
            );
            ids.push(b.input(name, Fact::f32(shape)).unwrap());
            let leaf = Tensor::from_array(&array, &Device::cpu()).unwrap().require_grad();
            leaves.push((name, leaf));
        }
        let y = b.op("node", operator(case), &ids).unwrap();
        b.output("output", y).unwrap();
        let executor = Executor::new(Arc::new(b.finish().unwrap())).unwrap();
        let tensors: Vec<Tensor> = leaves.iter().map(|(_, leaf)| leaf.clone()).collect();
        let out = executor.run(&Bound::default(), &tensors, &Request::new(Mode::Train)).unwrap();
        let output = &out.outputs[0];
        let wanted = golden.get(&format!("{case}.output"));
        assert_eq!(output.shape(), wanted.shape(), "{case}");
        assert_close(case, &values(&output.to_array().unwrap()), &values(wanted), 1e-6);
        let upstream = fill(&format!("{case}.upstream"), wanted.shape(), -1.0, 1.0);
        let upstream = Tensor::from_array(&upstream, &Device::cpu()).unwrap();
        let mut grads = output.mul(&upstream).unwrap().sum().unwrap().backward().unwrap();
        for (name, leaf) in &leaves {
            let wanted = golden.values(&format!("{case}.grad.{name}"));
            let found =
                grads.take(leaf).map_or_else(|| vec![0.0; leaf.len()], |g| values(&g.to_array().unwrap()));
            assert_close(&format!("{case}.{name}"), &found, &wanted, 2e-6);
        }
    }
}
