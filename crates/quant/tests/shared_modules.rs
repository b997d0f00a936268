//! Layers that are called several times keep one weight, with one grid.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_config::{Loader, Registry};
use occam_engine::{Device, Executor, Params, Request};
use occam_graph::ops::{Activation, BatchNorm, Binary, Conv, GlobalAvgPool};
use occam_graph::{Builder, Dim, Fact, Graph, Op, Role, ValueId, Weights};
use occam_quant::quantizers::{Quantizer, deploy, prepare};
use occam_testing::{assert_close, fill, values};

fn quantizer() -> Box<dyn Quantizer> {
    let text = "x = dict(type='TensorRTQuantizer', global_qconfig=dict(w_observer=dict(type='PerChannelMinMaxObserver'), \
                a_observer=dict(type='MinMaxObserver'), w_fake_quant=dict(type='FakeQuantize'), \
                a_fake_quant=dict(type='FakeQuantize'), w_qscheme=dict(qdtype='qint8', bit=16, is_symmetric_range=True), \
                a_qscheme=dict(qdtype='qint8', bit=16)))\n";
    let mut registry = Registry::new();
    occam_quant::register(&mut registry);
    let config = Loader::new().load_str("quantizer.py", text).unwrap();
    registry.build::<dyn Quantizer>(config.get("x").unwrap()).unwrap()
}

/// One convolution on two inputs, each followed by the normalization of that name.
fn model(norms: [Option<&str>; 2]) -> Graph {
    let mut b = Builder::new();
    let x = b.input("input", Fact::f32([Dim::symbol("N"), 4.into(), 6.into(), 6.into()])).unwrap();
    let mut at = x;
    let mut found = Vec::new();
    for norm in norms {
        let conv = Conv { padding: [(1, 1); 2], ..Conv::default() };
        let w = b.param("conv.weight", &[4, 4, 3, 3], Role::Weight).unwrap();
        let mut y = b.op("conv", conv, &[at, w]).unwrap();
        if let Some(norm) = norm {
            y = normal(&mut b, norm, y);
        }
        at = b.op("relu", Activation::Relu, &[y]).unwrap();
        found.push(at);
    }
    let y = b.op("add", Binary::Add, &found).unwrap();
    let y = b.op("pool", GlobalAvgPool, &[y]).unwrap();
    b.output("output", y).unwrap();
    b.finish().unwrap()
}

fn normal(b: &mut Builder, name: &str, x: ValueId) -> ValueId {
    let inputs = [
        x,
        b.param(&format!("{name}.weight"), &[4], Role::Weight).unwrap(),
        b.param(&format!("{name}.bias"), &[4], Role::Weight).unwrap(),
        b.param(&format!("{name}.running_mean"), &[4], Role::Buffer).unwrap(),
        b.param(&format!("{name}.running_var"), &[4], Role::Buffer).unwrap(),
    ];
    b.op(name, BatchNorm::default(), &inputs).unwrap()
}

fn run(graph: &Graph, weights: &Weights) -> Vec<f64> {
    let params = Params::new(graph, weights, &Device::cpu()).unwrap();
    let executor = Executor::new(graph.clone().into()).unwrap();
    let input = [fill("input", &[2, 4, 6, 6], -2.0, 2.0)];
    let out = executor.run_arrays(&params.constants(), &input, &Request::default(), &Device::cpu()).unwrap();
    values(&out[0])
}

/// Grids so fine that rounding hardly shows.
fn fine(weights: &mut Weights) {
    for (name, array) in weights.iter_mut() {
        if name.ends_with(".scale") {
            let range = if name.contains("weight") { 3.0 } else { 30.0 };
            *array = occam_graph::Array::full(array.shape(), range / 32767.0);
        }
    }
}

#[test]
fn one_weight_has_one_grid() {
    for (norms, nodes, deployed) in [
        ([None, None], 1, true),
        ([Some("bn"), Some("bn")], 2, true),
        ([Some("bn"), Some("other")], 2, false),
        ([Some("bn"), None], 2, false),
    ] {
        let graph = model(norms);
        let weights = occam_testing::weights(&graph);
        let quantizer = quantizer();
        let placed = quantizer.place(&graph).unwrap();
        let mut prepared = prepare(&graph, &weights, &placed, quantizer.rules()).unwrap();
        let weight = prepared.graph.find("conv.weight.quant.scale").unwrap();
        let readers = prepared.graph.readers(weight);
        assert_eq!(readers.len(), nodes, "{norms:?}");
        let scales = prepared.graph.params().filter(|(_, v)| v.name.starts_with("conv.weight.quant"));
        assert_eq!(scales.count(), 2, "{norms:?}");

        fine(&mut prepared.weights);
        let whole = run(&graph, &weights);
        assert_close(&format!("{norms:?}"), &run(&prepared.graph, &prepared.weights), &whole, 3e-3);
        let made =
            deploy(&graph, &prepared.weights, &placed, quantizer.rules(), &prepared.quants, &prepared.graph);
        match made {
            Ok((graph, weights)) => {
                assert!(deployed, "{norms:?}");
                assert!(!graph.nodes().any(|(_, n)| matches!(n.op, Op::BatchNorm(_))));
                let prepared = run(&prepared.graph, &prepared.weights);
                assert_close(&format!("{norms:?}"), &run(&graph, &weights), &prepared, 3e-3);
            }
            Err(error) => {
                assert!(!deployed, "{norms:?}: {error}");
                assert!(error.to_string().contains("different normalizations"), "{error}");
            }
        }
    }
}

/// A normalization that starts at 0, as the last of a residual block, neither breaks nor stops the training.
#[test]
fn a_factor_of_zero_counts_as_one() {
    let graph = model([Some("bn"), Some("other")]);
    let mut weights = occam_testing::weights(&graph);
    weights.insert("other.weight".into(), occam_graph::Array::full([4], 0.0));
    let quantizer = quantizer();
    let placed = quantizer.place(&graph).unwrap();
    let mut prepared = prepare(&graph, &weights, &placed, quantizer.rules()).unwrap();
    fine(&mut prepared.weights);
    let found = run(&prepared.graph, &prepared.weights);
    assert_close("output", &found, &run(&graph, &weights), 3e-3);
}
