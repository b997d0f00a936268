//! Operators as ONNX defines them: results against the interpreter, gradients against central differences of the
//! interpreter in `f64`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use occam_engine::{Bound, Device, Executor, Mode, Request, Tensor};
use occam_graph::onnx::{Attribute, Onnx};
use occam_graph::{Array, DType, Data, Fact, Graph, Op};
use proptest::prelude::*;

/// Numbers without pattern in [-1, 1).
fn noise(n: usize, seed: u64) -> Vec<f32> {
    (0..n as u64)
        .map(|i| {
            let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z >> 40) as f32 / (1u32 << 24) as f32).mul_add(2.0, -1.0)
        })
        .collect()
}

fn floats(shape: &[usize], seed: u64) -> Array {
    Array::from_f32(shape, noise(shape.iter().product(), seed)).unwrap()
}

/// Between 0.2 and 1.2.
fn positive(shape: &[usize], seed: u64) -> Array {
    let data = noise(shape.iter().product(), seed).into_iter().map(|x| 0.7 + 0.5 * x).collect();
    Array::from_f32(shape, data).unwrap()
}

/// All at least 0.03 apart, never near 0.
fn apart(shape: &[usize], seed: u64) -> Array {
    let n = shape.iter().product();
    let noise = noise(n, seed);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| noise[a].total_cmp(&noise[b]));
    let mut out = vec![0.0; n];
    for (rank, i) in order.into_iter().enumerate() {
        out[i] = (rank as f32 - (n / 2) as f32) * 0.03 + 0.0151;
    }
    Array::from_f32(shape, out).unwrap()
}

fn ints(v: &[i64]) -> Array {
    Array::from_i64([v.len()], v.to_vec()).unwrap()
}

fn op(name: &str, version: i64, inputs: usize) -> Onnx {
    Onnx::new(name, version, inputs)
}

fn list(v: &[i64]) -> Attribute {
    Attribute::Ints(v.to_vec())
}

fn word(s: &str) -> Attribute {
    Attribute::String(s.as_bytes().to_vec())
}

fn int(n: i64) -> Attribute {
    Attribute::Int(n)
}

/// A graph of one node: floats are its inputs, all else is constant.
fn graph(op: &Onnx, args: &[Array]) -> Graph {
    let mut graph = Graph::new();
    let ids: Vec<_> = args
        .iter()
        .enumerate()
        .map(|(i, a)| match a.dtype() {
            DType::F32 => {
                graph.add_input(&format!("x{i}"), Fact::new(DType::F32, a.shape().iter().copied())).unwrap()
            }
            _ => graph.add_const(&format!("c{i}"), a.clone()).unwrap(),
        })
        .collect();
    let outputs = graph.add_node("node", Op::Onnx(op.clone()), &ids).unwrap();
    for (i, v) in outputs.into_iter().enumerate() {
        graph.add_output(&format!("y{i}"), v).unwrap();
    }
    graph
}

fn wide(a: &Array) -> Array {
    match a.data() {
        Data::F32(v) => Array::new(a.shape(), Data::F64(v.iter().map(|&x| f64::from(x)).collect())).unwrap(),
        _ => a.clone(),
    }
}

fn numbers(a: &Array) -> Vec<f64> {
    match a.data() {
        Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
        Data::F64(v) => v.clone(),
        other => panic!("{} are no floats", other.dtype()),
    }
}

