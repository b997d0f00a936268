//! Criteria against Torch-Pruning and their formulas: `tools/golden/importance.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{RESNET, batch, model};
use occam_data::{Batch, DataSample};
use occam_prune::importance::{Needs, Subject, observe};
use occam_prune::{Importance, Scores};
use occam_space::{Trace, TraceOptions, trace};
use occam_testing::{Golden, assert_close};
use occam_train::Model;

fn units(model: &Model) -> Trace {
    trace(model.graph(), &TraceOptions::default()).unwrap()
}

fn images() -> Batch {
    batch("images", "labels", [6, 3, 12, 12])
}

fn scores(name: &str, model: &Model, batches: Vec<Batch>) -> Result<Scores, String> {
    let importance = Importance::find(name).unwrap();
    observe(importance, model, &units(model), batches.into_iter().map(Ok), 0).map_err(|e| e.to_string())
}

#[test]
fn scores_are_those_of_torch_pruning_and_of_the_formulas() {
    let golden = Golden::load("importance");
    let model = model(RESNET);
    let trace = units(&model);
    let mut seen = 0;
    for importance in Importance::all().iter().filter(|i| i.name != "random") {
        let found = scores(importance.name, &model, vec![images()]).unwrap();
        for (unit, found) in trace.units.iter().zip(&found).filter(|(u, _)| u.kept_by.is_none()) {
            let wanted = golden.values(&format!("{}.{}", importance.name, unit.name));
            // Sums of terms of both signs lose digits that single ones have.
            let tolerance = if importance.name == "taylor-group" { 1e-3 } else { 1e-4 };
            assert_close(&format!("{} of {}", importance.name, unit.name), found, &wanted, tolerance);
            seen += 1;
        }
    }
    assert_eq!(seen, golden.keys().count());
}

#[test]
fn batches_count_by_their_images() {
    let model = model(RESNET);
    let whole = images();
    let part = |from: usize, to: usize| {
        let pixels = 3 * 12 * 12;
        let inputs = whole.inputs.as_f32().unwrap()[from * pixels..to * pixels].to_vec();
        Batch {
            inputs: occam_graph::Array::from_f32([to - from, 3, 12, 12], inputs).unwrap(),
            samples: whole.samples[from..to].to_vec(),
        }
    };
    // What is a mean over images does not depend on how these are batched.
    for name in ["fisher", "hessian", "activation"] {
        let once = scores(name, &model, vec![images()]).unwrap().concat();
        let parts = scores(name, &model, vec![part(0, 2), part(2, 6)]).unwrap().concat();
        assert_close(name, &parts, &once, 1e-4);
    }
    let first = scores("taylor", &model, vec![part(0, 2)]).unwrap().concat();
    let second = scores("taylor", &model, vec![part(2, 6)]).unwrap().concat();
    let both = scores("taylor", &model, vec![part(0, 2), part(2, 6)]).unwrap().concat();
    let mean: Vec<f64> = first.iter().zip(&second).map(|(a, b)| (2.0 * a + 4.0 * b) / 6.0).collect();
    assert_close("taylor", &both, &mean, 1e-6);
}

#[test]
fn images_without_labels_have_the_class_that_is_predicted() {
    let model = model(RESNET);
    let bare = Batch { samples: vec![DataSample::default(); 6], ..images() };
    let predicted: Vec<DataSample> = model
        .predict(&bare)
        .unwrap()
        .into_iter()
        .map(|s| DataSample { gt_label: vec![s.pred_label.unwrap()], ..DataSample::default() })
        .collect();
    let told = Batch { samples: predicted, ..images() };
    for name in ["taylor", "fisher"] {
        let found = scores(name, &model, vec![bare.clone()]).unwrap();
        assert_eq!(found, scores(name, &model, vec![told.clone()]).unwrap());
        assert!(found.concat().iter().all(|&x| x > 0.0), "{name}");
        assert_ne!(found, scores(name, &model, vec![images()]).unwrap());
    }
}

#[test]
fn what_needs_images_says_so() {
    let model = model(RESNET);
    let (trace, weights) = (units(&model), model.params.to_weights().unwrap());
    let subject = Subject { graph: model.graph(), weights: &weights, trace: &trace, seed: 0 };
    let taylor = Importance::find("taylor").unwrap();
    assert_eq!(taylor.needs(), Some(Needs::Gradients));
    let error = taylor.score(&subject).unwrap_err().to_string();
    assert_eq!(error, "importance `taylor` is measured on images, and none are given");
    assert_eq!(Importance::find("group-l2").unwrap().needs(), None);
    let error = scores("fisher", &model, Vec::new()).unwrap_err();
    assert_eq!(error, "there is no image to measure the importance on");
}
