//! Trainings of several widths: gradients, normalizations, checkpoints, and what loops measure.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod widths;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use occam_data::Seed;
use occam_engine::{Bound, Executor, Mode, Params, Request, Tensor, collect};
use occam_graph::{Array, Weights};
use occam_prune::Supernet;
use occam_prune::mutators::{ChannelMutator, OneShot, subnets};
use occam_space::{kept, spread};
use occam_testing::assert_close;
use occam_train::checkpoint::Checkpoint;
use occam_train::optim::OptimWrapper;
use occam_train::{Algorithm, total};
use occam_zoo::Sites;
use widths::{RESNET, SEED, batch, context, registry, value, with_env};

const DISTILLER: &str = "dict(type='ConfigurableDistiller', \
    teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')), \
    student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')), \
    distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=2, loss_weight=3)), \
    loss_forward_mappings=dict(loss_kl=dict(preds_S=dict(recorder='fc', from_student=True), \
    preds_T=dict(recorder='fc', from_student=False))))";

const ONE_SHOT: &str = "dict(type='OneShotChannelMutator', channel_unit_cfg=dict(\
    type='OneShotMutableChannelUnit', default_args=dict(candidate_choices=[0.25, 0.5, 1.0], divisor=2)))";

const SLIMMABLE: &str = "dict(type='SlimmableChannelMutator', channel_unit_cfg=dict(\
    type='SlimmableChannelUnit', default_args=dict(candidate_choices=[2, 4, 8])))";

fn algorithm(text: &str) -> Box<dyn Algorithm> {
    with_env(|env| env.algorithm(&value(text)).unwrap())
}

fn auto_slim(more: &str) -> Box<dyn Algorithm> {
    algorithm(&format!(
        "dict(type='AutoSlim', architecture={RESNET}, mutator={ONE_SHOT}, distiller={DISTILLER}{more})"
    ))
}

fn slimmable(more: &str) -> Box<dyn Algorithm> {
    algorithm(&format!("dict(type='SlimmableNetwork', architecture={RESNET}, mutator={SLIMMABLE}{more})"))
}

fn weights(algorithm: &dyn Algorithm) -> Weights {
    algorithm.architecture().params.to_weights().unwrap()
}

/// Some steps of SGD from iteration `from` on.
fn train(algorithm: &mut dyn Algorithm, from: u64, to: u64) {
    let config = value("dict(optimizer=dict(type='SGD', lr=0.2))");
    let mut optim = OptimWrapper::from_config(&config, &registry(), algorithm).unwrap();
    for iter in from..to {
        let step = algorithm.train_step(&batch(6, 8), &context(iter)).unwrap();
        optim.step(algorithm, step.gradients).unwrap();
    }
}

