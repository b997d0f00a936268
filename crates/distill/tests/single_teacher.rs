//! Training with one teacher.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{MODEL, SEED, batch, context, model, registry, value, with_env};
use indexmap::IndexMap;
use occam_data::{DataPreprocessor, Evaluator, LoaderConfig};
use occam_distill::{DistillLoss, KlDivergence, SingleTeacherDistill};
use occam_engine::{Mode, Request, Tensor, collect};
use occam_graph::{Array, Weights};
use occam_train::loops::eval_loop;
use occam_train::reporter::Silent;
use occam_train::{Algorithm, GradientMap};
use occam_zoo::Sites;

const DISTILLER: &str = "dict(type='ConfigurableDistiller', \
    student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')), \
    teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')), \
    distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=2.0, loss_weight=3.0)), \
    loss_forward_mappings=dict(loss_kl=dict(preds_S=dict(from_student=True, recorder='fc'), \
    preds_T=dict(from_student=False, recorder='fc'))))";

fn config(keys: &str) -> String {
    // The teacher is another network than the student.
    let teacher =
        MODEL.replace("base_channels=4", "base_channels=6").replace("in_channels=32", "in_channels=48");
    format!(
        "dict(type='mmrazor.SingleTeacherDistill', architecture={MODEL}, teacher={teacher}, \
         distiller={DISTILLER}{keys})"
    )
}

fn build(text: &str) -> Result<SingleTeacherDistill, String> {
    with_env(|env| SingleTeacherDistill::from_config(&value(text), env).map_err(|e| e.to_string()))
}

fn arrays(gradients: &GradientMap) -> IndexMap<String, Array> {
    gradients.iter().map(|(name, g)| (name.clone(), g.to_array().unwrap())).collect()
}

fn names(losses: &IndexMap<String, f32>) -> Vec<&str> {
    losses.keys().map(String::as_str).collect()
}

#[test]
fn the_student_learns_and_the_teacher_stays() {
    let mut algorithm = build(&config("")).unwrap();
    assert_eq!(algorithm.warnings().len(), 1, "random weights teach");
    let teacher = algorithm.teacher().params.to_weights().unwrap();
    let student = algorithm.architecture().params.to_weights().unwrap();
    assert_eq!(student, model(SEED).params.to_weights().unwrap(), "first values as without a teacher");

    let step = algorithm.train_step(&batch(6), &context()).unwrap();
    assert_eq!(names(&step.losses), ["student.loss", "distill.loss_kl"]);
    let weights = algorithm.architecture().params.iter().filter(|(_, p)| p.trainable);
    let wanted: Vec<String> = weights.map(|(name, _)| format!("architecture.{name}")).collect();
    assert_eq!(step.gradients.keys().cloned().collect::<Vec<_>>(), wanted);

    assert_eq!(algorithm.teacher().params.to_weights().unwrap(), teacher);
    let after = algorithm.architecture().params.to_weights().unwrap();
    for (name, array) in &after {
        assert_eq!(student[name] != *array, name.contains("running_"), "{name}");
    }
    let prefixes: Vec<&str> = algorithm.models().iter().map(|(prefix, _)| *prefix).collect();
    assert_eq!(prefixes, ["architecture.", "teacher."]);
    assert!(algorithm.is_frozen("teacher.") && !algorithm.is_frozen("architecture."));
}

