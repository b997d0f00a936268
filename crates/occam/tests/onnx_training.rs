//! A model in an ONNX file, from the command line: fine-tuned, measured, written again, and as a teacher.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use occam::data::{Dataset, Seed};
use occam::graph::{Array, Weights};
use occam::interp::Interpreter;
use occam::io::onnx::{ImportOptions, import, proto, read_model};
use occam_testing::workspace;

/// A training of few images.
const CONFIG: &str = "
_base_ = ['BASE/datasets/fashion_mnist.py', 'BASE/default_runtime.py']
model = dict(type='OnnxClassifier', path='FILE', norm_eval=False, frozen=[])
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
train_cfg = dict(by_epoch=True, max_epochs=3, val_interval=1)
val_cfg = dict()
test_cfg = dict()
train_dataloader = dict(batch_size=32, dataset=dict(indices=1600))
val_dataloader = dict(batch_size=50, dataset=dict(indices=200))
test_dataloader = val_dataloader
default_hooks = dict(logger=dict(interval=10))
";

fn golden(name: &str) -> String {
    workspace().join("tests/golden/onnx").join(name).display().to_string()
}

/// Writes the config for a file into `dir`.
fn config(dir: &Path, file: &str, more: &str) {
    let base = workspace().join("configs/_base_").display().to_string();
    let text = CONFIG.replace("BASE", &base).replace("FILE", &golden(file)) + more;
    std::fs::write(dir.join("c.py"), text).unwrap();
    let data = dir.join("data");
    if !data.exists() {
        std::os::unix::fs::symlink(workspace().join("data"), data).unwrap();
    }
}

fn occam(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_occam")).current_dir(dir).args(args).output().unwrap()
}

fn says(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(text).unwrap().split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "")
}

fn works(dir: &Path, args: &[&str]) -> String {
    let output = occam(dir, args);
    assert!(output.status.success(), "{args:?}: {}", says(&output));
    says(&output)
}

