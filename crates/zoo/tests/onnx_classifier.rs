//! Classifiers from ONNX files: the same outputs, whatever number of images a file is made for, and gradients.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::registry;
use indexmap::IndexMap;
use occam_config::Loader;
use occam_data::{DataSample, Seed};
use occam_engine::{Device, Executor, Mode, Outputs, Params, Request, Tensor, collect};
use occam_graph::{Array, DType, Graph, Op, Role, Weights};
use occam_io::npz;
use occam_io::onnx::{ImportOptions, Message, import_bytes};
use occam_testing::{assert_close, values, workspace};
use occam_zoo::{Architecture, Sites, TaskModel, initialize};

fn path(name: &str) -> String {
    workspace().join("tests/golden/onnx").join(name).display().to_string()
}

fn arrays() -> Weights {
    npz::load(path("classifiers.npz")).unwrap()
}

/// The model of a file, with `more` arguments.
fn build(file: &str, more: &str) -> Result<TaskModel, String> {
    let text = format!("model = dict(type='OnnxClassifier', path='{file}', {more})\n");
    let value = Loader::new().load_str("model.py", &text).map_err(|e| format!("{e:?}"))?;
    let model = value.get("model").unwrap();
    let built = registry().build::<dyn Architecture>(model).map_err(|e| format!("{e:?}"))?;
    built.build().map_err(|e| format!("{:?}", occam_config::Error::from(e)))
}

fn model(name: &str, more: &str) -> TaskModel {
    build(&path(name), more).unwrap()
}

fn refused(file: &str, more: &str) -> String {
    build(file, more).err().unwrap()
}

/// The scores for all images at once.
fn scores(graph: &Graph, weights: &Weights, images: &Array) -> Array {
    let params = Params::new(graph, weights, &Device::cpu()).unwrap();
    let executor = Executor::new(Arc::new(graph.clone())).unwrap();
    let images = Tensor::from_array(images, &Device::cpu()).unwrap();
    let out = executor.run(&params.constants(), &[images], &Request::new(Mode::Eval)).unwrap();
    out.outputs[0].to_array().unwrap()
}

fn softmax(scores: &Array) -> Vec<f64> {
    let mut all = Vec::new();
    for row in values(scores).chunks(10) {
        let largest = row.iter().copied().fold(f64::MIN, f64::max);
        let exp: Vec<f64> = row.iter().map(|x| (x - largest).exp()).collect();
        let sum: f64 = exp.iter().sum();
        all.extend(exp.iter().map(|x| x / sum));
    }
    all
}

fn weights(model: &TaskModel) -> Weights {
    initialize(&model.graph, &model.inits, Seed(0)).unwrap()
}

/// Files are made for one image, which stands in their shapes; what ONNX Runtime makes of each image follows from all three
/// at once.
#[test]
fn any_number_of_images() {
    let arrays = arrays();
    let images = &arrays["images"];
    for (name, probabilities, tolerance) in [
        ("classifier", true, 1e-6),
        ("classifier_f16", true, 2e-3),
        ("tokens", false, 1e-6),
        ("classifier_qdq", false, 1e-6),
    ] {
        let model = model(&format!("{name}.onnx"), "");
        let found = scores(&model.graph, &weights(&model), images);
        let found = if probabilities { softmax(&found) } else { values(&found) };
        assert_close(name, &found, &values(&arrays[name]), tolerance);
    }
}

