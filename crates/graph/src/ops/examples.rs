//! Small graphs that use each operator, for tests of everything that must know all of them.

use super::{
    Activation, AdaptivePad, BatchNorm, Binary, ChannelShuffle, Concat, Conv, DropUnit, Dropout, ExpandBatch,
    FakeQuant, Flatten, GemPool, GlobalAvgPool, LayerNorm, Linear, MatMul, NormScale, Onnx, Pool, PoolKind,
    Scale, Slice, Softmax, Transpose, Unflatten,
};
use crate::{Builder, Dim, Error, Fact, Graph, Op, Result, Role, ValueId};

fn batch(shape: &[usize]) -> Fact {
    let mut dims = vec![Dim::symbol("N")];
    dims.extend(shape.iter().map(|&d| Dim::Known(d)));
    Fact::f32(dims)
}

/// A convolution with batch-norm and ReLU, pooled and classified: 4 classes from `[N, 3, 8, 8]`.
///
/// # Errors
/// None that a caller can cause.
pub fn small_classifier() -> Result<Graph> {
    let mut b = Builder::new();
    let x = b.input("input", batch(&[3, 8, 8]))?;
    let y = b.module::<Error>("backbone", &[x], |b| {
        let y = b.module("conv", &[x], |b| {
            let w = b.param("weight", &[6, 3, 3, 3], Role::Weight)?;
            b.this(Conv { padding: [(1, 1); 2], stride: [2, 2], ..Conv::default() }, &[x, w])
        })?;
        let y = b.module("bn", &[y], |b| b.batch_norm(y))?;
        b.module("relu", &[y], |b| b.this(Activation::Relu, &[y]))
    })?;
    let y = b.op("pool", GlobalAvgPool, &[y])?;
    let y = b.op("flatten", Flatten { axis: 1 }, &[y])?;
    let y = b.module("fc", &[y], |b| {
        let w = b.param("weight", &[4, 6], Role::Weight)?;
        let bias = b.param("bias", &[4], Role::Weight)?;
        b.this(Linear, &[y, w, bias])
    })?;
    b.output("output", y)?;
    b.finish()
}

impl Builder {
    fn batch_norm(&mut self, x: ValueId) -> Result<ValueId> {
        let c = self.channels(x)?;
        let inputs = [
            x,
            self.param("weight", &[c], Role::Weight)?,
            self.param("bias", &[c], Role::Weight)?,
            self.param("running_mean", &[c], Role::Buffer)?,
            self.param("running_var", &[c], Role::Buffer)?,
        ];
        self.this(BatchNorm::default(), &inputs)
    }
}

