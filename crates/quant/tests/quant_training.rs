//! Calibration, training and deployment compute what the original's do: `tools/golden/quant_training.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::any::Any;

use occam_config::{Loader, Registry};
use occam_data::{Batch, DataSample, Seed};
use occam_engine::{Device, Executor, Params, Request};
use occam_graph::{Array, Source};
use occam_quant::algorithms::{MMArchitectureQuant, Phases};
use occam_testing::{Golden, assert_close, fill, labels, values};
use occam_train::{Algorithm, Env, GradientMap, StepContext};

const LAYERS: [&str; 4] =
    ["backbone.conv1", "backbone.layer1.0.conv2", "backbone.layer2.0.downsample.0", "head.fc"];

fn qconfig(kind: &str, a_qscheme: &str, bit: u32) -> String {
    let [fake, w, a] = match kind {
        "lsq" => ["LearnableFakeQuantize", "LSQPerChannelObserver", "LSQObserver"],
        _ => ["FakeQuantize", "PerChannelMinMaxObserver", "MovingAverageMinMaxObserver"],
    };
    format!(
        "dict(w_observer=dict(type='{w}'), a_observer=dict(type='{a}'), w_fake_quant=dict(type='{fake}'), \
         a_fake_quant=dict(type='{fake}'), w_qscheme=dict(qdtype='qint8', bit={bit}, is_symmetry=True, \
         is_symmetric_range=True), a_qscheme=dict({a_qscheme}, bit={bit}))"
    )
}

fn algorithm(quantizer: &str) -> Box<dyn Algorithm> {
    let mut registry = Registry::new();
    occam_zoo::register(&mut registry);
    occam_train::register(&mut registry);
    occam_quant::register(&mut registry);
    let loader = Loader::new();
    let text = format!(
        "x = dict(type='MMArchitectureQuant', architecture=dict(type='ImageClassifier', \
         backbone=dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4, num_stages=2, strides=(1, 2), \
         dilations=(1, 1), out_indices=(1, ), zero_init_residual=False), neck=dict(type='GlobalAveragePooling'), \
         head=dict(type='LinearClsHead', num_classes=5, in_channels=8, loss=dict(type='CrossEntropyLoss'))), \
         quantizer={quantizer})\n"
    );
    let config = loader.load_str("a.py", &text).unwrap();
    let env = Env { registry: &registry, loader: &loader, seed: Seed(3), device: Device::cpu() };
    let mut algorithm = env.algorithm(config.get("x").unwrap()).unwrap();
    let weights = occam_testing::weights(own(&*algorithm).original().graph());
    // As a run loads them.
    algorithm.adopt(&weights).unwrap();
    for (_, model) in algorithm.models_mut() {
        model.load_part(&weights).unwrap();
    }
    algorithm
}

fn own(algorithm: &dyn Algorithm) -> &MMArchitectureQuant {
    (algorithm as &dyn Any).downcast_ref().unwrap()
}

fn own_mut(algorithm: &mut dyn Algorithm) -> &mut MMArchitectureQuant {
    (algorithm as &mut dyn Any).downcast_mut().unwrap()
}

fn batch(name: &str) -> Batch {
    let sample = |label| DataSample { gt_label: vec![label], ..DataSample::default() };
    Batch {
        inputs: fill(name, &[4, 3, 16, 16], -2.0, 2.0),
        samples: labels("label", 4, 5).into_iter().map(sample).collect(),
    }
}

