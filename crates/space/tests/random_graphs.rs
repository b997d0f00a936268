//! Networks of random layers: what is removed was zero, whatever the layers are.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_graph::onnx::{Attribute, Onnx};
use occam_graph::{Array, Bindings, Dim, Fact, Graph, Op, Role, ValueId, Weights};
use occam_interp::Interpreter;
use occam_space::{Divide, Estimator, Selection, SmoothMacs, TraceOptions, expand, shrink, trace, zeroed};
use proptest::prelude::*;

/// Numbers that follow from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64) / f64::from(1u32 << 31)
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.next() * n as f64) as usize).min(n - 1)
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// A network in the making; images have 8 x 8 places unless a layer says otherwise.
struct Net {
    graph: Graph,
    weights: Weights,
    random: Random,
    count: usize,
}

impl Net {
    fn name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}{}", self.count)
    }

    fn param(&mut self, name: &str, shape: &[usize], low: f64, high: f64) -> ValueId {
        let data =
            (0..shape.iter().product()).map(|_| (low + (high - low) * self.random.next()) as f32).collect();
        self.weights.insert(name.into(), Array::from_f32(shape, data).unwrap());
        self.graph.add_param(name, Fact::f32(shape.to_vec()), Role::Weight).unwrap()
    }

    fn ints(&mut self, values: &[i64]) -> ValueId {
        let name = self.name("ints");
        self.graph.add_const(&name, Array::from_i64([values.len()], values.to_vec()).unwrap()).unwrap()
    }

    fn node(&mut self, op: Onnx, inputs: &[ValueId]) -> ValueId {
        let name = self.name(&op.op_type.clone());
        self.graph.add_node(&name, Op::Onnx(op), inputs).unwrap()[0]
    }

    fn channels(&self, x: ValueId) -> usize {
        self.graph.value(x).unwrap().fact.shape[1].known().unwrap()
    }

    fn side(&self, x: ValueId) -> usize {
        self.graph.value(x).unwrap().fact.shape[2].known().unwrap()
    }

    fn conv(&mut self, x: ValueId, out: usize, kernel: usize, groups: usize) -> ValueId {
        let name = self.name("conv");
        let w = self.param(
            &format!("{name}.weight"),
            &[out, self.channels(x) / groups, kernel, kernel],
            -0.6,
            0.6,
        );
        let b = self.param(&format!("{name}.bias"), &[out], -0.3, 0.3);
        let pad = (kernel / 2) as i64;
        let op = Onnx::new("Conv", 17, 3)
            .with("pads", Attribute::Ints(vec![pad; 4]))
            .with("group", Attribute::Int(groups as i64));
        self.node(op, &[x, w, b])
    }

    fn norm(&mut self, x: ValueId) -> ValueId {
        let (name, c) = (self.name("bn"), self.channels(x));
        let inputs = [
            x,
            self.param(&format!("{name}.weight"), &[c], 0.5, 1.5),
            self.param(&format!("{name}.bias"), &[c], -0.3, 0.3),
            self.param(&format!("{name}.running_mean"), &[c], -0.3, 0.3),
            self.param(&format!("{name}.running_var"), &[c], 0.5, 1.5),
        ];
        self.node(Onnx::new("BatchNormalization", 15, 5), &inputs)
    }

    /// The same network with another layer at its end.
    fn layer(&mut self, x: ValueId) -> ValueId {
        let c = self.channels(x);
        match self.random.below(15) {
            0 => {
                let (out, kernel) = (self.random.pick(&[4, 6, 8, 12]), self.random.pick(&[1, 3]));
                self.conv(x, out, kernel, 1)
            }
            1 => {
                let each = self.random.pick(&[1, 2]);
                self.conv(x, c * each, 3, c)
            }
            2 if c.is_multiple_of(2) => self.conv(x, c, 3, 2),
            3 => self.norm(x),
            4 => {
                let kind = self.random.pick(&["Relu", "Sigmoid", "Tanh"]);
                self.node(Onnx::new(kind, 13, 1), &[x])
            }
            // A residual block.
            5 => {
                let out = self.random.pick(&[4, 10]);
                let inner = self.conv(x, out, 3, 1);
                let inner = self.norm(inner);
                let inner = self.conv(inner, c, 1, 1);
                self.node(Onnx::new("Add", 14, 2), &[x, inner])
            }
            // Branches side by side.
            6 => {
                let out = self.random.pick(&[3, 4]);
                let a = self.conv(x, out, 1, 1);
                let out = self.random.pick(&[2, 6]);
                let b = self.conv(x, out, 3, 1);
                self.node(Onnx::new("Concat", 13, 3).with("axis", Attribute::Int(1)), &[a, x, b])
            }
            // Squeeze and excitation.
            7 => {
                let pooled = self.node(Onnx::new("GlobalAveragePool", 1, 1), &[x]);
                let reduced = self.conv(pooled, 4, 1, 1);
                let gate = self.conv(reduced, c, 1, 1);
                let gate = self.node(Onnx::new("Sigmoid", 13, 1), &[gate]);
                self.node(Onnx::new("Mul", 14, 2), &[x, gate])
            }
            // Half goes through a convolution, as in C2f and ShuffleNet.
            8 if c >= 4 => {
                let first = c / 2;
                let (from, to, far, axis) = (
                    self.ints(&[0]),
                    self.ints(&[first as i64]),
                    self.ints(&[i64::from(i32::MAX)]),
                    self.ints(&[1]),
                );
                let a = self.node(Onnx::new("Slice", 13, 4), &[x, from, to, axis]);
                let b = self.node(Onnx::new("Slice", 13, 4), &[x, to, far, axis]);
                let out = self.random.pick(&[2, 5]);
                let b = self.conv(b, out, 3, 1);
                self.node(Onnx::new("Concat", 13, 2).with("axis", Attribute::Int(1)), &[a, b])
            }
            // A shuffle, written as exporters write it.
            9 if c.is_multiple_of(2) => {
                let (groups, side) = (self.random.pick(&[2, (c / 2) as i64]), self.side(x) as i64);
                let apart = self.ints(&[0, groups, c as i64 / groups, side, side]);
                let together = self.ints(&[0, -1, side, side]);
                let y = self.node(Onnx::new("Reshape", 14, 2), &[x, apart]);
                let order = Attribute::Ints(vec![0, 2, 1, 3, 4]);
                let y = self.node(Onnx::new("Transpose", 13, 1).with("perm", order), &[y]);
                self.node(Onnx::new("Reshape", 14, 2), &[y, together])
            }
            10 if c.is_multiple_of(4) && self.side(x) <= 8 => {
                let mode = Attribute::String(self.random.pick(&["DCR", "CRD"]).into());
                let op = Onnx::new("DepthToSpace", 13, 1).with("blocksize", Attribute::Int(2));
                let y = self.node(op.with("mode", mode), &[x]);
                self.node(Onnx::new("SpaceToDepth", 13, 1).with("blocksize", Attribute::Int(2)), &[y])
            }
            11 => {
                let (name, out) = (self.name("deconv"), self.random.pick(&[4, 6]));
                let w = self.param(&format!("{name}.weight"), &[c, out, 1, 1], -0.6, 0.6);
                let b = self.param(&format!("{name}.bias"), &[out], -0.3, 0.3);
                self.node(Onnx::new("ConvTranspose", 11, 3), &[x, w, b])
            }
            // A shortcut that adds empty channels, as ResNets for small images have.
            12 => {
                let pads = self.ints(&[0, 1, 0, 0, 0, 2, 0, 0]);
                let padded = self.node(Onnx::new("Pad", 13, 2), &[x, pads]);
                let inner = self.conv(x, c + 3, 3, 1);
                self.node(Onnx::new("Add", 14, 2), &[padded, inner])
            }
            // Each place divided by the length of its channels, as SSD does, the length repeated where it is wide enough.
            13 => {
                let op = Onnx::new("ReduceL2", 13, 1).with("axes", Attribute::Ints(vec![1]));
                let length = self.node(op, &[x]);
                let name = self.name("least");
                let least = Array::from_f32([1], vec![0.1]).unwrap();
                let least = self.graph.add_const(&name, least).unwrap();
                let length = self.node(Onnx::new("Max", 13, 2), &[length, least]);
                let wide = self.ints(&[1, c as i64, 1, 1]);
                let length = self.node(Onnx::new("Expand", 13, 2), &[length, wide]);
                self.node(Onnx::new("Div", 14, 2), &[x, length])
            }
            // Channels that compete must all stay.
            14 => self.node(Onnx::new("Softmax", 13, 1).with("axis", Attribute::Int(1)), &[x]),
            _ => self.conv(x, 8, 3, 1),
        }
    }

    /// Attention over the places, in two heads.
    fn attention(&mut self, x: ValueId) -> ValueId {
        let (c, places) = (self.channels(x), (self.side(x) * self.side(x)) as i64);
        let all = self.conv(x, 3 * 8, 1, 1);
        let flat = self.ints(&[0, 24, places]);
        let all = self.node(Onnx::new("Reshape", 14, 2), &[all, flat]);
        let all =
            self.node(Onnx::new("Transpose", 13, 1).with("perm", Attribute::Ints(vec![0, 2, 1])), &[all]);
        let apart = self.ints(&[0, places, 3, 2, 4]);
        let all = self.node(Onnx::new("Reshape", 14, 2), &[all, apart]);
        let order = Attribute::Ints(vec![2, 0, 3, 1, 4]);
        let all = self.node(Onnx::new("Transpose", 13, 1).with("perm", order), &[all]);
        let mut take = |i: i64| {
            let name = self.name("index");
            let index = Array::new(Vec::<usize>::new(), occam_graph::Data::I64(vec![i])).unwrap();
            let index = self.graph.add_const(&name, index).unwrap();
            self.node(Onnx::new("Gather", 13, 2).with("axis", Attribute::Int(0)), &[all, index])
        };
        let (q, k, v) = (take(0), take(1), take(2));
        let k =
            self.node(Onnx::new("Transpose", 13, 1).with("perm", Attribute::Ints(vec![0, 1, 3, 2])), &[k]);
        let scores = self.node(Onnx::new("MatMul", 13, 2), &[q, k]);
        let scores = self.node(Onnx::new("Softmax", 13, 1).with("axis", Attribute::Int(-1)), &[scores]);
        let y = self.node(Onnx::new("MatMul", 13, 2), &[scores, v]);
        let y =
            self.node(Onnx::new("Transpose", 13, 1).with("perm", Attribute::Ints(vec![0, 1, 3, 2])), &[y]);
        let side = self.side(x) as i64;
        let together = self.ints(&[0, 8, side, side]);
        let y = self.node(Onnx::new("Reshape", 14, 2), &[y, together]);
        let y = self.conv(y, c, 1, 1);
        self.node(Onnx::new("Add", 14, 2), &[x, y])
    }
}