/// Checks results to 1e-5 and gradients to 1e-3 of the largest, at up to 40 elements of each operand.
fn check(op: &Onnx, args: &[Array]) {
    let what = format!("{op:?} {args:?}");
    let executor = Executor::new(Arc::new(graph(op, args))).unwrap_or_else(|e| panic!("{what}: {e}"));
    let cpu = Device::cpu();
    let leaves: Vec<Tensor> = args
        .iter()
        .filter(|a| a.dtype() == DType::F32)
        .map(|a| Tensor::from_array(a, &cpu).unwrap().require_grad())
        .collect();
    let out = executor.run(&Bound::new(), &leaves, &Request::new(Mode::Train));
    let out = out.unwrap_or_else(|e| panic!("{what}: {e}")).outputs;
    let wanted = occam_interp::evaluate(op, args).unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut loss = None;
    let mut weights = Vec::new();
    for (i, (y, wanted)) in out.iter().zip(&wanted).enumerate() {
        assert_eq!(y.shape(), wanted.shape(), "{what}");
        if wanted.dtype() != DType::F32 {
            continue;
        }
        for (a, b) in y.to_f32().unwrap().iter().zip(wanted.as_f32().unwrap()) {
            assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{what}: {a}, by the interpreter {b}");
        }
        let up = noise(y.len(), 77 + i as u64);
        let weighted =
            y.mul(&Tensor::from_f32(&y.shape(), up.clone(), &cpu).unwrap()).unwrap().sum().unwrap();
        loss = Some(match loss {
            None => weighted,
            Some(l) => weighted.add(&l).unwrap(),
        });
        weights.push(up);
    }
    let mut grads = loss.unwrap().backward().unwrap_or_else(|e| panic!("{what}: {e}"));
    let value = |args: &[Array]| -> f64 {
        let out = occam_interp::evaluate(op, args).unwrap();
        let floats = out.iter().filter(|a| a.dtype().is_float());
        floats
            .zip(&weights)
            .map(|(y, up)| numbers(y).iter().zip(up).map(|(&y, &u)| y * f64::from(u)).sum::<f64>())
            .sum()
    };
    let args: Vec<Array> = args.iter().map(wide).collect();
    let places: Vec<usize> = (0..args.len()).filter(|&i| args[i].dtype() == DType::F64).collect();
    for (leaf, &k) in leaves.iter().zip(&places) {
        let grad = grads.take(leaf).unwrap_or_else(|| panic!("{what}: operand {k} has no gradient"));
        let grad = grad.to_f32().unwrap();
        let scale = grad.iter().fold(1f64, |m, g| m.max(f64::from(g.abs())));
        for i in (0..grad.len()).step_by(grad.len().div_ceil(40).max(1)) {
            let at = |delta: f64| {
                let mut moved = args.clone();
                let mut data = numbers(&args[k]);
                data[i] += delta;
                moved[k] = Array::new(args[k].shape(), Data::F64(data)).unwrap();
                value(&moved)
            };
            let wanted = (at(1e-4) - at(-1e-4)) / 2e-4;
            let found = f64::from(grad[i]);
            assert!(
                (found - wanted).abs() <= 1e-3 * scale,
                "{what}: operand {k}, element {i}: {found}, by differences {wanted}"
            );
        }
    }
}

#[test]
fn functions_of_one_value() {
    for name in [
        "Abs",
        "Atan",
        "Asinh",
        "Celu",
        "Cos",
        "Cosh",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Mish",
        "Neg",
        "Reciprocal",
        "Relu",
        "Selu",
        "Shrink",
        "Sigmoid",
        "Sin",
        "Sinh",
        "Softplus",
        "Softsign",
        "Swish",
        "Tan",
        "Tanh",
        "ThresholdedRelu",
        "Dropout",
    ] {
        check(&op(name, if name == "Swish" { 24 } else { 21 }, 1), &[apart(&[2, 3, 5], 1)]);
    }
    for name in ["Log", "Sqrt", "Reciprocal", "Asin", "Acos", "Atanh"] {
        let x = Array::from_f32([7], vec![0.1, 0.3, 0.45, 0.6, 0.7, 0.8, 0.9]).unwrap();
        check(&op(name, 21, 1), &[x]);
    }
    check(&op("Acosh", 21, 1), &[Array::from_f32([3], vec![1.5, 2.0, 4.0]).unwrap()]);
    check(&op("Gelu", 21, 1).with("approximate", word("tanh")), &[floats(&[3, 4], 2)]);
    check(&op("Cast", 21, 1).with("to", int(1)), &[floats(&[3, 4], 2)]);
    check(
        &op("Clip", 6, 1).with("min", Attribute::Float(-0.2)).with("max", Attribute::Float(0.31)),
        &[apart(&[4, 9], 3)],
    );
    check(&op("Exp", 13, 1), &[Array::from_f32(Vec::new(), vec![0.5]).unwrap()]);
}