/// The gradients of an AutoSlim step are the mean of those of the small models that its subnets are, each trained alone.
#[test]
fn a_step_is_the_mean_of_its_subnets() {
    let mut algorithm = auto_slim("");
    let before = weights(&*algorithm);
    let graph = algorithm.architecture().graph().clone();
    let net = Supernet::new(graph).unwrap();
    let mutator = registry().build::<ChannelMutator>(&value(ONE_SHOT)).unwrap();
    let units = mutator.units(net.trace()).unwrap();
    let space = OneShot::new(&mutator, &units, net.trace()).unwrap();
    let (data, context) = (batch(4, 8), context(5));
    let step = algorithm.train_step(&data, &context).unwrap();

    let mut stream = context.seed.stream("autoslim.widths", &[context.iter]);
    let random = [space.random(&mut stream), space.random(&mut stream)];
    assert_ne!(random[0], random[1]);
    let [random0, random1] = random;
    let mut wanted: IndexMap<String, Vec<f32>> = IndexMap::new();
    let mut teacher: Option<Tensor> = None;
    for picks in [space.max(), space.min(), random0, random1] {
        let selection = net.first(&space.widths(&picks).unwrap()).unwrap();
        let (graph, small) = net.fixed(&before, &selection).unwrap();
        let params = Params::new(&graph, &small, algorithm.architecture().device()).unwrap();
        let executor = Executor::new(Arc::new(graph)).unwrap();
        let leaves = params.leaves();
        let model = algorithm.architecture();
        let outputs = model.forward_by(&executor, &leaves, &data, &Request::new(Mode::Train)).unwrap();
        let mut loss = total(&model.loss(&outputs, &data, &mut Sites::default()).unwrap()).unwrap();
        let logits = outputs.outputs[0].clone();
        match &teacher {
            None => teacher = Some(logits.detach()),
            Some(teacher) => {
                // 3 · tau² · KL of predictions softened by tau, averaged over the batch.
                let softened = |t: &Tensor| t.scale(0.5).unwrap().log_softmax(1).unwrap();
                let (s, t) = (softened(&logits), softened(teacher));
                let target = teacher.scale(0.5).unwrap().softmax(1).unwrap();
                let kl = target.mul(&t.sub(&s).unwrap()).unwrap().sum().unwrap();
                loss = loss.add(&kl.scale(3.0 * 4.0 / 4.0).unwrap().reshape(&[1]).unwrap()).unwrap();
            }
        }
        let kept = kept(net.graph(), net.trace(), &selection).unwrap();
        for (name, gradient) in collect(&leaves, &mut loss.backward().unwrap()) {
            let own = gradient.to_array().unwrap();
            let whole = kept.get(&name).map_or(own.clone(), |axes| spread(&own, axes).unwrap());
            let whole = whole.as_f32().unwrap().to_vec();
            let sum = wanted.entry(name).or_insert_with(|| vec![0.0; whole.len()]);
            sum.iter_mut().zip(&whole).for_each(|(s, g)| *s += g / 4.0);
        }
    }
    assert_eq!(step.gradients.len(), wanted.len());
    for (name, wanted) in &wanted {
        let found = step.gradients[&format!("architecture.{name}")].to_f32().unwrap();
        let wide = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        assert_close(name, &wide(&found), &wide(wanted), 1e-4);
    }
    let names: BTreeSet<&str> = step.losses.keys().map(String::as_str).collect();
    let kinds = ["min_subnet", "random0_subnet", "random1_subnet"];
    let mut all = BTreeSet::from(["max_subnet.loss".to_owned()]);
    all.extend(kinds.iter().flat_map(|k| [format!("{k}.loss"), format!("{k}.loss_kl")]));
    assert_eq!(names, all.iter().map(String::as_str).collect());
}

#[test]
fn auto_slim_learns_at_all_widths_and_a_resumed_run_draws_the_same() {
    let mut whole = auto_slim("");
    let data = batch(6, 8);
    let first = whole.train_step(&data, &context(0)).unwrap().losses;
    let start = weights(&*whole);
    train(&mut *whole, 1, 13);
    let last = whole.train_step(&data, &context(13)).unwrap().losses;
    for name in ["max_subnet.loss", "min_subnet.loss"] {
        assert!(last[name] < 0.9 * first[name], "{name}: {} became {}", first[name], last[name]);
    }
    let end = weights(&*whole);
    for (name, array) in &start {
        assert_ne!(&end[name], array, "{name} learns");
    }

    let mut stopped = auto_slim("");
    stopped.train_step(&data, &context(0)).unwrap();
    train(&mut *stopped, 1, 6);
    let mut resumed = auto_slim("");
    let saved = weights(&*stopped).into_iter().map(|(n, a)| (format!("architecture.{n}"), a)).collect();
    Checkpoint::of_weights(Path::new("saved"), saved).apply(&mut *resumed).unwrap();
    train(&mut *resumed, 6, 13);
    resumed.train_step(&data, &context(13)).unwrap();
    assert_eq!(weights(&*resumed), end);
}

