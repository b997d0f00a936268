//! Heads and necks against mmcls: outputs, losses, gradients, predictions. Made by `tools/golden/heads.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{registry, sizes};
use indexmap::IndexMap;
use occam_config::{Loader, Value};
use occam_data::{DataSample, Seed};
use occam_engine::{Bound, Device, Executor, Gradients, Mode, Params, Request, Tensor};
use occam_graph::{Fact, ValueId, Weights};
use occam_testing::{Golden, assert_close, fill, values, weights};
use occam_zoo::{Head, Neck, Net, Sites, initialize};

/// A network of one part on features of that shape.
struct Part {
    executor: Executor,
    leaves: Bound,
    features: Tensor,
}

fn part(
    shape: &[usize],
    low: f64,
    build: impl FnOnce(&mut Net, ValueId) -> Vec<ValueId>,
) -> (Part, Vec<String>) {
    let mut net = Net::new();
    let x = net.input("features", Fact::f32(shape.to_vec())).unwrap();
    for (i, v) in build(&mut net, x).into_iter().enumerate() {
        net.output(&format!("output{i}"), v).unwrap();
    }
    let (builder, inits) = net.into_parts();
    let graph = builder.finish().unwrap();
    let frozen = graph.params().filter(|(_, v)| v.frozen).map(|(_, v)| v.name.clone()).collect();
    let own = initialize(&graph, &inits, Seed(0)).unwrap();
    // The formula has no range for a power.
    let all: Weights = if own.contains_key("p") { own } else { weights(&graph) };
    let params = Params::new(&graph, &all, &Device::cpu()).unwrap();
    let features = Tensor::from_array(&fill("features", shape, low, 2.0), &Device::cpu()).unwrap();
    let executor = Executor::new(Arc::new(graph)).unwrap();
    (Part { executor, leaves: params.leaves(), features: features.require_grad() }, frozen)
}

impl Part {
    fn run(&self, mode: Mode) -> Tensor {
        let request = Request::new(mode);
        self.executor.run(&self.leaves, std::slice::from_ref(&self.features), &request).unwrap().outputs[0]
            .clone()
    }

    /// Gradients of parameters and features, by the golden's names.
    fn gradients(&self, mut gradients: Gradients) -> IndexMap<String, Vec<f64>> {
        let numbers = |t: Tensor| values(&t.to_array().unwrap());
        let mut found: IndexMap<String, Vec<f64>> = self
            .leaves
            .iter()
            .filter_map(|(name, leaf)| Some((format!("grad.{name}"), numbers(gradients.take(leaf)?))))
            .collect();
        found.insert("grad.features".into(), numbers(gradients.take(&self.features).unwrap()));
        found
    }
}

fn compare(golden: &Golden, name: &str, found: &IndexMap<String, Vec<f64>>) {
    let wanted = golden.keys().filter(|k| k.starts_with(&format!("{name}.grad."))).count();
    assert_eq!(found.len(), wanted, "{name}: {:?}", found.keys());
    // The gradient of a shift before a norm layer is 0 but for rounding.
    let largest = found.values().flatten().fold(0f64, |m, g| m.max(g.abs()));
    for (key, grad) in found {
        let wanted = golden.values(&format!("{name}.{key}"));
        let scale = wanted.iter().fold(1e-2 * largest, |m, g| m.max(g.abs()));
        let worst = grad.iter().zip(&wanted).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
        assert_eq!(grad.len(), wanted.len());
        assert!(worst <= 1e-5 * scale, "{name}: {key}: {worst:.2e} of {scale:.2e}");
    }
}

fn samples(labels: &serde_json::Value) -> Vec<DataSample> {
    let numbers = |list: &serde_json::Value| -> Vec<i64> {
        list.as_array().unwrap().iter().map(|l| l.as_i64().unwrap()).collect()
    };
    if labels == "soft" {
        let all = fill("soft", &[4, 5], 0.0, 1.0);
        let rows = all.as_f32().unwrap().chunks_exact(5);
        return rows.map(|r| DataSample { gt_score: Some(r.to_vec()), ..DataSample::default() }).collect();
    }
    let each = labels.as_array().unwrap().iter();
    each.map(|l| {
        let gt_label = if l.is_array() { numbers(l) } else { vec![l.as_i64().unwrap()] };
        DataSample { gt_label, ..DataSample::default() }
    })
    .collect()
}

