//! What detectors do to regions of interest: channels are followed through values whose sizes only running tells.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_graph::onnx::{Attribute, Onnx};
use occam_graph::{Array, DType, Data, Dim, Fact, Graph, Op, Role, ValueId, Weights};
use occam_interp::Interpreter;
use occam_space::{Selection, TraceOptions, shrink, trace, zeroed};

struct Net {
    graph: Graph,
    weights: Weights,
}

impl Net {
    fn node(&mut self, name: &str, op: Onnx, inputs: &[ValueId]) -> ValueId {
        self.graph.add_node(name, Op::Onnx(op), inputs).unwrap()[0]
    }

    fn ints(&mut self, name: &str, values: &[i64]) -> ValueId {
        self.graph.add_const(name, Array::from_i64([values.len()], values.to_vec()).unwrap()).unwrap()
    }

    fn scalar(&mut self, name: &str, value: i64) -> ValueId {
        self.graph.add_const(name, Array::new(Vec::<usize>::new(), Data::I64(vec![value])).unwrap()).unwrap()
    }

    fn conv(&mut self, name: &str, x: ValueId, [out, channels]: [usize; 2]) -> ValueId {
        let mut param = |kind: &str, shape: &[usize]| {
            let count: usize = shape.iter().product();
            let data = (0..count).map(|i| ((i * 7919 + out * 31) % 1009) as f32 / 504.5 - 1.0).collect();
            let name = format!("{name}.{kind}");
            self.weights.insert(name.clone(), Array::from_f32(shape, data).unwrap());
            self.graph.add_param(&name, Fact::f32(shape.to_vec()), Role::Weight).unwrap()
        };
        let (w, b) = (param("weight", &[out, channels, 1, 1]), param("bias", &[out]));
        self.node(name, Onnx::new("Conv", 17, 3), &[x, w, b])
    }

    /// Rows of `y` `[N, C, S, S]` written into zeros at the positions 0..N, as poolings of regions by level are put together:
    /// the zeros and the positions have the sizes of `y`, of which the first is only known when the model runs.
    fn scattered(&mut self, y: ValueId, rest: &[i64]) -> ValueId {
        let shape = self.node("shape", Onnx::new("Shape", 15, 1), &[y]);
        let first = self.scalar("first", 0);
        let count =
            self.node("count", Onnx::new("Gather", 13, 2).with("axis", Attribute::Int(0)), &[shape, first]);
        let axes = self.ints("axes", &[0]);
        let list = self.node("list", Onnx::new("Unsqueeze", 13, 2), &[count, axes]);
        let rest = self.ints("rest", rest);
        let sizes =
            self.node("sizes", Onnx::new("Concat", 13, 2).with("axis", Attribute::Int(0)), &[list, rest]);
        let zeros = self.node("zeros", Onnx::new("ConstantOfShape", 9, 1), &[sizes]);
        let one = self.scalar("one", 1);
        let rows = self.node("rows", Onnx::new("Range", 11, 3), &[first, count, one]);
        let column = self.ints("column", &[-1, 1, 1, 1]);
        let rows = self.node("column_of_rows", Onnx::new("Reshape", 14, 2), &[rows, column]);
        let places = self.node("places", Onnx::new("Expand", 13, 2), &[rows, sizes]);
        let op = Onnx::new("ScatterElements", 16, 3).with("axis", Attribute::Int(0));
        self.node("scatter", op, &[zeros, places, y])
    }
}

fn run(graph: &Graph, weights: &Weights) -> Vec<f32> {
    let data = (0..2 * 3 * 16).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
    let inputs = Weights::from([("x".to_owned(), Array::from_f32([2, 3, 4, 4], data).unwrap())]);
    let out = Interpreter::new(graph, weights).unwrap().run(&inputs).unwrap();
    out["y"].as_f32().unwrap().to_vec()
}

#[test]
fn channels_are_followed_where_sizes_are_open() {
    let mut net = Net { graph: Graph::new(), weights: Weights::new() };
    let shape = vec![Dim::symbol("N"), 3.into(), 4.into(), 4.into()];
    let x = net.graph.add_input("x", Fact { dtype: DType::F32, shape }).unwrap();
    let y = net.conv("pyramid", x, [8, 3]);
    let y = net.scattered(y, &[8, 4, 4]);
    let y = net.conv("head", y, [5, 8]);
    net.graph.add_output("y", y).unwrap();
    let (graph, weights) = (net.graph, net.weights);

    let units = trace(&graph, &TraceOptions::default()).unwrap();
    let index = units.find("pyramid_(0, 8)_8").unwrap();
    let unit = &units.units[index];
    assert_eq!((unit.kept_by.as_ref(), unit.exact), (None, true));
    assert_eq!(unit.input_related.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["head"]);
    let mut selection = Selection::all(&units);
    selection.set(&units, index, (0..8).map(|c| c % 3 != 1).collect()).unwrap();
    let (small, sliced) = shrink(&graph, &weights, &units, &selection).unwrap();
    let value = small.value(small.find("scatter").unwrap()).unwrap();
    assert_eq!(value.fact.shape[1..], [5.into(), 4.into(), 4.into()]);
    assert!(value.fact.shape[0].known().is_none());
    let (full, zeros) = zeroed(&graph, &weights, &units, &selection).unwrap();
    let (found, wanted) = (run(&small, &sliced), run(&full, &zeros));
    assert_eq!(found.len(), wanted.len());
    for (a, b) in found.iter().zip(&wanted) {
        assert!((a - b).abs() <= 1e-5 && b.is_finite(), "{found:?} and {wanted:?}");
    }
    assert!(wanted.iter().any(|y| y.abs() > 0.1));
}