/// What is written has the sizes, names and types of the file, and computes the same.
#[test]
fn files_are_written_again() {
    let arrays = arrays();
    for (name, tolerance) in
        [("classifier", 1e-6), ("classifier_f16", 2e-3), ("tokens", 1e-6), ("classifier_qdq", 1e-6)]
    {
        let file = format!("{name}.onnx");
        let model = model(&file, "");
        let written = model.file.as_ref().unwrap().write(&model.graph, &weights(&model)).unwrap();
        let before = occam_io::onnx::read_model(path(&file)).unwrap();
        let (new, old) = (written.graph.as_ref().unwrap(), before.graph.as_ref().unwrap());
        assert_eq!(new.input, old.input, "{name}");
        assert_eq!(new.output, old.output, "{name}");
        assert_eq!((&new.name, &written.metadata_props), (&old.name, &before.metadata_props), "{name}");
        let bytes = written.encode_to_vec();
        let again = import_bytes(bytes.clone(), &ImportOptions::default()).unwrap();
        let one =
            Array::from_f32([1, 1, 28, 28], arrays["images"].as_f32().unwrap()[..784].to_vec()).unwrap();
        let inputs = Weights::from([("image".to_owned(), one)]);
        let found = interpreted(&again.graph, &again.weights, &inputs);
        assert_close(name, &found, &values(&arrays[name])[..10], tolerance);
        // And once more from what was written.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("again.onnx");
        std::fs::write(&file, bytes).unwrap();
        let twice = build(file.to_str().unwrap(), "").unwrap();
        let params = |m: &TaskModel| {
            m.graph.params().map(|(_, v)| v.name.clone()).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(params(&twice), params(&model), "{name}");
    }
    let half = model("classifier_f16.onnx", "");
    let written = half.file.as_ref().unwrap().write(&half.graph, &weights(&half)).unwrap();
    let graph = written.graph.unwrap();
    let float16 = i32::from(occam_io::onnx::proto::DataType::Float16);
    let conv = graph.initializer.iter().find(|t| t.name() == "conv1.weight").unwrap();
    assert_eq!(conv.data_type(), float16);
    let old = occam_io::onnx::read_model(path("classifier_f16.onnx")).unwrap().graph.unwrap();
    let stored = old.initializer.iter().find(|t| t.name() == "conv1.weight").unwrap();
    assert!(occam_io::onnx::array(conv).unwrap() == occam_io::onnx::array(stored).unwrap());
    let mut large = weights(&half);
    large.insert("conv1.weight".into(), Array::full([8, 1, 3, 3], 1e6));
    let error = half.file.as_ref().unwrap().write(&half.graph, &large).unwrap_err().to_string();
    assert!(error.contains("`conv1.weight`") && error.contains("f16"), "{error}");
}

fn interpreted(graph: &Graph, weights: &Weights, inputs: &Weights) -> Vec<f64> {
    let outputs = occam_interp::Interpreter::new(graph, weights).unwrap().run(inputs).unwrap();
    values(&outputs.first().unwrap().1.to_f32().unwrap())
}

/// A training step: what the run gives, the loss, and gradients.
fn step(model: &TaskModel, weights: &Weights) -> (Outputs, f32, IndexMap<String, Tensor>) {
    let params = Params::new(&model.graph, weights, &Device::cpu()).unwrap();
    let leaves = params.leaves();
    let executor = Executor::new(Arc::new(model.graph.clone())).unwrap();
    let images = Tensor::from_array(&arrays()["images"], &Device::cpu()).unwrap();
    let out = executor.run(&leaves, &[images], &Request::new(Mode::Train)).unwrap();
    let samples: Vec<DataSample> = (0..3)
        .map(|i| DataSample { index: i as usize, gt_label: vec![2 * i], ..DataSample::default() })
        .collect();
    let losses = model.task.loss(&out.outputs, &samples, &mut Sites::default()).unwrap();
    let loss = losses["loss"].clone();
    let value = loss.item().unwrap();
    let gradients = collect(&leaves, &mut loss.backward().unwrap());
    (out, value, gradients)
}

#[test]
fn everything_learns_but_what_is_frozen() {
    for (name, count) in [("classifier", 8), ("tokens", 12), ("classifier_qdq", 3)] {
        let model = model(&format!("{name}.onnx"), "");
        let (_, _, gradients) = step(&model, &weights(&model));
        let learned: Vec<&String> = gradients.keys().collect();
        assert_eq!(gradients.len(), count, "{name}: {learned:?}");
        assert!(name != "tokens" || gradients.contains_key("qkv.weight"), "{learned:?}");
        for (name, gradient) in &gradients {
            assert!(gradient.to_f32().unwrap().iter().any(|&g| g != 0.0), "{name}");
        }
    }
    let roles =
        |model: &TaskModel, role| model.graph.params().filter(|(_, v)| v.role() == Some(role)).count();
    let plain = model("classifier.onnx", "");
    assert_eq!((roles(&plain, Role::Weight), roles(&plain, Role::Buffer)), (8, 4));
    let (out, ..) = step(&plain, &weights(&plain));
    let updated: Vec<&str> = out.buffers.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(updated, ["bn1.running_mean", "bn1.running_var", "bn2.running_mean", "bn2.running_var"]);
    let momentum = plain.graph.nodes().filter_map(|(_, n)| match n.op {
        Op::BatchNorm(norm) => Some((norm.momentum, norm.eps)),
        _ => None,
    });
    assert_eq!(momentum.collect::<Vec<_>>(), [(0.1, 1e-5), (0.2, 1e-3)]);

    let still = model("classifier.onnx", "norm_eval=True");
    let (out, _, gradients) = step(&still, &weights(&still));
    assert_eq!((out.buffers.len(), gradients.len()), (0, 8));

    let part = model("classifier.onnx", "frozen=['conv1', 'bn1', '.*2[.]bias']");
    let (out, _, gradients) = step(&part, &weights(&part));
    let updated: Vec<&str> = out.buffers.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(updated, ["bn2.running_mean", "bn2.running_var"]);
    let learned: Vec<&str> = gradients.keys().map(String::as_str).collect();
    assert_eq!(learned, ["conv2.weight", "bn2.weight", "fc.weight", "fc.bias"]);
}

/// The weights of a channel lie within 127 steps, of which 150 lead to the largest: gradients pass within, and nothing
/// beyond learns.
#[test]
fn clipped_weights_do_not_learn() {
    let model = model("classifier_qdq.onnx", "");
    let weights = weights(&model);
    let (_, _, gradients) = step(&model, &weights);
    let (mut clipped, mut free) = (0, 0);
    for name in ["conv1.weight", "fc.weight"] {
        let gradient = gradients[name].to_f32().unwrap();
        let rows = weights[name].shape()[0];
        let size = gradient.len() / rows;
        let rows = weights[name].as_f32().unwrap().chunks(size).zip(gradient.chunks(size));
        for (row, gradient) in rows {
            let scale = row.iter().fold(0f32, |m, w| m.max(w.abs())) / 150.0;
            for (w, g) in row.iter().zip(gradient) {
                if (w / scale).abs() > 128.5 {
                    clipped += 1;
                    assert_eq!(*g, 0.0, "{name}");
                } else if (w / scale).abs() < 127.0 {
                    free += usize::from(*g != 0.0);
                }
            }
        }
    }
    assert!(clipped >= 18 && free >= 80, "{clipped} {free}");
}

/// What is done to images before the first layer is no layer.
#[test]
fn preparing_images_is_not_learned() {
    use occam_io::onnx::proto::{NodeProto, TensorProto};
    let mut model = occam_io::onnx::read_model(path("classifier.onnx")).unwrap();
    let graph = model.graph.as_mut().unwrap();
    for (name, op, from) in [("shifted", "Sub", "image"), ("scaled", "Div", "shifted")] {
        graph.initializer.push(TensorProto {
            name: Some(format!("{name}.by")),
            dims: vec![1, 1, 1, 28],
            data_type: Some(1),
            float_data: vec![2.0; 28],
            ..TensorProto::default()
        });
        graph.node.push(NodeProto {
            input: vec![from.into(), format!("{name}.by")],
            output: vec![name.into()],
            op_type: Some(op.into()),
            ..NodeProto::default()
        });
    }
    graph.node.iter_mut().find(|n| n.op_type() == "Conv").unwrap().input[0] = "scaled".into();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prepared.onnx");
    occam_io::onnx::write_model(&file, &model).unwrap();
    let model = build(file.to_str().unwrap(), "").unwrap();
    assert_eq!(model.graph.params().filter(|(_, v)| v.role() == Some(Role::Weight)).count(), 8);
}

#[test]
fn another_number_of_classes_makes_the_last_layer_anew() {
    let model = model("classifier.onnx", "num_classes=4");
    let weights = weights(&model);
    assert_eq!((weights["fc.weight"].shape(), weights["fc.bias"].shape()), (&[4, 108][..], &[4][..]));
    assert!(weights["fc.bias"].as_f32().unwrap().iter().all(|&b| b == 0.0));
    let written = model.file.as_ref().unwrap().write(&model.graph, &weights).unwrap();
    let again = import_bytes(written.encode_to_vec(), &ImportOptions::default()).unwrap();
    let output = again.graph.value(again.graph.outputs()[0].1).unwrap();
    assert_eq!(
        (again.graph.outputs()[0].0.as_str(), output.fact.to_string()),
        ("probabilities", "f32[1, 4]".into())
    );
    let same = self::model("classifier.onnx", "num_classes=10");
    assert_eq!(self::weights(&same)["fc.weight"].dtype(), DType::F32);
}

/// Of a user's file and config.
#[test]
fn what_cannot_be_trained_is_told() {
    let classifier = path("classifier.onnx");
    for (more, about) in [
        ("frozen=['con1']", "did you mean `conv1`?"),
        ("frozen=['(']", "no regular expression"),
        ("frozen=[3]", "must be a list of str"),
        ("num_classes=0", "at least 1"),
        ("norm_evl=True", "norm_eval"),
        ("loss=dict(type='CrossEntropyLos')", "CrossEntropyLoss"),
    ] {
        let error = refused(&classifier, more);
        assert!(error.contains(about), "{more}: {error}");
    }
    assert!(refused("/nowhere/model.onnx", "").contains("/nowhere/model.onnx"));
    // Its last weights are quantized.
    let error = refused(&path("classifier_qdq.onnx"), "num_classes=3");
    assert!(error.contains("node `fc` (Linear)"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let altered = |name: &str, change: &dyn Fn(&mut occam_io::onnx::proto::GraphProto)| {
        let mut model = occam_io::onnx::read_model(path(name)).unwrap();
        change(model.graph.as_mut().unwrap());
        let file = folder.path().join("altered.onnx");
        occam_io::onnx::write_model(&file, &model).unwrap();
        refused(file.to_str().unwrap(), "")
    };
    let two = altered("classifier.onnx", &|g| {
        let mut second = g.output[0].clone();
        second.name = Some("/fc/Gemm_output_0".into());
        g.output.push(second);
    });
    assert!(two.contains("gives one output") && two.contains("`/fc/Gemm_output_0`"), "{two}");
    let map = altered("classifier.onnx", &|g| {
        g.node.truncate(7);
        g.output[0].name = Some("/pool/AveragePool_output_0".into());
    });
    assert!(map.contains("`/pool/AveragePool_output_0`: f32[N, 12, 3, 3]"), "{map}");
    // Images as rows of one axis, which no shape can open.
    let baked = altered("classifier.onnx", &|g| {
        let shape = g.node.iter_mut().find(|n| n.op_type() == "Constant").unwrap();
        shape.attribute[0].t.as_mut().unwrap().raw_data =
            Some([12i64, 9].iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>().into());
        let sum = g.node.iter_mut().find(|n| n.op_type() == "Gemm").unwrap();
        sum.op_type = Some("Flatten".into());
        sum.attribute.clear();
        sum.input.truncate(1);
        sum.attribute.push(occam_io::onnx::proto::AttributeProto::int("axis", 0));
    });
    assert!(baked.contains("f32[1,") && baked.contains("`/fc/Gemm` (Flatten)"), "{baked}");
    let training = altered("classifier.onnx", &|g| {
        let norm = g.node.iter_mut().find(|n| n.op_type() == "BatchNormalization").unwrap();
        norm.attribute.retain(|a| a.name() != "training_mode");
        norm.attribute.push(occam_io::onnx::proto::AttributeProto::int("training_mode", 1));
    });
    assert!(training.contains("/bn1/BatchNormalization") && training.contains("eval()"), "{training}");
}