#[test]
fn heads_are_the_originals() {
    let golden = Golden::load("heads");
    for (name, case) in golden.json("heads").as_object().unwrap() {
        let head = registry().build::<dyn Head>(&Value::from_json(&case["config"])).unwrap();
        let (part, ..) = part(&[4, 6], -2.0, |net, x| {
            head.build(net, &[x]).unwrap().into_iter().map(|(_, v)| v).collect()
        });
        let wanted = |key: &str| golden.values(&format!("{name}.{key}"));
        let task = head.into_task();
        let samples = samples(&case["labels"]);
        let output = part.run(Mode::Train);
        assert_close(name, &values(&output.to_array().unwrap()), &wanted("output"), 1e-5);
        let losses = task.loss(&[output], &samples, &mut Sites::default()).unwrap();
        for (key, loss) in &losses {
            assert_close(&format!("{name} {key}"), &[f64::from(loss.item().unwrap())], &wanted(key), 1e-5);
        }
        compare(&golden, name, &part.gradients(losses["loss"].clone().backward().unwrap()));

        let predicted = task.predict(&[part.run(Mode::Eval)], samples).unwrap();
        let scores: Vec<f64> =
            predicted.iter().flat_map(|s| s.pred_score.clone().unwrap()).map(f64::from).collect();
        assert_close(&format!("{name} scores"), &scores, &wanted("score"), 1e-5);
        for (sample, wanted) in predicted.iter().zip(case["predicted"].as_array().unwrap()) {
            let wanted: Vec<i64> = wanted.as_array().unwrap().iter().map(|l| l.as_i64().unwrap()).collect();
            match sample.pred_label {
                Some(label) => assert_eq!([label], *wanted, "{name}"),
                None => assert_eq!(sample.pred_labels, wanted, "{name}"),
            }
        }
    }
}

#[test]
fn necks_are_the_originals() {
    let golden = Golden::load("heads");
    for (name, case) in golden.json("necks").as_object().unwrap() {
        let neck = registry().build::<dyn Neck>(&Value::from_json(&case["config"])).unwrap();
        let (part, frozen) = part(&sizes(&case["shape"]), 0.0, |net, x| neck.build(net, &[x]).unwrap());
        assert_eq!(frozen, if name == "gem_fixed" { vec!["p"] } else { vec![] });
        let output = part.run(Mode::Train);
        let wanted = golden.values(&format!("{name}.output"));
        assert_close(name, &values(&output.to_array().unwrap()), &wanted, 1e-5);
        let upstream =
            Tensor::from_array(&fill("upstream", &output.shape(), -1.0, 1.0), &Device::cpu()).unwrap();
        let gradients = output.mul(&upstream).unwrap().sum().unwrap().backward().unwrap();
        compare(&golden, name, &part.gradients(gradients));
    }
}

#[test]
fn labels_that_do_not_fit_are_errors() {
    let task = |text: &str| {
        let value = Loader::new().load_str("head.py", &format!("head = {text}")).unwrap();
        registry().build::<dyn Head>(value.get("head").unwrap()).unwrap().into_task()
    };
    let score = Tensor::full(&[2, 3], 0.5, &Device::cpu());
    let sample = |gt_label: Vec<i64>, gt_score: Option<Vec<f32>>| DataSample {
        gt_label,
        gt_score,
        ..DataSample::default()
    };
    let error = |text: &str, samples: [DataSample; 2]| {
        let result = task(text).loss(std::slice::from_ref(&score), &samples, &mut Sites::default());
        result.err().map_or_else(String::new, |e| e.to_string())
    };
    let (single, several) = ("dict(type='ClsHead')", "dict(type='MultiLabelClsHead')");
    let good = || sample(vec![1], None);
    assert_eq!(error(single, [good(), good()]), "");
    assert!(error(single, [good(), sample(vec![3], None)]).contains("label 3"));
    assert!(error(single, [good(), sample(vec![0, 1], None)]).contains("2 labels"));
    assert!(error(several, [good(), sample(vec![3], None)]).contains("label 3"));
    assert_eq!(error(several, [good(), sample(vec![0, 1], None)]), "");
    let soft = || sample(vec![], Some(vec![0.5, 0.5, 0.0]));
    for head in [single, several] {
        assert_eq!(error(head, [soft(), soft()]), "");
        assert!(error(head, [soft(), good()]).contains("no label scores"));
        assert!(error(head, [soft(), sample(vec![], Some(vec![1.0]))]).contains("1 classes"));
    }
    assert!(error("dict(type='ClsHead', cal_acc=True)", [soft(), soft()]).contains("cal_acc"));
}

/// A score that is no number ranks before all others, as in the metric.
#[test]
fn training_accuracy_counts_as_the_metric_does() {
    let value =
        Loader::new().load_str("head.py", "head = dict(type='ClsHead', cal_acc=True, topk=(1, 2))").unwrap();
    let task = registry().build::<dyn Head>(value.get("head").unwrap()).unwrap().into_task();
    let rows = vec![0.5, f32::NAN, 0.1, 0.2, 0.2, 0.1];
    let score = Tensor::from_f32(&[2, 3], rows, &Device::cpu()).unwrap();
    let samples = [0, 1].map(|l| DataSample { gt_label: vec![l], ..DataSample::default() });
    let losses = task.loss(&[score], &samples, &mut Sites::default()).unwrap();
    let accuracy = |k: usize| losses[&format!("accuracy_top-{k}")].item().unwrap();
    assert_eq!([accuracy(1), accuracy(2)], [0.0, 100.0]);
}
