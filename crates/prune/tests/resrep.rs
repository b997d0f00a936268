//! The gradients of compactors are the paper's: reset on the rows that are chosen, the lasso's on all.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use occam_config::{Loader, Registry};
use occam_data::{Batch, DataSample, Seed};
use occam_engine::schedule::Length;
use occam_engine::{Device, Executor, Mode, Params, Request, Tensor};
use occam_graph::{Graph, Weights};
use occam_testing::{assert_close, fill, labels, values};
use occam_train::{Algorithm, Env, StepContext};

const SEED: Seed = Seed(3);

fn algorithm(keys: &str) -> Box<dyn Algorithm> {
    let mut registry = Registry::new();
    occam_zoo::register(&mut registry);
    occam_train::register(&mut registry);
    occam_prune::register(&mut registry);
    let loader = Loader::new();
    let text = format!(
        "x = dict(type='ResRep', architecture=dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=18, \
         base_channels=4, stem_channels=4, zero_init_residual=False), neck=dict(type='GlobalAveragePooling'), \
         head=dict(type='LinearClsHead', num_classes=5, in_channels=32, loss=dict(type='CrossEntropyLoss'))), {keys})\n"
    );
    let config = loader.load_str("a.py", &text).unwrap();
    let env = Env { registry: &registry, loader: &loader, seed: SEED, device: Device::cpu() };
    let mut algorithm = env.algorithm(config.get("x").unwrap()).unwrap();
    algorithm.begin(Length { epoch: 10, max_epochs: 2, max_iters: 20 }, true).unwrap();
    algorithm
}

fn batch() -> Batch {
    let sample = |label| DataSample { gt_label: vec![label], ..DataSample::default() };
    Batch {
        inputs: fill("input", &[4, 3, 8, 8], -2.0, 2.0),
        samples: labels("label", 4, 5).into_iter().map(sample).collect(),
    }
}

#[test]
fn the_loss_does_not_move_chosen_rows() {
    let context = StepContext { epoch: 0, iter: 0, seed: SEED };
    // Before the first choice, without and with a lasso; and after a choice of six rows.
    let mut free = algorithm("target=dict(macs=0.7), lasso=1e-12, begin=1");
    let mut pulled = algorithm("target=dict(macs=0.7), lasso=0.25, begin=1");
    let mut chosen = algorithm("target=dict(macs=0.7), lasso=0.25, begin=0, channels_per_mask=6");
    let [free, pulled, step] =
        [&mut free, &mut pulled, &mut chosen].map(|a| a.train_step(&batch(), &context).unwrap());
    let state = chosen.state().unwrap();
    let (mut masked, mut compactors) = (0, 0);
    for (name, gradient) in step.gradients.iter().filter(|(n, _)| n.contains("compactor")) {
        compactors += 1;
        let channels = gradient.shape()[0];
        let own = name.strip_prefix("architecture.").unwrap();
        let mask = state[&format!("mask.{own}")].to_le_bytes();
        let of = |gradients: &occam_train::GradientMap| gradients[name.as_str()].to_f32().unwrap();
        let (free, pulled, found) = (of(&free.gradients), of(&pulled.gradients), gradient.to_f32().unwrap());
        assert!(free.iter().any(|x| x.abs() > 1e-7), "{name}");
        for (row, &stays) in mask.iter().enumerate() {
            masked += usize::from(stays == 0);
            for column in 0..channels {
                let at = row * channels + column;
                // The identity's rows have norm 1.
                let lasso = if row == column { 0.25 } else { 0.0 };
                let loss = if stays == 0 { 0.0 } else { free[at] };
                assert!((found[at] - loss - lasso).abs() < 1e-6, "{name} {row} {column}");
                assert!((pulled[at] - free[at] - lasso).abs() < 1e-6, "{name} {row} {column}");
            }
        }
    }
    assert_eq!((masked, compactors), (6, 8));
    // Everything else is moved by the loss alone.
    let other = "architecture.backbone.layer1.0.conv1.weight";
    assert_eq!(step.gradients[other].to_f32().unwrap(), free.gradients[other].to_f32().unwrap());
}

fn outputs(graph: &Graph, weights: &Weights) -> Vec<f64> {
    let device = Device::cpu();
    let params = Params::new(graph, weights, &device).unwrap();
    let executor = Executor::new(Arc::new(graph.clone())).unwrap();
    let input = Tensor::from_array(&batch().inputs, &device).unwrap();
    let out = executor.run(&params.constants(), &[input], &Request::new(Mode::Eval)).unwrap();
    values(&out.outputs[0].to_array().unwrap())
}

#[test]
fn what_is_exported_computes_the_same() {
    let mut algorithm = algorithm("target=dict(macs=0.7), begin=0, channels_per_mask=6");
    // Statistics that are no longer those of the beginning, and compactors with a row that faded.
    for iter in 0..3 {
        algorithm.train_step(&batch(), &StepContext { epoch: 0, iter, seed: SEED }).unwrap();
    }
    let mut weights = algorithm.architecture().params.to_weights().unwrap();
    for (name, array) in weights.iter_mut().filter(|(n, _)| n.contains("compactor")) {
        let channels = array.shape()[0];
        let mut data = fill(name, array.shape(), -0.7, 0.7).as_f32().unwrap().to_vec();
        data[..channels].fill(1e-7);
        *array = occam_graph::Array::from_f32(array.shape(), data).unwrap();
    }
    let (_, model) = algorithm.models_mut().remove(0);
    model.load(&weights).unwrap();
    let (small, merged) = algorithm.exported().unwrap().unwrap();
    assert!(!merged.keys().any(|n| n.contains("compactor")));
    assert_eq!(merged["backbone.layer1.0.conv1.weight"].shape()[0], 3);
    let with = algorithm.architecture().graph().clone();
    let (found, wanted) = (outputs(&small, &merged), outputs(&with, &weights));
    assert_close("exported", &found, &wanted, 1e-4);
}

#[test]
fn choices_grow_to_the_target_and_survive_a_stop() {
    let mut first = algorithm("target=dict(macs=0.8), begin=0, mask_interval=1, channels_per_mask=3");
    let count = |a: &dyn Algorithm| {
        let state = a.state().unwrap();
        let masks = state.iter().filter(|(n, _)| n.starts_with("mask.")).map(|(_, m)| m.to_le_bytes());
        masks.flatten().filter(|b| *b == 0).count()
    };
    let (mut counts, mut told) = (Vec::new(), Vec::new());
    for iter in 0..16 {
        let step = first.train_step(&batch(), &StepContext { epoch: 0, iter, seed: SEED }).unwrap();
        counts.push(count(&*first));
        told.extend(step.notes.iter().any(|n| n.contains("the target is met")).then_some(iter as usize));
    }
    assert_eq!(counts[..2], [3, 6]);
    assert!(counts.windows(2).all(|w| w[0] <= w[1] && w[1] - w[0] <= 3), "{counts:?}");
    let [met] = told[..] else { panic!("{told:?}") };
    assert!(met > 1 && counts[met..].iter().all(|c| *c == counts[met]), "{met}: {counts:?}");
    let mut other = algorithm("target=dict(macs=0.8), begin=0, mask_interval=1, channels_per_mask=3");
    other.load_state(&first.state().unwrap()).unwrap();
    assert_eq!(other.state().unwrap(), first.state().unwrap());
    let wrong = [("mask.x".to_owned(), occam_graph::Array::full([1], 0.0))].into_iter().collect();
    assert!(other.load_state(&wrong).is_err());
}
