//! Recognized layers compute what was imported: ranks, weights that are also returned, patterns that almost match.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use occam_engine::{Device, Executor, Params, Request};
use occam_graph::onnx::{Attribute, Onnx};
use occam_graph::recognize::{Recognized, recognize};
use occam_graph::{Array, Fact, Graph, Op, Role, ValueId, Weights};
use occam_interp::Interpreter;

fn floats(shape: &[usize]) -> Array {
    let n = shape.iter().product::<usize>();
    Array::from_f32(shape, (0..n).map(|i| (i * 7 % 16) as f32 * 0.5 - 3.0).collect()).unwrap()
}

/// A graph with an input `x` and an output `y`.
struct Net {
    graph: Graph,
    weights: Weights,
    x: ValueId,
}

impl Net {
    fn new(shape: &[usize]) -> Self {
        let mut graph = Graph::new();
        let x = graph.add_input("x", Fact::f32(shape.iter().copied())).unwrap();
        Self { graph, weights: Weights::new(), x }
    }

    fn scalar(&mut self, name: &str, rank: usize, value: f32) -> ValueId {
        self.graph.add_const(name, Array::full(vec![1; rank], value)).unwrap()
    }

    fn param(&mut self, name: &str, array: Array) -> ValueId {
        let fact = Fact::f32(array.shape().iter().copied());
        self.weights.insert(name.into(), array);
        self.graph.add_param(name, fact, Role::Weight).unwrap()
    }

    fn node(&mut self, name: &str, op: Onnx, inputs: &[ValueId]) -> ValueId {
        self.graph.add_node(name, Op::Onnx(op), inputs).unwrap()[0]
    }

    fn two(&mut self, name: &str, op: &str, a: ValueId, b: ValueId) -> ValueId {
        self.node(name, Onnx::new(op, 17, 2), &[a, b])
    }

    /// Recognizes, and compares the engine with the interpreter of the graph as it was.
    fn check(mut self, y: ValueId) -> (Graph, Recognized) {
        self.graph.add_output("y", y).unwrap();
        let shape = self.graph.value(self.x).unwrap().fact.known_shape().unwrap();
        let x = floats(&shape);
        let inputs = Weights::from([("x".to_owned(), x.clone())]);
        let wanted = Interpreter::new(&self.graph, &self.weights).unwrap().run(&inputs).unwrap();
        let found = recognize(&mut self.graph, &mut self.weights).unwrap();
        let params = Params::new(&self.graph, &self.weights, &Device::cpu()).unwrap();
        let executor = Executor::new(Arc::new(self.graph.clone())).unwrap();
        let results =
            executor.run_arrays(&params.constants(), &[x], &Request::default(), &Device::cpu()).unwrap();
        assert_eq!(results.len(), wanted.len());
        for (result, (name, wanted)) in results.iter().zip(&wanted) {
            assert_eq!(result.shape(), wanted.shape(), "{name}");
            for (a, b) in result.as_f32().unwrap().iter().zip(wanted.as_f32().unwrap()) {
                assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{name}: {a}, not {b}");
            }
        }
        (self.graph, found)
    }
}

fn has(graph: &Graph, name: &str) -> bool {
    graph.nodes().any(|(_, n)| !matches!(n.op, Op::Onnx(_)) && n.op.family().name() == name)
}

#[test]
fn a_weight_that_is_returned_stays_as_it_lies() {
    for returned in [true, false] {
        let mut net = Net::new(&[2, 5]);
        let w = net.param("w", floats(&[5, 3]));
        let (x, op) = (net.x, Onnx::new("MatMul", 13, 2));
        let y = net.node("product", op, &[x, w]);
        if returned {
            net.graph.add_output("w", w).unwrap();
        }
        let (graph, _) = net.check(y);
        assert_eq!(has(&graph, "Linear"), !returned);
    }
}

