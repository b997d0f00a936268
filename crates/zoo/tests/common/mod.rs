//! One evaluation and one training step of a classifier with the formula's weights and images.
#![allow(dead_code)]

use std::sync::Arc;

use indexmap::IndexMap;
use occam_config::{Loader, Registry, Value};
use occam_data::streams::Draw;
use occam_data::{DataSample, Seed};
use occam_engine::{Device, Executor, Mode, Noise, Params, Request, Tensor, collect};
use occam_testing::{Golden, assert_close, fill, labels, unit, values, weights};
use occam_zoo::{Architecture, Backbone, Net, Returned, Sites, TaskModel};

pub fn registry() -> Registry {
    let mut registry = Registry::new();
    occam_zoo::register(&mut registry);
    registry
}

pub fn sizes(shape: &serde_json::Value) -> Vec<usize> {
    shape.as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect()
}

/// `input` of a golden's metadata.
pub fn input_shape(about: &serde_json::Value) -> Vec<usize> {
    match about {
        serde_json::Value::Object(o) => sizes(&o["shape"]),
        list => sizes(list),
    }
}

pub fn model(config: &Value) -> TaskModel {
    registry().build::<dyn Architecture>(config).unwrap().build().unwrap()
}

/// The model that `text`, a config's value, describes.
pub fn parsed(text: &str) -> TaskModel {
    let value = Loader::new().load_str("model.py", &format!("model = {text}")).unwrap();
    model(value.get("model").unwrap())
}

/// Names and shapes of the original's state dict, without batch counters.
pub fn state_dict(golden: &Golden) -> Vec<(String, Vec<usize>)> {
    named_shapes(&golden.json("state_dict"))
}

/// Rows of name and shape, without batch counters.
pub fn named_shapes(rows: &serde_json::Value) -> Vec<(String, Vec<usize>)> {
    let row = |row: &serde_json::Value| (row[0].as_str().unwrap().to_owned(), sizes(&row[1]));
    let skipped = |k: &str| k.ends_with("num_batches_tracked") || k.ends_with("relative_position_index");
    rows.as_array().unwrap().iter().map(row).filter(|(k, _)| !skipped(k)).collect()
}

pub struct Step {
    pub eval_logits: Vec<f64>,
    pub train_logits: Vec<f64>,
    pub loss: f64,
    /// Running statistics after the step.
    pub buffers: IndexMap<String, Vec<f64>>,
    pub grads: IndexMap<String, Vec<f64>>,
}

/// Runs a model whose state dict must be the golden's, in whatever order.
pub fn step(model: TaskModel, golden: &Golden) -> Step {
    step_on(model, &state_dict(golden), &input_shape(&golden.json("input")))
}

/// Runs a model whose state dict must be `state`, in whatever order, on images of that shape.
pub fn step_on(model: TaskModel, state: &[(String, Vec<usize>)], shape: &[usize]) -> Step {
    step_in(Mode::Train, model, state, shape)
}

/// [`step_on`] with the gradients of the loss in that mode.
pub fn step_in(mode: Mode, model: TaskModel, state: &[(String, Vec<usize>)], shape: &[usize]) -> Step {
    let mut found: Vec<(String, Vec<usize>)> =
        model.graph.params().map(|(_, v)| (v.name.clone(), v.fact.known_shape().unwrap())).collect();
    let mut wanted = state.to_vec();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "state dict");

    let cpu = Device::cpu();
    let params = Params::new(&model.graph, &weights(&model.graph), &cpu).unwrap();
    let input = Tensor::from_array(&fill("input", shape, -2.0, 2.0), &cpu).unwrap();
    let samples: Vec<DataSample> = labels("label", shape[0], 10)
        .into_iter()
        .map(|l| DataSample { gt_label: vec![l], ..DataSample::default() })
        .collect();
    let executor = Executor::new(Arc::new(model.graph)).unwrap();
    let numbers = |t: &Tensor| values(&t.to_array().unwrap());

    let eval = Request::new(Mode::Eval);
    let out = executor.run(&params.constants(), std::slice::from_ref(&input), &eval).unwrap();
    let eval_logits = numbers(&out.outputs[0]);

    let leaves = params.leaves();
    let run = |mode| executor.run(&leaves, std::slice::from_ref(&input), &Request::new(mode)).unwrap();
    let loss = |outputs: &[Tensor]| {
        model.task.loss(outputs, &samples, &mut Sites::default()).unwrap()["loss"].clone()
    };
    let out = run(Mode::Train);
    let train_loss = loss(&out.outputs);
    let differentiated = if mode == Mode::Train { train_loss.clone() } else { loss(&run(mode).outputs) };
    let grads = collect(&leaves, &mut differentiated.backward().unwrap());
    Step {
        eval_logits,
        train_logits: numbers(&out.outputs[0]),
        loss: f64::from(train_loss.item().unwrap()),
        buffers: out.buffers.iter().map(|(k, t)| (k.clone(), numbers(t))).collect(),
        grads: grads.iter().map(|(k, t)| (k.clone(), numbers(t))).collect(),
    }
}