/// Every form is the model that is cut out of the weights, and calibration gives it the data's own statistics.
#[test]
fn forms_are_static_models_and_calibrated() {
    let mut algorithm = auto_slim("");
    train(&mut *algorithm, 0, 2);
    let space = algorithm.space().unwrap();
    let model = algorithm.architecture();
    let net = Supernet::new(model.graph().clone()).unwrap();
    let kinds = space.kinds(SEED);
    assert_eq!(
        kinds.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(),
        ["max_subnet", "min_subnet", "random0_subnet", "random1_subnet"]
    );
    assert_eq!(space.kinds(SEED), kinds);
    assert_ne!(space.kinds(Seed(8)), kinds);
    let data = batch(6, 8);
    for (name, picks) in &kinds {
        let mut form = space.form(picks).unwrap();
        let widths: Vec<usize> = subnet_widths(&space.subnet(picks).unwrap(), &net);
        let (graph, small) = net.fixed(&weights(&*algorithm), &net.first(&widths).unwrap()).unwrap();
        let params = Params::new(&graph, &small, model.device()).unwrap();
        let executor = Executor::new(Arc::new(graph)).unwrap();
        let outputs = |executor: &Executor, params: &Bound| {
            let out = model.forward_by(executor, params, &data, &Request::default()).unwrap();
            out.outputs[0].to_f32().unwrap()
        };
        let alone = outputs(&executor, &params.constants());
        assert_eq!(outputs(&form.executor, &form.params), alone, "{name}");

        let halves = [batch(4, 8), batch(2, 8)];
        let seen = form.calibrate(model, halves.iter().cloned().map(Ok)).unwrap();
        assert_eq!(seen, 6);
        assert_ne!(outputs(&form.executor, &form.params), alone, "{name}");
        // The first normalization's input does not depend on statistics: its means are weighted ones.
        let mean = |n: usize| {
            let mut zero = space.form(picks).unwrap().params;
            let old = zero["backbone.bn1.running_mean"].clone();
            zero.insert("backbone.bn1.running_mean".into(), old.scale(0.0).unwrap());
            let run =
                model.forward_by(&form.executor, &zero, &batch(n, 8), &Request::new(Mode::Train)).unwrap();
            let found = run.buffers.iter().find(|(n, _)| n == "backbone.bn1.running_mean").unwrap();
            found.1.scale(10.0).unwrap().to_f32().unwrap()
        };
        let (four, two) = (mean(4), mean(2));
        let wanted: Vec<f64> =
            four.iter().zip(&two).map(|(a, b)| (4.0 * f64::from(*a) + 2.0 * f64::from(*b)) / 6.0).collect();
        let found = form.params["backbone.bn1.running_mean"].to_f32().unwrap();
        assert_close(name, &found.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(), &wanted, 1e-5);
    }
    assert_eq!(space.form(&kinds[0].1).unwrap().mode, Mode::Eval);
    assert_eq!(
        auto_slim(", norm_training=True").space().unwrap().form(&kinds[0].1).unwrap().mode,
        Mode::Train
    );
    assert!(space.form(&[0]).is_err());
    let image = [3, 8, 8];
    let costs = kinds.iter().map(|(_, picks)| space.resources(picks, image).unwrap().macs);
    let costs: Vec<u64> = costs.collect();
    assert!(costs[1] < costs[0] / 8 && costs[2] < costs[0] && costs[2] > costs[1], "{costs:?}");
}

/// The widths that a subnet file says.
fn subnet_widths(file: &serde_json::Value, net: &Supernet) -> Vec<usize> {
    let choices = occam_space::subnet::parse(&file.to_string()).unwrap();
    occam_space::subnet::widths(net.trace(), &choices).unwrap()
}