#[test]
fn constants_of_higher_rank_raise_the_result() {
    for rank in [1, 3, 4] {
        // x · (erf(x / √2) + 1) / 2
        let mut net = Net::new(&[2, 8]);
        let root = net.scalar("root", rank, std::f32::consts::SQRT_2);
        let (one, half) = (net.scalar("one", rank, 1.0), net.scalar("half", rank, 0.5));
        let x = net.x;
        let v = net.two("div", "Div", x, root);
        let v = net.node("erf", Onnx::new("Erf", 13, 1), &[v]);
        let v = net.two("add", "Add", v, one);
        let v = net.two("mul", "Mul", x, v);
        let y = net.two("halve", "Mul", v, half);
        let (graph, found) = net.check(y);
        assert_eq!((has(&graph, "Gelu"), found.written_out.len()), (rank == 1, usize::from(rank == 1)));

        for swish in [true, false] {
            let mut net = Net::new(&[2, 8]);
            let (three, sixth) = (net.scalar("three", rank, 3.0), net.scalar("six", rank, 6.0));
            let low = net.graph.add_const("low", Array::full([0usize; 0], 0.0)).unwrap();
            let high = net.graph.add_const("high", Array::full([0usize; 0], 6.0)).unwrap();
            let x = net.x;
            let v = net.two("add", "Add", x, three);
            let v = net.node("clip", Onnx::new("Clip", 13, 3), &[v, low, high]);
            let v = if swish { net.two("gate", "Mul", x, v) } else { v };
            let y = net.two("div", "Div", v, sixth);
            let (_, found) = net.check(y);
            assert_eq!(found.written_out.is_empty(), rank != 1, "{rank} {swish}");
        }
    }
}

/// `(x − mean(x)) / √(mean((x − mean(x))²) + ε) · γ + β`
fn written_norm(eps_rank: usize, gamma: usize, beta: usize) -> (Graph, Recognized) {
    let mut net = Net::new(&[2, 8]);
    let eps = net.scalar("eps", eps_rank, 1e-5);
    let two = net.graph.add_const("two", Array::full([0usize; 0], 2.0)).unwrap();
    let (gamma, beta) = (net.param("gamma", floats(&[gamma])), net.param("beta", floats(&[beta])));
    let mean = || Onnx::new("ReduceMean", 13, 1).with("axes", Attribute::Ints(vec![-1]));
    let x = net.x;
    let m = net.node("mean", mean(), &[x]);
    let centered = net.two("sub", "Sub", x, m);
    let v = net.two("pow", "Pow", centered, two);
    let v = net.node("variance", mean(), &[v]);
    let v = net.two("shift", "Add", v, eps);
    let v = net.node("sqrt", Onnx::new("Sqrt", 13, 1), &[v]);
    let v = net.two("div", "Div", centered, v);
    let v = net.two("scaled", "Mul", v, gamma);
    let y = net.two("shifted", "Add", v, beta);
    net.check(y)
}

#[test]
fn written_norms_are_recognized_where_they_are_the_layer() {
    assert!(has(&written_norm(1, 8, 8).0, "LayerNorm"));
    for (eps_rank, gamma, beta) in [(5, 8, 8), (1, 1, 8), (1, 8, 1)] {
        let (graph, found) = written_norm(eps_rank, gamma, beta);
        assert!(!has(&graph, "LayerNorm") && found.written_out.is_empty(), "{eps_rank} {gamma} {beta}");
    }
}

#[test]
fn a_norm_with_a_scale_of_one_element_stays() {
    for (gamma, beta, wanted) in [(8, 8, true), (1, 8, false), (1, 1, false)] {
        let mut net = Net::new(&[2, 8]);
        let (gamma, beta) = (net.param("gamma", floats(&[gamma])), net.param("beta", floats(&[beta])));
        let x = net.x;
        let y = net.node("norm", Onnx::new("LayerNormalization", 17, 3), &[x, gamma, beta]);
        assert_eq!(has(&net.check(y).0, "LayerNorm"), wanted);
    }
}

#[test]
fn relu_below_six_is_relu6() {
    for (rank, limit, wanted) in [(0, 6.0, true), (3, 6.0, false), (0, 5.0, false)] {
        let mut net = Net::new(&[2, 16]);
        let limit = net.scalar("limit", rank, limit);
        let x = net.x;
        let v = net.node("relu", Onnx::new("Relu", 14, 1), &[x]);
        let y = net.two("min", "Min", v, limit);
        assert_eq!(has(&net.check(y).0, "Relu6"), wanted);
    }
}