#[test]
fn functions_of_two_values() {
    let shapes: [(&[usize], &[usize]); 6] = [
        (&[2, 3, 4], &[2, 3, 4]),
        (&[2, 3, 4], &[3, 1]),
        (&[4], &[2, 3, 4]),
        (&[1, 3, 1, 2], &[2, 1, 4, 1]),
        (&[2, 3], &[]),
        (&[], &[]),
    ];
    for (i, (a, b)) in shapes.into_iter().enumerate() {
        let seed = i as u64 * 10;
        for name in ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Pow"] {
            check(&op(name, 13, 2), &[positive(a, seed), positive(b, seed + 1)]);
        }
    }
    check(&op("Max", 13, 3), &[floats(&[2, 3], 1), floats(&[3], 2), floats(&[1, 1], 3)]);
    check(&op("PRelu", 16, 2), &[apart(&[2, 3, 4, 4], 1), floats(&[3, 1, 1], 2)]);
    for exponent in [2.0, 3.0, 0.5, -1.0, 1.7] {
        let e = Array::new(Vec::new(), Data::F64(vec![exponent])).unwrap();
        let x = positive(&[2, 5], 4);
        let mut constant = op("Pow", 13, 2);
        constant.outputs = vec![true];
        check(&constant, &[x, e]);
    }
    let mask = Array::new([3, 1], Data::Bool(vec![true, false, true])).unwrap();
    check(&op("Where", 16, 3), &[mask, floats(&[2, 3, 4], 1), floats(&[4], 2)]);
}

#[test]
fn reductions() {
    for name in [
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    ] {
        for keep in [0, 1] {
            for axes in [&[1i64][..], &[-1, 0], &[0, 1, 2]] {
                let x = positive(&[2, 3, 4], 5);
                check(
                    &op(name, 11, 1).with("axes", list(axes)).with("keepdims", int(keep)),
                    std::slice::from_ref(&x),
                );
                check(&op(name, 18, 2).with("keepdims", int(keep)), &[x, ints(axes)]);
            }
            check(&op(name, 18, 1).with("keepdims", int(keep)), &[positive(&[2, 3, 4], 5)]);
        }
    }
    let identity = op("ReduceSum", 13, 1).with("noop_with_empty_axes", int(1));
    check(&identity, &[floats(&[2, 3], 5)]);
    for (exclusive, reverse) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let cumsum = op("CumSum", 14, 2).with("exclusive", int(exclusive)).with("reverse", int(reverse));
        check(&cumsum, &[floats(&[2, 5, 3], 1), Array::from_i64(Vec::new(), vec![1]).unwrap()]);
    }
}

#[test]
fn softmax_along_any_axis() {
    for name in ["Softmax", "LogSoftmax"] {
        for axis in [0, 1, -1] {
            check(&op(name, 13, 1).with("axis", int(axis)), &[floats(&[2, 3, 4], 1)]);
            check(&op(name, 11, 1).with("axis", int(axis)), &[floats(&[2, 3, 4], 1)]);
        }
    }
}

#[test]
fn layouts() {
    let x = || floats(&[2, 6, 4, 3], 1);
    check(&op("Reshape", 14, 2), &[x(), ints(&[0, 2, -1, 3])]);
    for axis in [0, 1, 2, 4, -1] {
        check(&op("Flatten", 13, 1).with("axis", int(axis)), &[x()]);
    }
    check(&op("Squeeze", 11, 1).with("axes", list(&[1, -1])), &[floats(&[2, 1, 3, 1], 1)]);
    check(&op("Squeeze", 13, 1), &[floats(&[2, 1, 3, 1], 1)]);
    check(&op("Unsqueeze", 13, 2), &[floats(&[2, 3], 1), ints(&[0, -1])]);
    check(&op("Transpose", 13, 1), &[x()]);
    check(&op("Transpose", 13, 1).with("perm", list(&[0, 2, 3, 1])), &[x()]);
    check(&op("Expand", 13, 2), &[floats(&[3, 1], 1), ints(&[2, 1, 4])]);
    for axis in [0, 1, -1] {
        let parts = [floats(&[2, 3, 2], 1), floats(&[2, 3, 2], 2), floats(&[2, 3, 2], 3)];
        check(&op("Concat", 13, 3).with("axis", int(axis)), &parts);
    }
    let mut split = op("Split", 13, 2).with("axis", int(1));
    split.outputs = vec![true; 3];
    check(&split, &[x(), ints(&[1, 3, 2])]);
    let mut split = op("Split", 18, 1).with("axis", int(2)).with("num_outputs", int(3));
    split.outputs = vec![true, false, true];
    check(&split, &[floats(&[2, 3, 6], 1)]);
    check(
        &op("Slice", 13, 5),
        &[x(), ints(&[-3, 100]), ints(&[i64::MAX, i64::MIN]), ints(&[1, -1]), ints(&[2, -1])],
    );
    check(
        &op("Slice", 9, 1).with("starts", list(&[1])).with("ends", list(&[-1])).with("axes", list(&[1])),
        &[x()],
    );
    check(&op("Tile", 13, 2), &[floats(&[2, 3], 1), ints(&[2, 3])]);
    for mode in ["DCR", "CRD"] {
        let op = op("DepthToSpace", 13, 1).with("blocksize", int(2)).with("mode", word(mode));
        check(&op, &[floats(&[2, 8, 2, 3], 1)]);
    }
    check(&op("SpaceToDepth", 13, 1).with("blocksize", int(2)), &[floats(&[2, 3, 4, 6], 1)]);
}