pub fn norm(v: &[f64]) -> f64 {
    v.iter().map(|g| g * g).sum::<f64>().sqrt()
}

/// Inner product with the probe of parameter `key`.
pub fn probe(key: &str, grad: &[f64]) -> f64 {
    let probe = unit(&format!("probe.{key}"), grad.len());
    grad.iter().zip(probe).map(|(g, u)| g * f64::from((2.0 * u - 1.0) as f32)).sum()
}

/// Features of a backbone in evaluation, with its number of trainable elements.
pub fn features(config: &Value, shape: &[usize]) -> (Vec<Tensor>, u64) {
    let backbone = registry().build::<dyn Backbone>(config).unwrap();
    let mut net = Net::new();
    let x = net.input("input", occam_graph::Fact::f32(shape.to_vec())).unwrap();
    let features = net.tuple("backbone", &[x], |net| Ok(Returned::Tuple(backbone.build(net, x)?))).unwrap();
    for (i, &v) in features.iter().enumerate() {
        net.output(&format!("features{i}"), v).unwrap();
    }
    let graph = net.into_parts().0.finish().unwrap();
    let count = graph.cost(&Default::default()).unwrap().params;
    let params = Params::new(&graph, &weights(&graph), &Device::cpu()).unwrap();
    let input = Tensor::from_array(&fill("input", shape, -2.0, 2.0), &Device::cpu()).unwrap();
    let executor = Executor::new(Arc::new(graph)).unwrap();
    (executor.run(&params.constants(), &[input], &Request::default()).unwrap().outputs, count)
}

#[derive(Debug)]
struct StepNoise(u64);

impl Noise for StepNoise {
    fn uniform(&self, node: &str, out: &mut [f32]) {
        let mut stream = Seed(7).stream(node, &[self.0]);
        out.fill_with(|| stream.uniform_f32());
    }
}

/// What dropout draws from in the step of that number.
pub fn noise(step: u64) -> Arc<dyn Noise> {
    Arc::new(StepNoise(step))
}

/// Logits, loss, every gradient, running statistics after one step. What each parameter has lies one after the other,
/// in the order of the state dict.
pub fn check_packed(model: TaskModel, golden: &Golden) {
    check_step(&step(model, golden), golden);
}

/// [`check_packed`] where the golden's gradients are those of evaluation.
pub fn check_packed_in_evaluation(model: TaskModel, golden: &Golden) {
    let (state, shape) = (state_dict(golden), input_shape(&golden.json("input")));
    check_step(&step_in(Mode::Eval, model, &state, &shape), golden);
}

fn check_step(found: &Step, golden: &Golden) {
    assert_close("eval logits", &found.eval_logits, &golden.values("eval.logits"), 1e-4);
    assert_close("train logits", &found.train_logits, &golden.values("train.logits"), 1e-4);
    assert_close("loss", &[found.loss], &golden.values("train.loss"), 1e-4);

    let state = state_dict(golden);
    let (statistics, learned): (Vec<_>, Vec<_>) = state.iter().partition(|(k, _)| k.contains(".running_"));
    assert_eq!((found.buffers.len(), found.grads.len()), (statistics.len(), learned.len()));
    let mut after = if statistics.is_empty() { Vec::new() } else { golden.values("after") }.into_iter();
    for (key, shape) in statistics {
        let wanted: Vec<f64> = after.by_ref().take(shape[0]).collect();
        assert_close(key, &found.buffers[key], &wanted, 1e-4);
    }
    assert_eq!(after.len(), 0);

    let (norms, probes) = (golden.values("grad_norm"), golden.values("grad_probe"));
    let mut samples = golden.values("grad").into_iter();
    let largest = norms.iter().copied().fold(0.0, f64::max);
    for (((key, _), wanted_norm), wanted_probe) in learned.iter().zip(&norms).zip(&probes) {
        let all = &found.grads[key];
        let count = all.len().min(16);
        let wanted: Vec<f64> = samples.by_ref().take(count).collect();
        let found_norm = norm(all);
        // A shift before a norm layer has no gradient but for rounding.
        if *wanted_norm < 1e-9 * largest {
            assert!(found_norm <= 1e-5 * largest, "{key}: norm {found_norm}");
            continue;
        }
        let picked = all.iter().step_by(all.len() / count).take(count);
        // Differences are measured against the typical size of the gradient's elements: single ones may be 0.
        let typical = wanted_norm / (all.len() as f64).sqrt();
        let scale = wanted.iter().fold(typical, |m, x| m.max(x.abs()));
        let worst = picked.zip(&wanted).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
        assert!(worst <= 1e-3 * scale, "{key}: {worst:.3e} of {scale:.3e}");
        assert!(
            (found_norm - wanted_norm).abs() <= 1e-3 * wanted_norm,
            "{key}: {found_norm} of {wanted_norm}"
        );
        let found_probe = probe(key, all);
        assert!(
            (found_probe - wanted_probe).abs() <= 1e-3 * wanted_norm,
            "{key}: {found_probe} of {wanted_probe}"
        );
    }
    assert_eq!(samples.len(), 0);
}