#[test]
fn agrees_with_losses_put_together_by_hand() {
    let mut algorithm = build(&config("")).unwrap();
    let (student, teacher) = (algorithm.architecture(), algorithm.teacher());
    let batch = batch(6);
    let taught =
        teacher.forward(&teacher.params.constants(), &batch, &Request::new(Mode::Eval)).unwrap().outputs;
    let kl = KlDivergence { tau: 2.0, loss_weight: 3.0, ..KlDivergence::default() };
    let total = |parameters: &IndexMap<String, Tensor>| {
        let outputs = student.forward(parameters, &batch, &Request::new(Mode::Train)).unwrap();
        let own = student.loss(&outputs, &batch, &mut Sites::default()).unwrap()["loss"].clone();
        let distilled = kl.forward(&[outputs.outputs[0].clone(), taught[0].clone()]).unwrap();
        [own, distilled]
    };
    let leaves = student.params.leaves();
    let [own, distilled] = total(&leaves);
    let wanted = [own.item().unwrap(), distilled.item().unwrap()];
    assert!(wanted.iter().all(|&v| v > 1e-3), "{wanted:?}");
    let gradients = collect(&leaves, &mut own.add(&distilled).unwrap().backward().unwrap());

    // The logits depend on a bias of the last layer alone: a difference quotient is exact enough there.
    let bias = student.params.get("head.fc.bias").unwrap().tensor.to_f32().unwrap();
    let slope = gradients["head.fc.bias"].to_f32().unwrap();
    for (i, slope) in slope.iter().enumerate() {
        let moved = |by: f32| {
            let mut bias = bias.clone();
            bias[i] += by;
            let mut parameters = student.params.constants();
            let tensor = Tensor::from_f32(&[bias.len()], bias, student.device()).unwrap();
            parameters.insert("head.fc.bias".into(), tensor);
            total(&parameters).map(|t| f64::from(t.item().unwrap())).iter().sum::<f64>()
        };
        let quotient = (moved(0.01) - moved(-0.01)) / 0.02;
        assert!((quotient - f64::from(*slope)).abs() < 1e-3, "{quotient} is not {slope}");
    }

    let step = algorithm.train_step(&batch, &context()).unwrap();
    assert_eq!(step.losses.values().copied().collect::<Vec<_>>(), wanted);
    let wanted: IndexMap<String, Array> =
        arrays(&gradients).into_iter().map(|(name, g)| (format!("architecture.{name}"), g)).collect();
    assert_eq!(arrays(&step.gradients), wanted);
}

#[test]
fn without_weight_it_is_plain_training() {
    let mut algorithm = build(&config("").replace("loss_weight=3.0", "loss_weight=0.0")).unwrap();
    let mut plain = with_env(|env| env.algorithm(&value(MODEL)).unwrap());
    let mut stopped = build(&config("")).unwrap();
    stopped.stop_distillation(true);
    assert!(stopped.distillation_stopped());
    for _ in 0..2 {
        let wanted = plain.train_step(&batch(6), &context()).unwrap();
        let wanted: IndexMap<String, Array> = arrays(&wanted.gradients)
            .into_iter()
            .map(|(name, g)| (format!("architecture.{name}"), g))
            .collect();
        let step = algorithm.train_step(&batch(6), &context()).unwrap();
        assert_eq!(arrays(&step.gradients), wanted);
        let step = stopped.train_step(&batch(6), &context()).unwrap();
        assert_eq!(names(&step.losses), ["student.loss"]);
        assert_eq!(arrays(&step.gradients), wanted);
        let buffers = plain.architecture().params.to_weights().unwrap();
        assert_eq!(algorithm.architecture().params.to_weights().unwrap(), buffers);
    }
    stopped.stop_distillation(false);
    let step = stopped.train_step(&batch(6), &context()).unwrap();
    assert_eq!(names(&step.losses), ["student.loss", "distill.loss_kl"]);
}

#[test]
fn the_teacher_may_learn_too() {
    let mut algorithm = build(&config(", teacher_trainable=True")).unwrap();
    assert!(algorithm.warnings().is_empty() && !algorithm.is_frozen("teacher."));
    let before = algorithm.teacher().params.to_weights().unwrap();
    let step = algorithm.train_step(&batch(6), &context()).unwrap();
    assert_eq!(names(&step.losses), ["teacher.loss", "student.loss", "distill.loss_kl"]);
    assert!(step.gradients.contains_key("teacher.head.fc.weight"));
    assert!(step.gradients.contains_key("architecture.head.fc.weight"));
    assert_eq!(algorithm.teacher().params.to_weights().unwrap(), before, "running statistics stay");

    // Detached logits: the teacher learns from its own loss alone.
    let teacher = algorithm.teacher();
    let leaves = teacher.params.leaves();
    let outputs = teacher.forward(&leaves, &batch(6), &Request::new(Mode::Eval)).unwrap();
    let loss = teacher.loss(&outputs, &batch(6), &mut Sites::default()).unwrap()["loss"].clone();
    let alone = collect(&leaves, &mut loss.backward().unwrap());
    for (name, gradient) in &alone {
        let found = step.gradients[&format!("teacher.{name}")].to_array().unwrap();
        assert_eq!(found, gradient.to_array().unwrap(), "{name}");
    }
}