#[test]
fn padding() {
    for mode in ["constant", "reflect", "edge", "wrap"] {
        let pads = ints(&[0, 0, 1, 2, 0, 1, 2, 0]);
        let pad = op("Pad", 19, 2).with("mode", word(mode));
        check(
            &pad,
            &[
                floats(&[2, 3, 4, 5], 1),
                if mode == "constant" { pads } else { ints(&[0, 0, 1, 2, 0, 0, 2, 0]) },
            ],
        );
    }
    check(&op("Pad", 13, 2), &[floats(&[2, 3, 6], 1), ints(&[0, 0, -1, 0, 1, -2])]);
    let old = op("Pad", 2, 1).with("pads", list(&[0, 1, 0, 2])).with("value", Attribute::Float(0.5));
    check(&old, &[floats(&[2, 3], 1)]);
}

#[test]
fn gathering() {
    let indices = Array::from_i64([2, 2], vec![0, -1, 2, 1]).unwrap();
    for axis in [0, 1, -1] {
        check(&op("Gather", 13, 2).with("axis", int(axis)), &[floats(&[3, 4, 3], 1), indices.clone()]);
    }
    let scalar = Array::from_i64(Vec::new(), vec![1]).unwrap();
    check(&op("Gather", 13, 2).with("axis", int(1)), &[floats(&[3, 4], 1), scalar]);
    check(&op("GatherElements", 13, 2).with("axis", int(1)), &[floats(&[2, 4], 1), indices.clone()]);
    check(&op("GatherND", 13, 2), &[floats(&[3, 4, 2], 1), indices]);
    let batched = Array::from_i64([2, 1], vec![1, 0]).unwrap();
    check(&op("GatherND", 13, 2).with("batch_dims", int(1)), &[floats(&[2, 4, 3], 1), batched]);
    let mut top = op("TopK", 11, 2).with("axis", int(1));
    top.outputs = vec![true, true];
    check(&top, &[apart(&[2, 5, 3], 1), ints(&[2])]);
}

#[test]
fn resizing() {
    for mode in ["nearest", "linear", "cubic"] {
        for coordinates in
            ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
        {
            let resize = |given: &[bool]| {
                let mut op = op("Resize", 19, 0)
                    .with("mode", word(mode))
                    .with("coordinate_transformation_mode", word(coordinates));
                op.inputs = given.to_vec();
                op
            };
            for sizes in [[2i64, 2, 7, 9], [2, 2, 3, 4], [2, 2, 1, 5]] {
                check(&resize(&[true, false, false, true]), &[floats(&[2, 2, 5, 4], 1), ints(&sizes)]);
            }
        }
    }
    // Factors are constants of the graph; the harness has all `f32` operands learn, and these are read as numbers.
    let upsample = op("Upsample", 7, 1).with("scales", Attribute::Floats(vec![1.0, 1.0, 2.0, 2.0]));
    check(&upsample.clone().with("mode", word("linear")), &[floats(&[1, 2, 3, 3], 1)]);
    check(&upsample, &[floats(&[1, 2, 3, 3], 1)]);
}