#[test]
fn every_width_has_normalizations_of_its_own() {
    let mut algorithm = slimmable("");
    let start = weights(&*algorithm);
    // Units have 8 and 16 channels: a candidate of 2, 4 and 8 in both.
    let norms: Vec<&String> = start.keys().filter(|n| n.contains("candidate_bn")).collect();
    assert!(norms.contains(&&"backbone.bn1.candidate_bn.2.running_var".to_owned()), "{norms:?}");
    assert!(norms.contains(&&"backbone.layer2.0.bn1.candidate_bn.8.weight".to_owned()));
    assert!(!norms.iter().any(|n| n.contains("bn1.candidate_bn.8") && n.contains("layer1")));
    assert_eq!(algorithm.warnings().len(), 1, "no subnet has 16 channels");
    train(&mut *algorithm, 0, 4);
    let end = weights(&*algorithm);
    let still: Vec<&&String> = norms.iter().filter(|name| end[**name] == start[**name]).collect();
    assert!(!still.iter().any(|name| name.contains("running")), "{still:?}");
    // Where all the few channels of a narrow subnet are cut off by a ReLU, there is nothing to learn from.
    assert!(still.len() * 5 < norms.len(), "{still:?} of {}", norms.len());
    // What no subnet has stays.
    assert_eq!(end["backbone.layer2.0.bn1.weight"], start["backbone.layer2.0.bn1.weight"]);
    assert_ne!(end["backbone.bn1.weight"], start["backbone.bn1.weight"]);
    assert_ne!(end["backbone.layer2.0.conv1.weight"], start["backbone.layer2.0.conv1.weight"]);
    let step = algorithm.train_step(&batch(6, 8), &context(3)).unwrap();
    let names: Vec<&str> = step.losses.keys().map(String::as_str).collect();
    assert_eq!(names, ["subnet_0.loss", "subnet_1.loss", "subnet_2.loss"]);
    assert!(algorithm.exported().unwrap_err().to_string().contains("one at a time"));
}

/// A deployed subnet takes its part of a checkpoint of all, and computes what the subnet did.
#[test]
fn one_subnet_is_deployed() {
    let mut all = slimmable("");
    train(&mut *all, 0, 3);
    let saved: Weights = weights(&*all).into_iter().map(|(n, a)| (format!("architecture.{n}"), a)).collect();
    let saved = Checkpoint::of_weights(Path::new("saved"), saved);
    let data = batch(5, 8);
    for i in 0..3 {
        let mut one = slimmable(&format!(", deploy_index={i}"));
        saved.apply(&mut *one).unwrap();
        let model = one.architecture();
        assert_eq!(model.graph().find("backbone.bn1.candidate_bn.2.weight"), None);
        let wanted = if i == 0 { 2 } else { 4 * i };
        assert_eq!(model.params.get("backbone.conv1.weight").unwrap().tensor.shape()[0], wanted);
        let run = model.forward(&model.params.constants(), &data, &Request::default()).unwrap();
        let form = all.space().unwrap().form(&[i]).unwrap();
        let whole = all.architecture();
        let same = whole.forward_by(&form.executor, &form.params, &data, &Request::default()).unwrap();
        assert_eq!(run.outputs[0].to_f32().unwrap(), same.outputs[0].to_f32().unwrap(), "{i}");
        assert!(one.exported().unwrap().is_none());

        // Its own checkpoints are taken as they are, and it goes on learning.
        let own = weights(&*one).into_iter().map(|(n, a)| (format!("architecture.{n}"), a)).collect();
        let mut again = slimmable(&format!(", deploy_index={i}"));
        Checkpoint::of_weights(Path::new("own"), own).take_over(&mut *again, true).unwrap();
        assert_eq!(weights(&*again), weights(&*one));
        train(&mut *again, 0, 1);
        assert_ne!(weights(&*again), weights(&*one));
    }
    // Weights of another model are refused, in words.
    let mut one = slimmable(", deploy_index=0");
    let other = Weights::from([("fc.weight".to_owned(), Array::from_f32([1], vec![0.0]).unwrap())]);
    assert!(Checkpoint::of_weights(Path::new("other"), other).apply(&mut *one).is_err());
}