fn network(seed: u64, layers: usize, attention: bool) -> (Graph, Weights) {
    let mut net = Net { graph: Graph::new(), weights: Weights::new(), random: Random(seed), count: 0 };
    let shape = vec![Dim::symbol("N"), 3.into(), 8.into(), 8.into()];
    let x = net.graph.add_input("x", Fact { dtype: occam_graph::DType::F32, shape }).unwrap();
    let mut y = net.conv(x, 8, 3, 1);
    for i in 0..layers {
        if attention && i == layers / 2 {
            y = net.attention(y);
        }
        if net.channels(y) > 48 {
            y = net.conv(y, 8, 1, 1);
        }
        y = net.layer(y);
    }
    let pooled = net.node(
        Onnx::new("AveragePool", 11, 1)
            .with("kernel_shape", Attribute::Ints(vec![4, 4]))
            .with("strides", Attribute::Ints(vec![4, 4])),
        &[y],
    );
    let flat = net.node(Onnx::new("Flatten", 13, 1), &[pooled]);
    let features = net.channels(flat);
    let w = net.param("fc.weight", &[5, features], -0.4, 0.4);
    let b = net.param("fc.bias", &[5], -0.3, 0.3);
    let y = net.node(Onnx::new("Gemm", 13, 3).with("transB", Attribute::Int(1)), &[flat, w, b]);
    net.graph.add_output("y", y).unwrap();
    (net.graph, net.weights)
}