#[test]
fn convolutions() {
    let (x, w) = (|| floats(&[2, 4, 7, 6], 1), || floats(&[6, 2, 3, 3], 2));
    let conv = || op("Conv", 11, 2).with("group", int(2));
    check(&conv(), &[x(), w()]);
    check(&conv().with("pads", list(&[0, 2, 1, 0])).with("strides", list(&[2, 1])), &[x(), w()]);
    for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"] {
        check(&conv().with("auto_pad", word(auto)).with("strides", list(&[2, 2])), &[x(), w()]);
    }
    let line = op("Conv", 11, 3).with("dilations", list(&[2])).with("pads", list(&[1, 2]));
    check(&line, &[floats(&[2, 3, 9], 1), floats(&[4, 3, 3], 2), floats(&[4], 3)]);
    let up = op("ConvTranspose", 11, 3).with("strides", list(&[2, 2])).with("pads", list(&[1, 0, 1, 1]));
    check(
        &up.with("output_padding", list(&[1, 0])),
        &[floats(&[2, 3, 4, 4], 1), floats(&[3, 2, 3, 3], 2), floats(&[2], 3)],
    );
    let line = op("ConvTranspose", 11, 2).with("strides", list(&[2]));
    check(&line, &[floats(&[2, 3, 4], 1), floats(&[3, 2, 3], 2)]);
}

#[test]
fn poolings() {
    for name in ["MaxPool", "AveragePool", "LpPool"] {
        let pool = |kernel: &[i64]| op(name, 19, 1).with("kernel_shape", list(kernel));
        let plane = || apart(&[1, 2, 7, 6], 1);
        check(&pool(&[3, 2]), &[plane()]);
        check(&pool(&[3, 3]).with("strides", list(&[2, 2])).with("pads", list(&[1, 1, 1, 1])), &[plane()]);
        check(&pool(&[3, 3]).with("strides", list(&[2, 2])).with("pads", list(&[0, 1, 1, 0])), &[plane()]);
        check(&pool(&[2, 2]).with("dilations", list(&[2, 1])), &[plane()]);
        check(&pool(&[3]).with("strides", list(&[2])).with("pads", list(&[1, 0])), &[apart(&[2, 2, 9], 1)]);
        check(&pool(&[2, 2, 2]), &[apart(&[1, 2, 3, 4, 3], 1)]);
        check(&pool(&[3, 3]).with("strides", list(&[2, 2])).with("auto_pad", word("SAME_UPPER")), &[plane()]);
        if name != "LpPool" {
            let ceil = pool(&[3, 3]).with("strides", list(&[2, 2])).with("ceil_mode", int(1));
            check(&ceil.clone(), &[apart(&[1, 2, 6, 8], 1)]);
            check(&ceil.with("pads", list(&[1, 1, 1, 1])), &[apart(&[1, 2, 6, 8], 1)]);
        }
    }
    let counted =
        op("AveragePool", 19, 1).with("kernel_shape", list(&[3, 3])).with("count_include_pad", int(1));
    check(&counted.clone().with("pads", list(&[1, 1, 1, 1])), &[floats(&[1, 2, 5, 5], 1)]);
    check(&counted.with("pads", list(&[0, 1, 1, 1])), &[floats(&[1, 2, 5, 5], 1)]);
    for name in ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"] {
        check(&op(name, 18, 1), &[apart(&[2, 3, 4, 5], 1)]);
        check(&op(name, 18, 1), &[apart(&[2, 3, 4], 1)]);
    }
}

