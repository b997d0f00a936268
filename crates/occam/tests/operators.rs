//! Every operator is known in all three places: shapes, evaluation, ONNX.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use occam::engine::{Device, Executor, Params, Request, Tensor};
use occam::graph::ops::examples;
use occam::graph::{Bindings, Op};
use occam_testing::fill;

#[test]
fn every_operator_is_complete() {
    for name in Op::FAMILIES {
        let graph = examples::of_family(name).unwrap_or_else(|| panic!("{name} has no example")).unwrap();
        let weights = graph
            .params()
            .map(|(_, v)| (v.name.clone(), fill(&v.name, &v.fact.known_shape().unwrap(), 0.5, 1.5)))
            .collect();
        let bindings = Bindings::from([("N".into(), 2)]);
        let input = graph.value(graph.inputs()[0]).unwrap();
        let x = fill("input", &input.fact.eval_shape(&bindings).unwrap(), -1.0, 1.0);
        let wanted = graph.value(graph.outputs()[0].1).unwrap().fact.eval_shape(&bindings).unwrap();

        let proto = occam::io::onnx::export(&graph, &weights, &Default::default()).unwrap();
        assert!(!proto.graph.unwrap().node.is_empty(), "{name} has no ONNX form");

        let params = Params::new(&graph, &weights, &Device::cpu()).unwrap();
        let x = Tensor::from_array(&x, &Device::cpu()).unwrap();
        let out = Executor::new(Arc::new(graph))
            .unwrap()
            .run(&params.constants(), &[x], &Request::default())
            .unwrap();
        assert_eq!(out.outputs[0].shape(), wanted, "{name}");
        assert!(out.outputs[0].to_f32().unwrap().iter().all(|v| v.is_finite()), "{name}");
    }
}
