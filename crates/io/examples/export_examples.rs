//! Writes models to check in other programs: `export_examples FOLDER`, then `python tests/check_onnx.py FOLDER`.
//!
//! Every case is `NAME.onnx` with `NAME.safetensors`, which has its weights and its `input`.

use std::error::Error;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use occam_graph::ops::{
    Activation, AdaptivePad, Binary, ChannelShuffle, Concat, Conv, ExpandBatch, Flatten, LayerNorm, Linear,
    MatMul, Pool, PoolKind, Slice, Softmax, Transpose, Unflatten, examples,
};
use occam_graph::{Array, Bindings, Builder, Dim, Fact, Graph, Op, Role, Weights};
use occam_io::onnx::{ExportOptions, ExternalData, export, write_model_with};
use occam_io::safetensors;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Numbers in -1..1 that are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn array(&mut self, shape: Vec<usize>) -> Result<Array> {
        let n = shape.iter().product();
        Ok(Array::from_f32(shape, (0..n).map(|_| self.next()).collect())?)
    }
}

/// A graph of one node, `x` its input and `params` its parameters.
fn node(op: impl Into<Op>, x: Fact, params: &[(&str, &[usize])]) -> Result<Graph> {
    let mut b = Builder::new();
    let mut inputs = vec![b.input("input", x)?];
    for (name, shape) in params {
        inputs.push(b.param(name, shape, Role::Weight)?);
    }
    let y = b.op("node", op, &inputs)?;
    b.output("output", y)?;
    Ok(b.finish()?)
}

fn symbolic(sizes: &[&str]) -> Fact {
    let dim = |s: &&str| s.parse().map_or_else(|_| Dim::symbol(s), Dim::Known);
    Fact::f32(sizes.iter().map(dim))
}

fn pool(kind: PoolKind, kernel: usize, stride: usize, padding: usize, ceil_mode: bool) -> Pool {
    Pool { kind, kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2], ceil_mode }
}

/// One value as input, parameter and output in every combination.
fn names() -> Result<Graph> {
    let mut b = Builder::new();
    let x = b.input("input", symbolic(&["N", "4"]))?;
    let w = b.param("weight", &[4], Role::Weight)?;
    let y = b.op("sum", Binary::Add, &[x, w])?;
    let z = b.op("first", Binary::Mul, &[y, w])?;
    for (name, value) in [("first", y), ("second", y), ("same", x), ("constant", w), ("last", z)] {
        b.output(name, value)?;
    }
    Ok(b.finish()?)
}

fn cases() -> Result<Vec<(String, Graph)>> {
    let mut cases = vec![("small_classifier".to_owned(), examples::small_classifier()?)];
    for name in Op::FAMILIES {
        let graph = examples::of_family(name).ok_or_else(|| format!("there is no example of {name}"))??;
        cases.push(((*name).to_owned(), graph));
    }
    let image = || symbolic(&["N", "4", "6", "7"]);
    let free = || symbolic(&["N", "4", "H", "W"]);
    let mut add = |name: &str, graph: Result<Graph>| -> Result<()> {
        cases.push((name.to_owned(), graph?));
        Ok(())
    };
    add("names", names())?;
    add("mul", node(Binary::Mul, image(), &[("other", &[4, 1, 1])]))?;
    for (name, function) in activations() {
        add(name, node(function, image(), &[]))?;
    }
    let pad = |kernel, stride, corner| AdaptivePad {
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1, 1],
        corner,
    };
    add("same_3_2", node(pad(3, 2, false), image(), &[]))?;
    for (kernel, stride) in [(3, 1), (3, 2), (5, 2), (7, 4), (1, 2)] {
        add(&format!("same_{kernel}_{stride}_free"), node(pad(kernel, stride, false), free(), &[]))?;
    }
    add("corner_4_4", node(pad(4, 4, true), image(), &[]))?;
    add("corner_4_4_free", node(pad(4, 4, true), free(), &[]))?;
    add("tokens", tokens())?;
    add("layer_norm_4d", node(LayerNorm { eps: 1e-6 }, image(), &[("weight", &[7]), ("bias", &[7])]))?;
    let known = || symbolic(&["3", "4", "6", "7"]);
    add("matmul", node(MatMul { transpose_b: false }, known(), &[("other", &[3, 4, 7, 5])]))?;
    add("matmul_transposed", node(MatMul { transpose_b: true }, known(), &[("other", &[3, 4, 5, 7])]))?;
    add("softmax_last", node(Softmax { axis: 3 }, free(), &[]))?;
    add("transpose_free", node(Transpose { perm: vec![0, 3, 1, 2] }, free(), &[]))?;
    add(
        "unflatten_free",
        node(Unflatten { axis: 1, sizes: vec![2, 2] }, symbolic(&["N", "4", "H", "7"]), &[]),
    )?;
    add("shuffle_free", node(ChannelShuffle { groups: 2 }, free(), &[]))?;
    add("shuffle_2d", node(ChannelShuffle { groups: 3 }, symbolic(&["N", "12"]), &[]))?;
    add("slice_free", node(Slice { axis: 1, start: 2, end: 4 }, free(), &[]))?;
    add("slice_last", node(Slice { axis: 3, start: 0, end: 5 }, image(), &[]))?;
    add("flatten_2", node(Flatten { axis: 2 }, image(), &[]))?;
    add("flatten_4", node(Flatten { axis: 4 }, image(), &[]))?;
    add("flatten_free", node(Flatten { axis: 2 }, free(), &[]))?;
    add("linear_4d", node(Linear, image(), &[("weight", &[5, 7]), ("bias", &[5])]))?;
    add("linear_1d", node(Linear, symbolic(&["7"]), &[("weight", &[5, 7])]))?;
    add("linear_no_bias", node(Linear, symbolic(&["N", "7"]), &[("weight", &[5, 7])]))?;
    let depthwise = Conv { padding: [(0, 1), (2, 0)], groups: 4, ..Conv::default() };
    add("depthwise", node(depthwise, free(), &[("weight", &[8, 1, 3, 3])]))?;
    let (include, exclude) =
        (PoolKind::Average { count_include_pad: true }, PoolKind::Average { count_include_pad: false });
    for (name, kind) in [("max", PoolKind::Max), ("include", include), ("exclude", exclude)] {
        add(&format!("uneven_{name}"), node(uneven(kind), image(), &[]))?;
        for (k, s, p) in [(3, 2, 1), (2, 2, 0), (3, 2, 0), (1, 2, 0), (2, 3, 1), (3, 4, 1)] {
            for (suffix, ceil) in [("", false), ("_ceil", true)] {
                let name = format!("pool_{name}_{k}_{s}_{p}{suffix}");
                add(&name, node(pool(kind, k, s, p, ceil), image(), &[]))?;
                add(&format!("{name}_free"), node(pool(kind, k, s, p, ceil), free(), &[]))?;
            }
        }
    }
    Ok(cases)
}

