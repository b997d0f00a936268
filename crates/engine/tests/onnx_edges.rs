//! Operands at the edges of what operators take: computed as the interpreter does, or refused, and never a panic.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use occam_engine::{Device, Executor, Params, Request};
use occam_graph::onnx::{Attribute, Onnx};
use occam_graph::{Array, Data, Fact, Graph, Op, Weights};
use occam_interp::evaluate;

fn floats(shape: &[usize], data: &[f32]) -> Array {
    Array::from_f32(shape, data.to_vec()).unwrap()
}

fn ints(shape: &[usize], data: &[i64]) -> Array {
    Array::new(shape, Data::I64(data.to_vec())).unwrap()
}

/// The first operand is the graph's input, the others are constants.
fn run(op: &Onnx, operands: &[Array]) -> Result<Array, String> {
    let mut graph = Graph::new();
    let first = &operands[0];
    let mut values = vec![graph.add_input("x", Fact::new(first.dtype(), first.shape().to_vec())).unwrap()];
    for (i, array) in operands.iter().enumerate().skip(1) {
        values.push(graph.add_const(&format!("c{i}"), array.clone()).unwrap());
    }
    let y = graph.add_node("node", Op::Onnx(op.clone()), &values).map_err(|e| e.to_string())?[0];
    graph.add_output("y", y).unwrap();
    let params = Params::new(&graph, &Weights::new(), &Device::cpu()).unwrap();
    let executor = Executor::new(Arc::new(graph)).unwrap();
    executor
        .run_arrays(&params.constants(), std::slice::from_ref(first), &Request::default(), &Device::cpu())
        .map(|mut all| all.remove(0))
        .map_err(|e| e.to_string())
}

fn same(op: &Onnx, operands: &[Array]) {
    let found = run(op, operands).unwrap();
    let wanted = &evaluate(op, operands).unwrap()[0];
    assert_eq!(found.shape(), wanted.shape(), "{op:?}");
    for (a, b) in found.as_f32().unwrap().iter().zip(wanted.as_f32().unwrap()) {
        assert!(
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * b.abs(),
            "{op:?}: {a}, not {b}"
        );
    }
}

#[test]
fn fewer_indices_than_elements() {
    let x = floats(&[3, 4], &(0..12).map(|i| i as f32).collect::<Vec<_>>());
    let op = Onnx::new("GatherElements", 13, 2).with("axis", Attribute::Int(0));
    same(&op, &[x.clone(), ints(&[2, 2], &[2, 0, 1, 1])]);
    assert_eq!(run(&op, &[x, ints(&[1, 2], &[2, 0])]).unwrap().as_f32().unwrap(), [8.0, 1.0]);
}

#[test]
fn bounds_that_cross_or_are_no_numbers() {
    let x = floats(&[4], &[-3.0, 0.5, 2.0, f32::NAN]);
    let bound = |v: f32| floats(&[], &[v]);
    let op = Onnx::new("Clip", 13, 3);
    same(&op, &[x.clone(), bound(1.0), bound(-1.0)]);
    same(&op, &[x.clone(), bound(f32::NAN), bound(1.0)]);
    for name in ["Max", "Min"] {
        same(&Onnx::new(name, 13, 2), &[x.clone(), floats(&[4], &[f32::NAN, 1.0, 1.0, 1.0])]);
    }
}

#[test]
fn powers_beyond_integers() {
    let x = floats(&[4], &[0.5, 1.0, 2.0, -2.0]);
    for e in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 2.5, -3.0] {
        same(&Onnx::new("Pow", 15, 2), &[x.clone(), floats(&[], &[e])]);
    }
}

#[test]
fn rows_of_zeros_stay_zero() {
    let x = floats(&[2, 2], &[0.0, 0.0, 3.0, 4.0]);
    same(&Onnx::new("LpNormalization", 1, 1), std::slice::from_ref(&x));
    assert_eq!(run(&Onnx::new("LpNormalization", 1, 1), &[x]).unwrap().as_f32().unwrap()[..2], [0.0, 0.0]);
}

#[test]
fn nothing_at_all() {
    let x = floats(&[0, 3], &[]);
    same(&Onnx::new("Mul", 14, 2), &[x, floats(&[], &[2.0])]);
}

#[test]
fn results_larger_than_memory_are_refused() {
    let x = floats(&[2], &[1.0, 2.0]);
    let tile = run(&Onnx::new("Tile", 13, 2), &[x.clone(), ints(&[1], &[1 << 40])]);
    let expand = run(&Onnx::new("Expand", 13, 2), &[x, ints(&[2], &[1 << 40, 2])]);
    for refused in [tile, expand] {
        let error = refused.unwrap_err();
        assert!(error.contains("elements") || error.contains("memory"), "{error}");
    }
}