/// The numbers behind each `name: ` of a log.
fn figures(text: &str, name: &str) -> Vec<f64> {
    let mark = format!("{name}: ");
    text.split(&mark).skip(1).map(|p| p.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

/// Share of the test images, in percent, that a file classifies as they are labelled, each by itself as the interpreter runs it.
fn accuracy(dir: &Path, file: &Path, count: usize) -> f64 {
    let model = import(file, &ImportOptions::default()).unwrap();
    let interpreter = Interpreter::new(&model.graph, &model.weights).unwrap();
    let config = occam::config::Loader::new().load(&dir.join("c.py")).unwrap();
    let mut value = config.get("test_dataloader.dataset").unwrap().clone();
    let root = workspace().join("data/fashion-mnist-small").display().to_string();
    value.set("data_prefix", occam::config::Value::from(root.as_str())).unwrap();
    let dataset = occam::registry().build::<dyn Dataset>(&value).unwrap();
    let mut rng = Seed(0).stream("test", &[]);
    let mut right = 0;
    for i in 0..count {
        let sample = dataset.prepare(i, &mut rng).unwrap();
        let pixels = sample.image.pixels().iter().map(|&p| (f32::from(p) - 72.94) / 90.02).collect();
        let image = Array::from_f32([1, 1, 28, 28], pixels).unwrap();
        let out = interpreter.run(&Weights::from([("image".to_owned(), image)])).unwrap();
        let row = out.first().unwrap().1.as_f32().unwrap();
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        right += usize::from(sample.gt_label == [best as i64]);
    }
    100.0 * right as f64 / count as f64
}

fn names(graph: &proto::GraphProto) -> Vec<(String, String)> {
    let told = graph.node.iter().filter(|n| n.op_type() != "Constant");
    told.map(|n| (n.name().to_owned(), n.doc_string().to_owned())).collect()
}

#[test]
fn a_file_is_fine_tuned_and_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    config(dir, "classifier.onnx", "");
    let log = works(dir, &["train", "c.py", "--work-dir", "work"]);
    let losses = figures(&log, "loss");
    assert!(losses[losses.len() - 1] < 0.6 * losses[0], "{losses:?}");
    // The first is what the command says at its end.
    let accuracies = figures(&log, "accuracy/top1");
    assert!(accuracies[3] > accuracies[1] && accuracies[3] > 65.0, "{accuracies:?}");
    let told = figures(&works(dir, &["test", "c.py", "work/epoch_3.safetensors"]), "accuracy/top1");
    assert_eq!(told[0], accuracies[3]);
    let text = works(dir, &["export", "c.py", "work/epoch_3.safetensors", "-o", "tuned.onnx"]);
    assert!(text.contains("tuned.onnx"), "{text}");

    // The file is the old one with other numbers: it is made for one image, and ends in probabilities.
    let (old, new) =
        (read_model(golden("classifier.onnx")).unwrap(), read_model(dir.join("tuned.onnx")).unwrap());
    assert_eq!(new.opset_import, old.opset_import);
    assert_eq!((&new.metadata_props, &new.producer_name), (&old.metadata_props, &old.producer_name));
    let (old, new) = (old.graph.unwrap(), new.graph.unwrap());
    assert_eq!((&new.input, &new.output), (&old.input, &old.output));
    assert_eq!(names(&new), names(&old));
    assert_eq!(new.node.last().unwrap().op_type(), "Softmax");
    let stored = |g: &proto::GraphProto| {
        let mut all: Vec<String> = g.initializer.iter().map(|t| t.name().to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(stored(&new), stored(&old));
    assert!((accuracy(dir, &dir.join("tuned.onnx"), 200) - told[0]).abs() < 1e-9);

    // It can be fine-tuned once more, from where it is.
    let path = format!("model.path={}", dir.join("tuned.onnx").display());
    let again = works(
        dir,
        &["train", "c.py", "--work-dir", "again", "--cfg-options", &path, "train_cfg.max_epochs=1"],
    );
    let losses_again = figures(&again, "loss");
    assert!(losses_again[0] < 0.7 * losses[0], "{losses_again:?}");
    // A run that goes on ends in the same bits.
    let whole = std::fs::read(dir.join("work/epoch_3.safetensors")).unwrap();
    std::fs::remove_file(dir.join("work/epoch_3.safetensors")).unwrap();
    works(dir, &["train", "c.py", "--work-dir", "work", "--resume", "work/epoch_2.safetensors"]);
    assert!(whole == std::fs::read(dir.join("work/epoch_3.safetensors")).unwrap());
}

/// In quantized files, the weights that are rounded learn; half precision is trained in `f32` and stored as it was.
#[test]
fn quantized_and_half_files_learn() {
    for (file, stored) in [("classifier_qdq.onnx", 1), ("classifier_f16.onnx", 10), ("tokens.onnx", 1)] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        config(dir, file, "");
        let log = works(dir, &["train", "c.py", "--work-dir", "work"]);
        let losses = figures(&log, "loss");
        assert!(losses[losses.len() - 1] < 0.97 * losses[0], "{file}: {losses:?}");
        works(dir, &["export", "c.py", "work/epoch_3.safetensors", "-o", "tuned.onnx"]);
        let told = figures(&works(dir, &["test", "c.py", "work/epoch_3.safetensors"]), "accuracy/top1");
        let found = accuracy(dir, &dir.join("tuned.onnx"), 200);
        // Half precision moves the scores of a few images across.
        assert!((found - told[0]).abs() <= if stored == 10 { 1.0 } else { 1e-9 }, "{file}: {found} {told:?}");
        let graph = read_model(dir.join("tuned.onnx")).unwrap().graph.unwrap();
        let kernel = graph.initializer.iter().find(|t| t.name().ends_with(".weight")).unwrap();
        assert_eq!(kernel.data_type(), stored, "{file}");
    }
}

#[test]
fn a_file_teaches() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let distill = "
teacher = model
model = dict(
    type='SingleTeacherDistill',
    architecture=dict(
        type='ImageClassifier',
        backbone=dict(
            type='ResNet_CIFAR', depth=20, in_channels=1, stem_channels=4, base_channels=4, num_stages=3,
            strides=(2, 2, 2), dilations=(1, 1, 1), out_indices=(2, )),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=16)),
    teacher=teacher,
    distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
        teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='fc')),
        distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=1, loss_weight=3)),
        loss_forward_mappings=dict(loss_kl=dict(
            preds_S=dict(from_student=True, recorder='fc'), preds_T=dict(from_student=False, recorder='fc')))))
train_cfg = dict(max_epochs=1)
";
    config(dir, "classifier.onnx", distill);
    let log = works(dir, &["train", "c.py", "--work-dir", "work"]);
    assert!(!log.contains("random weights"), "{log}");
    assert!(log.contains("distill.loss_kl: "), "{log}");
}

#[test]
fn a_model_that_cannot_learn_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    config(dir, "classifier.onnx", "");
    let refused = |options: &[&str], about: &[&str]| {
        let output =
            occam(dir, &[&["train", "c.py", "--work-dir", "work", "--cfg-options"], options].concat());
        let text = says(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        about.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
    };
    refused(&["model.frozen=['.*']"], &["no weights that could learn"]);
    refused(&["model.frozen=['con1']"], &["did you mean `conv1`?"]);
    refused(&["model.path=nowhere.onnx"], &["nowhere.onnx", "model.path=nowhere.onnx"]);
    refused(&["model.num_classes=7"], &["7 classes", "num_classes"]);
    let larger =
        "train_dataloader.dataset.pipeline=[dict(type='Resize', scale=32), dict(type='PackClsInputs')]";
    refused(&[larger], &["image", "28", "32"]);
    config(dir, "classifier.onnx", "");
    works(dir, &["train", "c.py", "--work-dir", "work", "--cfg-options", "train_cfg.max_epochs=1"]);
    let output = occam(dir, &["export", "c.py", "work/epoch_1.safetensors", "-o", "x.onnx", "--opset", "18"]);
    assert!(says(&output).contains("of version 17"), "{}", says(&output));
}