fn activations() -> [(&'static str, Activation); 11] {
    [
        ("relu6", Activation::Relu6),
        ("leaky_relu", Activation::LeakyRelu { slope: 0.1 }),
        ("elu", Activation::Elu { alpha: 0.7 }),
        ("sigmoid", Activation::Sigmoid),
        ("tanh", Activation::Tanh),
        ("hard_sigmoid", Activation::HardSigmoid { bias: 3.0, divisor: 6.0, min: 0.0, max: 1.0 }),
        ("hard_sigmoid_wide", Activation::HardSigmoid { bias: 1.0, divisor: 2.0, min: -0.5, max: 1.5 }),
        ("hard_swish", Activation::HardSwish),
        ("silu", Activation::Silu),
        ("gelu", Activation::Gelu { tanh: false }),
        ("gelu_tanh", Activation::Gelu { tanh: true }),
    ]
}

/// A learned token before the others of every image.
fn tokens() -> Result<Graph> {
    let mut b = Builder::new();
    let x = b.input("input", symbolic(&["N", "3", "4"]))?;
    let token = b.param("token", &[1, 2, 4], Role::Weight)?;
    let y = b.op("node", ExpandBatch, &[token, x])?;
    let y = b.op("concat", Concat { axis: 1 }, &[y, x])?;
    b.output("output", y)?;
    Ok(b.finish()?)
}

/// Along one axis the last window is dropped, along the other it reaches beyond the padding.
fn uneven(kind: PoolKind) -> Pool {
    Pool { kind, kernel: [2, 4], stride: [4, 3], padding: [1, 1], ceil_mode: true }
}

fn write(folder: &Path, name: &str, graph: &Graph, opset: i64, external: ExternalData) -> Result<()> {
    let mut random = Random(name.len() as u64);
    let mut weights = Weights::new();
    for (_, value) in graph.params() {
        let shape = value.fact.known_shape().ok_or("a parameter's shape is not known")?;
        let mut array = random.array(shape)?;
        if value.name.ends_with("running_var") {
            let positive = array.as_f32()?.iter().map(|x| x.abs() + 0.5).collect();
            array = Array::from_f32(array.shape(), positive)?;
        }
        if value.name == "p" {
            let power = array.as_f32()?.iter().map(|x| x.abs() + 2.0).collect();
            array = Array::from_f32(array.shape(), power)?;
        }
        weights.insert(value.name.clone(), array);
    }
    let options = ExportOptions {
        opset,
        doc: format!("The case {name}."),
        metadata: IndexMap::from([("case".to_owned(), name.to_owned())]),
        ..ExportOptions::default()
    };
    let path = |suffix: &str| -> PathBuf { folder.join(format!("{name}.{suffix}")) };
    write_model_with(path("onnx"), &export(graph, &weights, &options)?, external)?;

    let input = graph.inputs().first().ok_or("the graph has no input")?;
    let bindings = Bindings::from([("N".into(), 3), ("H".into(), 6), ("W".into(), 7)]);
    let mut x = random.array(graph.value(*input)?.fact.eval_shape(&bindings)?)?;
    if activations().iter().any(|(n, _)| *n == name) {
        x = Array::from_f32(x.shape(), x.as_f32()?.iter().map(|x| x * 9.0).collect())?;
    }
    weights.insert("input".into(), x);
    safetensors::save(path("safetensors"), &weights, &options.metadata)?;
    Ok(())
}

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: export_examples FOLDER")?);
    std::fs::create_dir_all(&folder)?;
    for (name, graph) in cases()? {
        write(&folder, &name, &graph, ExportOptions::default().opset, ExternalData::Auto)?;
    }
    for opset in [15, 18, 19, 21, 22, 23] {
        for (name, graph) in cases()?.into_iter().take(Op::FAMILIES.len() + 1) {
            write(&folder, &format!("{name}@{opset}"), &graph, opset, ExternalData::Auto)?;
        }
    }
    // A weight that is large enough to lie outside.
    let wide = node(Linear, symbolic(&["N", "7"]), &[("weight", &[500, 7]), ("bias", &[500])])?;
    write(&folder, "external", &wide, 17, ExternalData::Always)?;
    Ok(())
}