#[test]
fn a_frozen_teacher_may_normalize_by_the_batch() {
    let mut algorithm = build(&config(", teacher_norm_eval=False")).unwrap();
    assert!(!algorithm.is_frozen("teacher."));
    let before = algorithm.teacher().params.to_weights().unwrap();
    let step = algorithm.train_step(&batch(6), &context()).unwrap();
    assert!(step.gradients.keys().all(|name| name.starts_with("architecture.")));
    for (name, array) in &algorithm.teacher().params.to_weights().unwrap() {
        assert_eq!(before[name] != *array, name.contains("running_"), "{name}");
    }
}

#[test]
fn the_students_own_loss_can_be_left_out() {
    let mut algorithm = build(&config(", calculate_student_loss=False")).unwrap();
    let step = algorithm.train_step(&batch(6), &context()).unwrap();
    assert_eq!(names(&step.losses), ["distill.loss_kl"]);
    assert!(step.gradients.contains_key("architecture.backbone.conv1.weight"));
    algorithm.stop_distillation(true);
    assert!(algorithm.train_step(&batch(6), &context()).is_err());
}

#[test]
fn a_student_that_does_not_learn_has_no_gradient() {
    let mut algorithm = build(&config(", student_trainable=False, teacher_trainable=True")).unwrap();
    assert!(algorithm.architecture().params.iter().all(|(_, p)| !p.trainable));
    let step = algorithm.train_step(&batch(6), &context()).unwrap();
    assert!(!step.gradients.is_empty() && step.gradients.keys().all(|name| name.starts_with("teacher.")));
}

#[test]
fn labels_reach_a_classification_loss() {
    let text = config("")
        .replace("distill_losses=dict(", "distill_losses=dict(loss_ce=dict(type='mmcls.CrossEntropyLoss'), ")
        .replace(
            "student_recorders=dict(",
            "student_recorders=dict(gt=dict(type='ModuleInputs', source='head.loss_module'), \
             root=dict(type='ModuleInputs', source=''), ",
        );
    for recorder in ["gt", "root"] {
        let text = text.replace(
            "loss_forward_mappings=dict(",
            &format!(
                "loss_forward_mappings=dict(loss_ce=dict(cls_score=dict(recorder='fc', from_student=True), \
                 label=dict(recorder='{recorder}', from_student=True, data_idx=1)), "
            ),
        );
        for keys in ["", ", calculate_student_loss=False"] {
            let text = text.strip_suffix(')').unwrap();
            let mut algorithm = build(&format!("{text}{keys})")).unwrap();
            let own = model(SEED);
            let outputs =
                own.forward(&own.params.constants(), &batch(6), &Request::new(Mode::Train)).unwrap();
            let wanted =
                own.loss(&outputs, &batch(6), &mut Sites::default()).unwrap()["loss"].item().unwrap();
            let step = algorithm.train_step(&batch(6), &context()).unwrap();
            assert!((step.losses["distill.loss_ce"] - wanted).abs() < 1e-6);
        }
    }
}

#[test]
fn impossible_configs_are_explained() {
    let error = |keys: &str| {
        let error = build(&config(keys)).err().unwrap_or_else(|| panic!("{keys} is accepted"));
        error.split_once(": ").map(|(_, message)| message.to_owned()).unwrap()
    };
    assert_eq!(
        error(", student_trainable=False"),
        "nothing would be learned: neither student nor teacher is trainable"
    );
    assert_eq!(error(", teacher_ckpt=3"), "`teacher_ckpt` must be a str, found int");
    assert_eq!(error(", teacher_ckpt='https://a.b/c.pth'"), "weights are never downloaded");
    assert_eq!(
        error(", init_cfg=dict(type='Pretrained')"),
        "`init_cfg` is not supported; leave it out or None"
    );
    assert_eq!(error(", teacher_norm=True"), "unknown key \"teacher_norm\"");
    let text = config(", calculate_student_loss=False").replace("loss_kl", "kl");
    let error = build(&text).err().unwrap();
    assert!(error.contains("no distillation loss depends on the student"), "{error}");
    let text = config("").replace("source='head.fc'", "source='head.fcc'");
    assert!(build(&text).err().unwrap().contains("the model has no module \"head.fcc\""));
    assert!(build(&config(", teacher_module_inplace=True, module_inplace=False")).is_ok());
}