fn run(graph: &Graph, weights: &Weights) -> Vec<f32> {
    let data = (0..2 * 3 * 64).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
    let inputs = Weights::from([("x".to_owned(), Array::from_f32([2, 3, 8, 8], data).unwrap())]);
    let out = Interpreter::new(graph, weights).unwrap().run(&inputs).unwrap();
    out["y"].as_f32().unwrap().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_removed_was_zero(
        seed in any::<u64>(), layers in 1usize..10, attention: bool, keep in 0.2f64..0.95, heads: bool,
    ) {
        let (graph, weights) = network(seed, layers, attention);
        let divide = if heads { Divide::Outermost } else { Divide::Finest };
        let units = trace(&graph, &TraceOptions { divide }).unwrap();
        let mut random = Random(seed ^ 0x5a5a);
        let mut selection = Selection::all(&units);
        for (i, unit) in units.units.iter().enumerate().filter(|(_, u)| u.kept_by.is_none() && u.exact) {
            let mut mask: Vec<bool> = (0..unit.channels).map(|_| random.next() < keep).collect();
            mask[random.below(unit.channels)] = true;
            selection.set(&units, i, mask).unwrap();
        }
        let (small, sliced) = shrink(&graph, &weights, &units, &selection).unwrap();
        let (full, zeros) = zeroed(&graph, &weights, &units, &selection).unwrap();
        let (found, wanted) = (run(&small, &sliced), run(&full, &zeros));
        let largest = wanted.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
        for (a, b) in found.iter().zip(&wanted) {
            prop_assert!((a - b).abs() <= 1e-4 * largest, "{found:?} and {wanted:?}");
        }
        let bindings = Bindings::from([("N".into(), 1)]);
        let cost = small.cost(&bindings).unwrap();
        let estimate = Estimator::new(&graph, &units, &bindings).unwrap().at(&selection.widths()).unwrap();
        prop_assert_eq!((cost.total.macs, cost.total.activations), (estimate.macs, estimate.activations));
        prop_assert_eq!(cost.params, estimate.params);
        let smooth = SmoothMacs::new(&graph, &units, &bindings).unwrap();
        let widths: Vec<f64> = selection.widths().into_iter().map(|w| w as f64).collect();
        let (macs, slopes) = smooth.at(&widths);
        prop_assert!((macs - estimate.macs as f64).abs() < 1e-6 * macs.max(1.0), "{} of {}", macs, estimate.macs);
        // Half a channel more and less: cubes do not occur, so that is the derivative.
        for (unit, slope) in slopes.iter().enumerate() {
            let at = |by: f64| {
                let mut other = widths.clone();
                other[unit] += by;
                smooth.at(&other).0
            };
            prop_assert!((at(0.5) - at(-0.5) - slope).abs() < 1e-6 * macs.max(1.0));
        }
    }

    #[test]
    fn what_is_added_changes_nothing(
        seed in any::<u64>(), layers in 1usize..10, attention: bool, more in 1usize..12, heads: bool,
    ) {
        let (graph, weights) = network(seed, layers, attention);
        let divide = if heads { Divide::Outermost } else { Divide::Finest };
        let options = TraceOptions { divide };
        let units = trace(&graph, &options).unwrap();
        let mut random = Random(seed ^ 0xa5a5);
        let widths: Vec<usize> = (units.units.iter())
            .map(|u| u.channels + if u.kept_by.is_none() && u.exact { random.below(more + 1) } else { 0 })
            .collect();
        let (large, longer) = match expand(&graph, &weights, &units, &options, &widths) {
            Err(error @ (occam_space::Error::Grow { .. } | occam_space::Error::Shrink { .. })) => {
                return Err(TestCaseError::reject(error.to_string()));
            }
            other => other.unwrap(),
        };
        let (found, wanted) = (run(&large, &longer), run(&graph, &weights));
        let largest = wanted.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
        for (a, b) in found.iter().zip(&wanted) {
            prop_assert!((a - b).abs() <= 1e-4 * largest, "{found:?} and {wanted:?}");
        }
        // Without what was added it is what it was.
        let grown = trace(&large, &options).unwrap();
        prop_assert_eq!(grown.units.len(), units.units.len());
        let mut selection = Selection::all(&grown);
        for (i, (unit, old)) in grown.units.iter().zip(&units.units).enumerate() {
            prop_assert_eq!(unit.channels, widths[i]);
            if old.channels < unit.channels {
                selection.set_width(&grown, i, old.channels).unwrap();
            }
        }
        let (_, again) = shrink(&large, &longer, &grown, &selection).unwrap();
        for (name, array) in &weights {
            prop_assert_eq!(array, &again[name], "{}", name);
        }
    }
}
