//! Subnets that share weights compute what the models do that are cut out of them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod widths;

use std::sync::Arc;

use occam_engine::{Executor, Mode, Params, Request, collect};
use occam_prune::Supernet;
use occam_space::{Selection, kept, spread};
use occam_testing::{parameter, unit};
use occam_train::{Model, total};
use occam_zoo::Sites;
use widths::{DENSENET, MOBILENET, RESNET, batch, context, model};

/// Of every unit the first channels, or any, about two of three.
fn selections(net: &Supernet) -> [Selection; 2] {
    let trace = net.trace();
    let widths: Vec<usize> = (trace.units.iter())
        .map(|u| if u.kept_by.is_some() { u.channels } else { (u.channels * 2 / 3).max(1) })
        .collect();
    let mut scattered = Selection::all(trace);
    for (i, unit_) in trace.units.iter().enumerate().filter(|(_, u)| u.kept_by.is_none()) {
        let mut keep: Vec<bool> = unit(&unit_.name, unit_.channels).iter().map(|&u| u < 0.66).collect();
        keep[0] = true;
        scattered.set(trace, i, keep).unwrap();
    }
    [net.first(&widths).unwrap(), scattered]
}

/// A model whose running statistics are no constants.
fn setup(text: &str) -> (Model, Supernet) {
    let mut model = model(text);
    let weights = model.params.to_weights().unwrap();
    let own = weights.iter().map(|(name, a)| (name.clone(), parameter(name, a.shape()))).collect();
    model.load(&own).unwrap();
    let net = Supernet::new(model.graph().clone()).unwrap();
    (model, net)
}

#[test]
fn static_and_dynamic_are_one() {
    for (text, size) in [(RESNET, 8), (MOBILENET, 32), (DENSENET, 32)] {
        let (mut model, net) = setup(text);
        let batch = batch(3, size);
        let weights = model.params.to_weights().unwrap();
        for selection in selections(&net) {
            let subnet = net.subnet(&selection).unwrap();
            let (graph, small) = net.fixed(&weights, &selection).unwrap();
            assert!(small.iter().any(|(name, a)| a.shape() != weights[name].shape()));
            let params = Params::new(&graph, &small, model.device()).unwrap();
            let executor = Executor::new(Arc::new(graph)).unwrap();

            for mode in [Mode::Eval, Mode::Train] {
                let request = Request { noise: Some(context(0).noise("")), ..Request::new(mode) };
                let fixed = model.forward_by(&executor, &params.constants(), &batch, &request).unwrap();
                let bound = subnet.bind(&model.params.constants()).unwrap();
                let shared = model.forward_by(subnet.executor(), &bound, &batch, &request).unwrap();
                for (a, b) in fixed.outputs.iter().zip(&shared.outputs) {
                    assert_eq!(a.to_f32().unwrap(), b.to_f32().unwrap());
                }
                assert_eq!(fixed.buffers.len(), shared.buffers.len());
                for ((name, a), (other, b)) in fixed.buffers.iter().zip(&shared.buffers) {
                    assert_eq!((name, a.to_f32().unwrap()), (other, b.to_f32().unwrap()));
                }
            }

            // Gradients of the whole are those of the small model, with 0 elsewhere.
            let request = Request { noise: Some(context(0).noise("")), ..Request::new(Mode::Train) };
            let leaves = params.leaves();
            let outputs = model.forward_by(&executor, &leaves, &batch, &request).unwrap();
            let loss = total(&model.loss(&outputs, &batch, &mut Sites::default()).unwrap()).unwrap();
            let wanted = collect(&leaves, &mut loss.backward().unwrap());
            let leaves = model.params.leaves();
            let bound = subnet.bind(&leaves).unwrap();
            let outputs = model.forward_by(subnet.executor(), &bound, &batch, &request).unwrap();
            let loss = total(&model.loss(&outputs, &batch, &mut Sites::default()).unwrap()).unwrap();
            let found = collect(&leaves, &mut loss.backward().unwrap());
            let kept = kept(net.graph(), net.trace(), &selection).unwrap();
            assert_eq!(found.len(), wanted.len());
            for (name, gradient) in &found {
                let own = wanted[name].to_array().unwrap();
                let own = kept.get(name).map_or(own.clone(), |axes| spread(&own, axes).unwrap());
                assert_eq!(gradient.to_array().unwrap(), own, "{name}");
            }

            // Buffers get what the run gave where the subnet has them, and keep the rest.
            let before = model.params.to_weights().unwrap();
            let given = outputs.buffers.clone();
            subnet.keep(&mut model.params, outputs.buffers).unwrap();
            let after = model.params.to_weights().unwrap();
            for (name, tensor) in given {
                let new = tensor.to_f32().unwrap();
                let all = vec![true; before[&name].len()];
                let mask = kept.get(&name).map_or(&all, |axes| &axes[0].1);
                let mut new = new.iter();
                for (i, &keep) in mask.iter().enumerate() {
                    let old = &before[&name].as_f32().unwrap()[i];
                    let wanted = if keep { new.next().unwrap() } else { old };
                    assert_eq!(&after[&name].as_f32().unwrap()[i], wanted, "{name} {i}");
                }
            }
            model.load(&before).unwrap();
        }
    }
}

#[test]
fn tensors_made_for_a_subnet_are_taken_as_they_are() {
    let (model, net) = setup(RESNET);
    let [first, _] = selections(&net);
    let subnet = net.subnet(&first).unwrap();
    assert!(Arc::ptr_eq(&subnet, &net.subnet(&first).unwrap()), "it is kept");
    let mut shared = model.params.constants();
    let own = subnet.bind(&shared).unwrap()["backbone.bn1.weight"].scale(2.0).unwrap();
    shared.insert("backbone.bn1.weight".into(), own.clone());
    let taken = subnet.bind(&shared).unwrap()["backbone.bn1.weight"].to_f32().unwrap();
    assert_eq!(taken, own.to_f32().unwrap());
    let wrong = own.narrow(0, 0, 1).unwrap();
    shared.insert("backbone.bn1.weight".into(), wrong);
    let error = subnet.bind(&shared).unwrap_err().to_string();
    assert!(error.contains("backbone.bn1.weight"), "{error}");
    shared.shift_remove("backbone.bn1.weight");
    assert!(subnet.bind(&shared).is_err());
}

#[test]
fn resources_follow_widths() {
    let (model, net) = setup(RESNET);
    let all: Vec<usize> = net.trace().units.iter().map(|u| u.channels).collect();
    let full = net.resources(&all, [3, 8, 8]).unwrap();
    let [first, _] = selections(&net);
    let less = net.resources(&first.widths(), [3, 8, 8]).unwrap();
    let (_, small) = net.fixed(&model.params.to_weights().unwrap(), &first).unwrap();
    let elements: usize = small.iter().filter(|(n, _)| !n.contains("running")).map(|(_, a)| a.len()).sum();
    assert_eq!(less.params, elements as u64);
    assert!(less.macs < full.macs * 6 / 10 && less.macs > full.macs * 3 / 10, "{less:?} of {full:?}");
}