#[test]
fn teachers_are_loaded_from_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("teacher.safetensors");
    let build = |keys: &str| {
        let keys =
            format!(", teacher_ckpt={}{keys}", occam_config::Value::from(path.to_str().unwrap()).to_python());
        build(&config(&keys))
    };
    let shapes = self::build(&config("")).unwrap().teacher().params.to_weights().unwrap();
    let weights: Weights =
        shapes.iter().map(|(name, a)| (name.clone(), occam_testing::parameter(name, a.shape()))).collect();
    let save = |weights: &Weights| occam_io::safetensors::save(&path, weights, &IndexMap::new()).unwrap();
    let prefixed = |prefix: &str, weights: &Weights| -> Weights {
        weights.iter().map(|(name, a)| (format!("{prefix}{name}"), a.clone())).collect()
    };

    assert!(build("").err().unwrap().contains("cannot open"));

    let mut bare = weights.clone();
    bare.extend(prefixed("optimizer/", &shapes));
    save(&bare);
    let algorithm = build("").unwrap();
    assert_eq!(algorithm.teacher().params.to_weights().unwrap(), weights);
    assert!(algorithm.warnings().is_empty());
    assert_eq!(
        algorithm.architecture().params.to_weights().unwrap(),
        model(SEED).params.to_weights().unwrap()
    );

    let mut distilled = prefixed("architecture.", &weights);
    distilled.extend(prefixed("teacher.", &shapes));
    save(&distilled);
    assert_eq!(build("").unwrap().teacher().params.to_weights().unwrap(), weights);

    save(&model(SEED).params.to_weights().unwrap());
    let error = build("").err().unwrap();
    assert!(error.contains("a.py:1:") && error.contains("these weights are of another model"), "{error}");
}

#[test]
fn models_come_from_other_configs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.py");
    std::fs::write(&path, format!("model = {MODEL}")).unwrap();
    let path = occam_config::Value::from(path.to_str().unwrap()).to_python();
    let text = config("").replace(
        &format!("architecture={MODEL}"),
        &format!("architecture=dict(cfg_path={path}, pretrained=False)"),
    );
    let algorithm = build(&text).unwrap();
    assert_eq!(
        algorithm.architecture().params.to_weights().unwrap(),
        model(SEED).params.to_weights().unwrap()
    );
}

#[test]
fn the_preprocessor_is_its_own_or_the_students() {
    let with = |own: &str, students: &str| {
        let text = config(own).replacen("ImageClassifier'", &format!("ImageClassifier'{students}"), 1);
        build(&text).unwrap().data_preprocessor().cloned()
    };
    let (one, two) = (", data_preprocessor=dict(mean=[1.0])", ", data_preprocessor=dict(mean=[2.0])");
    assert_eq!(with("", ""), None);
    assert_eq!(with("", two), Some(value("dict(mean=[2.0])")));
    assert_eq!(with(one, two), Some(value("dict(mean=[1.0])")));
}

/// The loop of the original's configs measures both; the other one the student alone.
#[test]
fn student_and_teacher_are_measured() {
    let mut registry = registry();
    occam_data::register(&mut registry);
    let data = "dict(batch_size=4, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dict(\
        type='SyntheticDataset', length=10, size=(8, 8), num_classes=5, pipeline=[dict(type='PackClsInputs')]))";
    let preprocessor =
        registry.build::<dyn DataPreprocessor>(&value("dict(type='ClsDataPreprocessor')")).unwrap();
    let loader = LoaderConfig::from_value(&value(data)).unwrap();
    let loader = loader.build(&registry, preprocessor.into(), SEED).unwrap();
    let mut evaluator =
        Evaluator::from_config(&value("dict(type='Accuracy', topk=(1, 5))"), &registry).unwrap();
    let algorithm = build(&config("")).unwrap();
    let mut measure = |kind: &str| {
        let mut eval = eval_loop(Some(&value(kind)), &registry).unwrap();
        let first = eval.run(&algorithm, &loader, &mut evaluator, "val", &mut Silent).unwrap();
        let again = eval.run(&algorithm, &loader, &mut evaluator, "val", &mut Silent).unwrap();
        assert_eq!(first, again);
        first
    };
    let student = measure("dict(type='ValLoop')");
    let both = measure("dict(type='mmrazor.SingleTeacherDistillValLoop')");
    let names: Vec<&str> = both.keys().map(String::as_str).collect();
    let wanted = ["accuracy/top1", "accuracy/top5", "teacher.accuracy/top1", "teacher.accuracy/top5"];
    assert_eq!(names, wanted);
    assert_eq!((both[0], both["teacher.accuracy/top5"]), (student[0], 100.0));
    let refused = eval_loop(Some(&value("dict(type='SingleTeacherDistillValLoop', fp16=True)")), &registry);
    assert!(refused.is_err_and(|e| e.to_string().contains("fp16")));
}