#[test]
fn products() {
    let shapes: [(&[usize], &[usize]); 8] = [
        (&[3, 4], &[4, 5]),
        (&[2, 3, 4], &[4, 5]),
        (&[2, 3, 4], &[2, 4, 5]),
        (&[2, 1, 3, 4], &[5, 4, 2]),
        (&[3, 4], &[2, 4, 5]),
        (&[4], &[4, 5]),
        (&[2, 3, 4], &[4]),
        (&[4], &[4]),
    ];
    for (a, b) in shapes {
        check(&op("MatMul", 13, 2), &[floats(a, 1), floats(b, 2)]);
    }
    let gemm = |n| op("Gemm", 13, n).with("alpha", Attribute::Float(0.5)).with("beta", Attribute::Float(2.0));
    check(&gemm(3).with("transB", int(1)), &[floats(&[3, 4], 1), floats(&[5, 4], 2), floats(&[5], 3)]);
    check(&gemm(3).with("transA", int(1)), &[floats(&[4, 3], 1), floats(&[4, 5], 2), floats(&[3, 1], 3)]);
    check(&gemm(2), &[floats(&[3, 4], 1), floats(&[4, 5], 2)]);
    for (equation, a, b) in [
        ("bij,bjk->bik", &[2usize, 3, 4][..], &[2usize, 4, 5][..]),
        ("bhid,bhjd->bhij", &[2, 2, 3, 4], &[2, 2, 5, 4]),
        ("nchw,kc->nkhw", &[2, 3, 2, 2], &[4, 3]),
        ("ij,kl->ikjl", &[2, 3], &[2, 4]),
        ("ijk,jl->li", &[2, 3, 4], &[3, 5]),
    ] {
        check(&op("Einsum", 12, 2).with("equation", word(equation)), &[floats(a, 1), floats(b, 2)]);
    }
    check(&op("Einsum", 12, 1).with("equation", word("ijk->ki")), &[floats(&[2, 3, 4], 1)]);
}

#[test]
fn normalizations() {
    let x = || floats(&[2, 4, 3, 5], 1);
    let norm = op("BatchNormalization", 15, 5);
    check(&norm, &[x(), positive(&[4], 2), floats(&[4], 3), floats(&[4], 4), positive(&[4], 5)]);
    check(&op("InstanceNormalization", 6, 3), &[x(), positive(&[4], 2), floats(&[4], 3)]);
    let group = |version, n: usize| {
        (op("GroupNormalization", version, 3).with("num_groups", int(2)), positive(&[n], 2), floats(&[n], 3))
    };
    for (version, n) in [(21, 4), (18, 2)] {
        let (op, scale, bias) = group(version, n);
        check(&op, &[x(), scale, bias]);
    }
    check(&op("LayerNormalization", 17, 3), &[x(), positive(&[5], 2), floats(&[5], 3)]);
    check(&op("LayerNormalization", 17, 2).with("axis", int(2)), &[x(), positive(&[3, 5], 2)]);
    check(
        &op("LayerNormalization", 17, 3).with("axis", int(1)),
        &[x(), positive(&[4, 3, 5], 2), floats(&[5], 3)],
    );
    check(&op("RMSNormalization", 23, 2), &[x(), positive(&[5], 2)]);
    for p in [1, 2] {
        check(&op("LpNormalization", 1, 1).with("axis", int(1)).with("p", int(p)), &[apart(&[2, 4, 3], 1)]);
    }
    let lrn = op("LRN", 13, 1).with("size", int(3)).with("alpha", Attribute::Float(0.5));
    check(&lrn, &[x()]);
    check(&op("MeanVarianceNormalization", 13, 1), &[x()]);
}

#[test]
fn what_has_no_gradient_ends_the_tape_or_says_so() {
    let cpu = Device::cpu();
    let x = || Tensor::from_array(&floats(&[2, 3], 1), &cpu).unwrap();
    let run = |op: &Onnx, x: &Tensor| {
        let executor = Executor::new(Arc::new(graph(op, &[floats(&[2, 3], 1)]))).unwrap();
        executor.run(&Bound::new(), std::slice::from_ref(x), &Request::new(Mode::Train))
    };
    let out = run(&op("Round", 13, 1), &x().require_grad()).unwrap().outputs;
    assert!(!out[0].is_tracked());
    let out = run(&op("ArgMax", 13, 1).with("axis", int(1)), &x().require_grad()).unwrap().outputs;
    assert_eq!(out[0].dtype().unwrap(), DType::I64);
    let hard = op("Hardmax", 13, 1);
    assert!(run(&hard, &x()).is_ok());
    let message = run(&hard, &x().require_grad()).unwrap_err().to_string();
    assert_eq!(message, "node `node`: gradient: operator Hardmax has no gradient");
}