/// The golden's values and the beginnings of the names of their grids.
fn grids(algorithm: &MMArchitectureQuant) -> Vec<(String, String)> {
    let graph = algorithm.original().graph();
    let output = |layer: &str| {
        // The value of the layer with what is fused with it.
        let weight = graph.find(&format!("{layer}.weight")).unwrap();
        let mut at = graph.node(graph.readers(weight)[0].0).unwrap().outputs[0];
        loop {
            let readers = graph.readers(at);
            let next = graph.node(readers[0].0).unwrap();
            if readers.len() != 1 || !["BatchNorm", "Relu"].contains(&next.op.family().name()) {
                return graph.value(at).unwrap().name.clone();
            }
            at = next.outputs[0];
        }
    };
    let mut list = vec![
        ("inputs".into(), "input".into()),
        ("backbone.conv1".to_owned(), output("backbone.conv1")),
        ("backbone.layer1.0.conv1".to_owned(), output("backbone.layer1.0.conv1")),
    ];
    let fc = graph.find("head.fc.weight").unwrap();
    let view = graph.node(graph.readers(fc)[0].0).unwrap().inputs[0];
    assert!(matches!(graph.value(view).unwrap().source, Source::Node(..)));
    list.push(("view#0".into(), graph.value(view).unwrap().name.clone()));
    list.extend(LAYERS.map(|l| (format!("{l}.weight"), format!("{l}.weight"))));
    list
}

fn param(algorithm: &MMArchitectureQuant, name: &str) -> Vec<f64> {
    let found = algorithm.architecture().params.get(name).unwrap_or_else(|| panic!("no `{name}`"));
    values(&found.tensor.to_array().unwrap())
}

fn check_grids(golden: &Golden, prefix: &str, algorithm: &MMArchitectureQuant) {
    for (wanted, name) in grids(algorithm) {
        for (part, key) in [("scale", "scale"), ("zero_point", "zero")] {
            let found = param(algorithm, &format!("{name}.quant.{part}"));
            let key = format!("{prefix}.{key}.{wanted}");
            assert_close(&key, &found, &golden.values(&key), 2e-5);
        }
    }
}

fn logits(algorithm: &MMArchitectureQuant, batch: &Batch) -> Vec<f64> {
    let model = algorithm.architecture();
    let outputs = model.forward(&model.params.constants(), batch, &Request::default()).unwrap();
    values(&outputs.outputs[0].to_array().unwrap())
}

#[test]
fn calibration_and_deployment_are_the_originals() {
    let golden = Golden::load("quant_training");
    let scheme = "qdtype='qint8', is_symmetry=True, averaging_constant=0.1";
    let quantizer = format!("dict(type='TensorRTQuantizer', global_qconfig={})", qconfig("plain", scheme, 8));
    let mut algorithm = algorithm(&quantizer);
    assert!(!own(&*algorithm).unseen().is_empty());
    let batches = [batch("input"), batch("input2")];
    own_mut(&mut *algorithm).calibrate_by(batches.into_iter().map(Ok)).unwrap();
    let quantized = own(&*algorithm);
    assert!(quantized.unseen().is_empty());
    check_grids(&golden, "ptq", quantized);
    let input = batch("input3");
    assert_close("logits", &logits(quantized, &input), &golden.values("ptq.logits"), 1e-4);

    let (graph, weights) = quantized.deployed().unwrap();
    for layer in LAYERS {
        for part in ["weight", "bias"] {
            let key = format!("deploy.{layer}.{part}");
            assert_close(&key, &values(&weights[&format!("{layer}.{part}")]), &golden.values(&key), 2e-5);
        }
    }
    let left = |family: &str| graph.nodes().filter(|(_, n)| n.op.family_name() == family).count();
    assert_eq!((left("BatchNorm"), left("NormScale")), (0, 0));
    let run = |graph: occam_graph::Graph, weights: &occam_graph::Weights| {
        let params = Params::new(&graph, weights, &Device::cpu()).unwrap();
        let executor = Executor::new(graph.into()).unwrap();
        let inputs: [Array; 1] = [input.inputs.clone()];
        let found =
            executor.run_arrays(&params.constants(), &inputs, &Request::default(), &Device::cpu()).unwrap();
        values(&found[0])
    };
    assert_close("deployed", &run(graph, &weights), &golden.values("deploy.logits"), 1e-4);
    // And with integers.
    let (graph, weights) = algorithm.exported().unwrap().unwrap();
    assert_eq!(graph.nodes().filter(|(_, n)| n.op.family_name() == "FakeQuant").count(), 0);
    assert_close("integers", &run(graph, &weights), &golden.values("deploy.logits"), 1e-4);
}