/// An operand that is a parameter: name, shape, role.
type Other = (&'static str, Vec<usize>, Role);

/// A graph of one node of the family called `name` (see [`Op::FAMILIES`]), with a symbolic batch `N`; none for an
/// unknown name.
pub fn of_family(name: &str) -> Option<Result<Graph>> {
    let image = batch(&[4, 6, 6]);
    let features = batch(&[12]);
    let (op, x, others): (Op, Fact, Vec<Other>) = match name {
        "Activation" => (Activation::Relu.into(), image, vec![]),
        "AdaptivePad" => (
            AdaptivePad { kernel: [3, 5], stride: [2, 2], dilation: [2, 1], corner: false }.into(),
            image,
            vec![],
        ),
        "BatchNorm" => (
            BatchNorm::default().into(),
            image,
            vec![
                ("weight", vec![4], Role::Weight),
                ("bias", vec![4], Role::Weight),
                ("running_mean", vec![4], Role::Buffer),
                ("running_var", vec![4], Role::Buffer),
            ],
        ),
        "Binary" => (Binary::Add.into(), image, vec![("other", vec![1, 4, 1, 1], Role::Weight)]),
        "ChannelShuffle" => (ChannelShuffle { groups: 2 }.into(), image, vec![]),
        "Concat" => (Concat { axis: 0 }.into(), batch(&[4]), vec![("other", vec![2, 4], Role::Weight)]),
        "Conv" => (
            Conv { stride: [2, 1], padding: [(1, 1), (2, 2)], dilation: [1, 2], groups: 2 }.into(),
            image,
            vec![("weight", vec![6, 2, 3, 3], Role::Weight), ("bias", vec![6], Role::Weight)],
        ),
        "Dropout" => (Dropout { rate: 0.5, unit: DropUnit::Element }.into(), image, vec![]),
        "ExpandBatch" => {
            (ExpandBatch.into(), Fact::f32([1usize, 2, 4]), vec![("like", vec![3, 5], Role::Weight)])
        }
        "FakeQuant" => (
            FakeQuant::new(-8, 7, Some(1)).into(),
            image,
            vec![("scale", vec![4], Role::Buffer), ("zero_point", vec![4], Role::Buffer)],
        ),
        "Flatten" => (Flatten { axis: 1 }.into(), image, vec![]),
        "GemPool" => (GemPool { eps: 1e-6 }.into(), image, vec![("p", vec![1], Role::Weight)]),
        "GlobalAvgPool" => (GlobalAvgPool.into(), image, vec![]),
        "LayerNorm" => (
            LayerNorm { eps: 1e-6 }.into(),
            features,
            vec![("weight", vec![12], Role::Weight), ("bias", vec![12], Role::Weight)],
        ),
        "Linear" => (
            Linear.into(),
            features,
            vec![("weight", vec![5, 12], Role::Weight), ("bias", vec![5], Role::Weight)],
        ),
        "MatMul" => (
            MatMul { transpose_b: true }.into(),
            Fact::f32([2usize, 3, 4]),
            vec![("other", vec![2, 5, 4], Role::Weight)],
        ),
        "NormScale" => (
            NormScale { axis: 1, eps: 1e-5, inverse: true }.into(),
            image,
            vec![("weight", vec![4], Role::Weight), ("running_var", vec![4], Role::Buffer)],
        ),
        "Onnx" => (Onnx::new("Abs", 17, 1).into(), image, vec![]),
        "Pool" => (
            Pool { kind: PoolKind::Max, kernel: [3, 3], stride: [2, 2], padding: [1, 1], ceil_mode: false }
                .into(),
            image,
            vec![],
        ),
        "Scale" => (Scale { factor: 0.25 }.into(), image, vec![]),
        "Slice" => (Slice { axis: 1, start: 1, end: 3 }.into(), image, vec![]),
        "Softmax" => (Softmax { axis: 1 }.into(), features, vec![]),
        "Transpose" => (Transpose { perm: vec![0, 2, 3, 1] }.into(), image, vec![]),
        "Unflatten" => (Unflatten { axis: 1, sizes: vec![3, 4] }.into(), features, vec![]),
        _ => return None,
    };
    Some((|| {
        let mut b = Builder::new();
        let mut inputs = vec![b.input("input", x)?];
        for (name, shape, role) in others {
            inputs.push(b.param(name, &shape, role)?);
        }
        let y = b.op("node", op, &inputs)?;
        b.output("output", y)?;
        b.finish()
    })())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_an_example() {
        for name in Op::FAMILIES {
            let graph = of_family(name).unwrap_or_else(|| panic!("no example of {name}")).unwrap();
            let (_, node) = graph.nodes().next().unwrap();
            assert_eq!(node.op.family_name(), *name);
            let (inputs, outputs) = (graph.facts(&node.inputs).unwrap(), graph.facts(&node.outputs).unwrap());
            let map = node.op.family().axes(&inputs, &outputs);
            let linked = map.links.iter().flat_map(|l| [l.a, l.b]);
            let parts = map.regroups.iter().flat_map(|r| r.parts.iter().filter_map(|p| p.axis));
            let wholes = map.regroups.iter().map(|r| r.whole);
            let others = map.sizes.iter().chain(&map.statistics).copied();
            for end in linked.chain(parts).chain(wholes).chain(others) {
                let fact = match end.port {
                    crate::Port::Input(i) => inputs[i],
                    crate::Port::Output(i) => outputs[i],
                };
                assert!(end.axis < fact.rank(), "{name}: {end:?} is beyond {fact}");
            }
        }
    }
}