#[test]
fn arrays_of_any_type_go_in_and_out() {
    let mut graph = Graph::new();
    let x = graph.add_input("x", Fact::new(DType::U8, [2usize, 2])).unwrap();
    let cast = op("Cast", 13, 1).with("to", int(1));
    let y = graph.add_node("cast", Op::Onnx(cast), &[x]).unwrap();
    let zero = graph.add_const("zero", Array::from_f32(Vec::new(), vec![1.5]).unwrap()).unwrap();
    let z = graph.add_node("greater", Op::Onnx(op("Greater", 13, 2)), &[y[0], zero]).unwrap();
    graph.add_output("y", y[0]).unwrap();
    graph.add_output("z", z[0]).unwrap();
    let executor = Executor::new(Arc::new(graph)).unwrap();
    let x = Array::new([2, 2], Data::U8(vec![0, 1, 2, 255])).unwrap();
    let request = Request::new(Mode::Eval);
    let out = executor.run_arrays(&Bound::new(), &[x], &request, &Device::cpu()).unwrap();
    assert_eq!(out[0].as_f32().unwrap(), [0.0, 1.0, 2.0, 255.0]);
    assert!(*out[1].data() == Data::Bool(vec![false, false, true, true]));
    let wrong = Array::from_f32([2, 2], vec![0.0; 4]).unwrap();
    let message = executor.run_arrays(&Bound::new(), &[wrong], &request, &Device::cpu()).unwrap_err();
    assert!(message.to_string().contains("input `x`"), "{message}");
}

#[test]
fn an_output_that_no_tensor_holds_is_named() {
    let executor = Executor::new(Arc::new(graph(&op("IsNaN", 13, 1), &[floats(&[2], 1)]))).unwrap();
    let x = Tensor::from_array(&floats(&[2], 1), &Device::cpu()).unwrap();
    let message = executor.run(&Bound::new(), &[x], &Request::new(Mode::Eval)).unwrap_err().to_string();
    assert!(message.contains("y0") && message.contains("bool"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn poolings_of_any_geometry(
        kind in 0usize..3, h in 3usize..8, w in 3usize..8, k in 1i64..4, l in 1i64..4, s in 1i64..3,
        pads in proptest::array::uniform4(0i64..2), ceil in 0i64..2, counted in 0i64..2,
    ) {
        // Padding must be smaller than the kernel.
        let pads: Vec<i64> = pads.iter().zip([k, l, k, l]).map(|(&p, k)| p.min(k - 1)).collect();
        let name = ["MaxPool", "AveragePool", "LpPool"][kind];
        let mut pool = op(name, 19, 1)
            .with("kernel_shape", list(&[k, l]))
            .with("strides", list(&[s, s]))
            .with("pads", list(&pads));
        if name != "LpPool" {
            pool = pool.with("ceil_mode", int(ceil));
        }
        if name == "AveragePool" {
            pool = pool.with("count_include_pad", int(counted));
        }
        check(&pool, &[apart(&[1, 2, h, w], (h * w) as u64)]);
    }

    #[test]
    fn convolutions_of_any_geometry(
        n in 1usize..3, groups in 1usize..3, h in 4usize..8, w in 4usize..8, k in 1usize..4, l in 1usize..4,
        strides in proptest::array::uniform2(1i64..3), dilations in proptest::array::uniform2(1i64..2),
        pads in proptest::array::uniform4(0i64..3),
    ) {
        let conv = op("Conv", 11, 3)
            .with("group", int(groups as i64))
            .with("strides", list(&strides))
            .with("dilations", list(&dilations))
            .with("pads", list(&pads));
        let c = 2 * groups;
        check(&conv, &[floats(&[n, c, h, w], 1), floats(&[c, 2, k, l], 2), floats(&[c], 3)]);
    }

    #[test]
    fn slices_of_any_range(
        start in -9i64..9, end in -9i64..9, step in prop_oneof![-3i64..0, 1i64..4], axis in -2i64..2,
    ) {
        let args = [floats(&[5, 7], 3), ints(&[start]), ints(&[end]), ints(&[axis]), ints(&[step])];
        let slice = op("Slice", 13, 5);
        let empty = occam_interp::evaluate(&slice, &args).unwrap()[0].is_empty();
        prop_assume!(!empty);
        check(&slice, &args);
    }
}