/// Two passes with the same weights: what the second gives.
fn train(algorithm: &mut dyn Algorithm, phases: Phases) -> (f64, GradientMap) {
    own_mut(algorithm).set_phases(phases);
    let context = StepContext { epoch: 0, iter: 0, seed: Seed(3) };
    algorithm.train_step(&batch("input"), &context).unwrap();
    let step = algorithm.train_step(&batch("input2"), &context).unwrap();
    (f64::from(step.losses["loss"]), step.gradients)
}

fn check_training(prefix: &str, algorithm: &mut dyn Algorithm, phases: Phases) -> GradientMap {
    let golden = Golden::load("quant_training");
    let (loss, gradients) = train(algorithm, phases);
    assert_close("loss", &[loss], &golden.values(&format!("{prefix}.loss")), 1e-5);
    check_grids(&golden, prefix, own(algorithm));
    for key in golden.keys().map(str::to_owned).collect::<Vec<_>>() {
        if let Some(name) = key.strip_prefix(&format!("{prefix}.grad.")) {
            let found = values(&gradients[&format!("architecture.{name}")].to_array().unwrap());
            assert_close(&key, &found, &golden.values(&key), 2e-4);
        } else if let Some(name) = key.strip_prefix(&format!("{prefix}.buffer.")) {
            assert_close(&key, &param(own(algorithm), name), &golden.values(&key), 1e-5);
        }
    }
    gradients
}

#[test]
fn training_is_the_originals() {
    let config = qconfig("plain", "qdtype='quint8', is_symmetry=False, averaging_constant=0.1", 8);
    let quantizer = format!("dict(type='AcademicQuantizer', qconfig_mapping=dict(_global_={config}))");
    check_training("qat", &mut *algorithm(&quantizer), Phases::default());
}

#[test]
fn grids_learn_as_the_originals() {
    let config = qconfig("lsq", "qdtype='quint8', is_symmetry=True", 4);
    let quantizer = format!("dict(type='AcademicQuantizer', qconfig_mapping=dict(_global_={config}))");
    let mut algorithm = algorithm(&quantizer);
    let phases = Phases { learned_grids: true, ..Phases::default() };
    let gradients = check_training("lsq", &mut *algorithm, phases);
    let golden = Golden::load("quant_training");
    for (wanted, name) in grids(own(&*algorithm)) {
        let key = format!("lsq.grad_scale.{wanted}");
        let found = &gradients[&format!("architecture.{name}.quant.scale")];
        assert_close(&key, &values(&found.to_array().unwrap()), &golden.values(&key), 2e-4);
    }
}

/// OpenVINO's own form computes the same, but for values half-way between two integers, which its formula may round the other way.
#[test]
fn fake_quantize_is_what_was_simulated() {
    let scheme = "qdtype='quint8', is_symmetry=False";
    let config = qconfig("plain", scheme, 8);
    let quantizer = format!("dict(type='OpenVINOQuantizer', export='FakeQuantize', global_qconfig={config})");
    let mut algorithm = algorithm(&quantizer);
    let batches = [batch("input"), batch("input2")];
    own_mut(&mut *algorithm).calibrate_by(batches.into_iter().map(Ok)).unwrap();
    let input = batch("input3");
    let wanted = logits(own(&*algorithm), &input);
    let (graph, weights) = algorithm.exported().unwrap().unwrap();
    let params = Params::new(&graph, &weights, &Device::cpu()).unwrap();
    let executor = Executor::new(graph.into()).unwrap();
    let inputs = [input.inputs];
    let found = executor.run_arrays(&params.constants(), &inputs, &Request::default(), &Device::cpu());
    assert_close("logits", &values(&found.unwrap()[0]), &wanted, 2e-2);
}