#[test]
fn choices_are_made_divisible_and_columns_are_subnets() {
    let net = Supernet::new(widths::model(RESNET).graph().clone()).unwrap();
    let registry = registry();
    let mutator = |text: &str| registry.build::<ChannelMutator>(&value(text));
    let one = |args: &str| {
        let text = format!(
            "dict(type='OneShotChannelMutator', channel_unit_cfg=dict(type='OneShotMutableChannelUnit', \
             default_args=dict({args})))"
        );
        let mutator = mutator(&text).unwrap();
        OneShot::new(&mutator, &mutator.units(net.trace()).unwrap(), net.trace())
    };
    let least = |space: &OneShot| space.widths(&space.min()).unwrap();
    let default = one("").unwrap();
    assert!(least(&default).contains(&4) && least(&default).contains(&8));
    let conv1 = net.trace().find("backbone.conv1_(0, 8)_8").unwrap();
    let space = one("candidate_choices=[1.0, 0.3, 0.6], divisor=4").unwrap();
    // int(8 · 0.3) = 2 becomes 4, 4 stays, 8 stays: sorted, with both 4s.
    let all: Vec<usize> =
        (0..3).map(|i| space.widths(&vec![i; space.groups().len()]).unwrap()[conv1]).collect();
    assert_eq!(all, [4, 4, 8]);
    assert!(one("candidate_choices=[1.0]").unwrap_err().contains("no channel unit has two widths"));

    let columns = |text: &str| {
        let units = mutator(text).and_then(|m| m.units(net.trace()).map(|u| (m, u)));
        let (mutator, units) = units.map_err(|e| e.to_string())?;
        subnets(&mutator, &units, net.trace())
    };
    let of = |units: &str| {
        format!(
            "dict(type='SlimmableChannelMutator', channel_unit_cfg=dict(type='SlimmableChannelUnit', units={units}))"
        )
    };
    let found = columns(&of(
        "{'backbone.conv1_(0, 8)_8': dict(init_args=dict(candidate_choices=[8, 2, 2]), choice=8), \
          'head.fc_(0, 5)_5': dict(init_args=dict(candidate_choices=[5, 5, 5]))}",
    ))
    .unwrap();
    let widths: Vec<usize> = found.iter().map(|w| w[conv1]).collect();
    assert_eq!(widths, [8, 2, 2]);
    assert!(found.iter().all(|w| w.iter().filter(|&&n| n == 2).count() <= 1));
    for (units, wanted) in [
        ("{}", "no channel unit has `candidate_choices`"),
        (
            "{'backbone.conv1_(0, 8)_8': dict(init_args=dict(candidate_choices=[2, 9]))}",
            "fewer than its candidate 9",
        ),
        ("{'head.fc_(0, 5)_5': dict(init_args=dict(candidate_choices=[2, 5]))}", "cannot be pruned"),
        (
            "{'backbone.conv1_(0, 8)_8': dict(init_args=dict(candidate_choices=[2, 8])), \
           'backbone.layer1.0.conv1_(0, 8)_8': dict(init_args=dict(candidate_choices=[2, 4, 8]))}",
            "candidate i of all units",
        ),
    ] {
        let error = columns(&of(units)).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
    let error = columns("dict(type='ChannelMutator')").unwrap_err();
    assert!(error.contains("use SlimmableChannelUnit"), "{error}");
}

/// The subnet file of a search and the supernet's checkpoint make the small model that was measured.
#[test]
fn sub_models_take_supernets() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = auto_slim("");
    train(&mut *net, 0, 2);
    let space = net.space().unwrap();
    let (_, picks) = space.kinds(SEED).remove(2);
    let (file, plain) = (dir.path().join("FLOPS.yaml"), dir.path().join("plain.json"));
    std::fs::write(&file, space.subnet(&picks).unwrap().to_string()).unwrap();
    let saved: Weights = weights(&*net).into_iter().map(|(n, a)| (format!("architecture.{n}"), a)).collect();
    let saved = Checkpoint::of_weights(Path::new("saved"), saved);
    let data = batch(5, 8);
    let form = space.form(&picks).unwrap();
    let model = net.architecture();
    let wanted = model.forward_by(&form.executor, &form.params, &data, &Request::default()).unwrap();
    let wanted = wanted.outputs[0].to_f32().unwrap();
    let of = |kind: &str, cfg: &str, file: &Path, more: &str| {
        format!("dict(type='{kind}', {cfg}={RESNET}, fix_subnet='{}'{more})", file.display())
    };
    for text in [
        of("GroupFisherDeploySubModel", "architecture", &file, ""),
        of("sub_model", "cfg", &file, ", mode='mutator'"),
        of("sub_model", "cfg", &file, ", mode='mutator', init_weight_from_supernet=True"),
    ] {
        let mut small = algorithm(&text);
        saved.take_over(&mut *small, true).unwrap();
        let model = small.architecture();
        let run = model.forward(&model.params.constants(), &data, &Request::default()).unwrap();
        assert_eq!(run.outputs[0].to_f32().unwrap(), wanted, "{text}");
    }

    // First values are parts of those that the whole model has.
    let whole = weights(&*auto_slim(""));
    let small = weights(&*algorithm(&of(
        "sub_model",
        "cfg",
        &file,
        ", mode='mutator', init_weight_from_supernet=True",
    )));
    let (part, full) = (&small["head.fc.weight"], &whole["head.fc.weight"]);
    let columns = part.shape()[1];
    assert_eq!(part.as_f32().unwrap()[..columns], full.as_f32().unwrap()[..columns]);

    // Widths alone do not say which channels these are.
    let choices = occam_space::subnet::parse(&space.subnet(&picks).unwrap().to_string()).unwrap();
    let widths: serde_json::Map<String, serde_json::Value> =
        choices.iter().map(|(n, c)| (format!("net.{n}"), c.width(0).into())).collect();
    std::fs::write(&plain, serde_json::Value::Object(widths).to_string()).unwrap();
    let mut small = algorithm(&of("sub_model", "cfg", &plain, ", mode='mutator', prefix='net.'"));
    assert!(saved.take_over(&mut *small, true).is_err());
    let refused = |text: String| with_env(|env| env.algorithm(&value(&text)).err().unwrap().to_string());
    assert!(refused(of("sub_model", "cfg", &file, "")).contains("not supported"));
    assert!(refused(of("sub_model", "cfg", &plain, ", mode='mutator'")).contains("no channel unit `net."));
}

/// The subnets of MobileNetV2 that AutoSlim published have 4.13, 5.77 and 6.50 million parameters.
#[test]
fn published_subnets_have_their_sizes() {
    let text = "dict(type='ImageClassifier', backbone=dict(type='MobileNetV2', widen_factor=1.5), \
        neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=1000, \
        in_channels=1920, loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))";
    let graph = with_env(|env| env.task_model(&value(text)).unwrap().graph);
    let net = Supernet::new(graph.into()).unwrap();
    let units = occam_testing::workspace().join("configs/nas/mmcls/autoslim/mbv2_1.5x_slimmable_units.json");
    let mutator = format!(
        "dict(type='SlimmableChannelMutator', channel_unit_cfg=dict(type='SlimmableChannelUnit', units='{}'))",
        units.display()
    );
    let mutator = registry().build::<ChannelMutator>(&value(&mutator)).unwrap();
    let columns = subnets(&mutator, &mutator.units(net.trace()).unwrap(), net.trace()).unwrap();
    let sizes = columns.iter().map(|widths| net.resources(widths, [3, 224, 224]).unwrap());
    let millions: Vec<String> = sizes.map(|r| format!("{:.2}", r.params as f64 / 1e6)).collect();
    assert_eq!(millions, ["4.13", "5.77", "6.50"]);
}
