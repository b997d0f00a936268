//! Pruning as users do it: measured, fine-tuned and distilled from the command line, in recipes, unit by unit.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use occam::graph::Bindings;
use occam::io::onnx::{ImportOptions, import, read_model};
use occam_testing::workspace;
use serde_json::Value;

/// A small residual network on few of the embedded images.
const CONFIG: &str = "
_base_ = ['BASE/datasets/fashion_mnist.py', 'BASE/default_runtime.py']
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=8, base_channels=8, num_stages=2, strides=(2, 2),
        dilations=(1, 1), out_indices=(1, )),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=16))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)
train_cfg = dict(by_epoch=True, max_epochs=EPOCHS, val_interval=EPOCHS)
val_cfg = dict()
test_cfg = dict()
train_dataloader = dict(batch_size=32, dataset=dict(indices=3200))
val_dataloader = dict(batch_size=100, dataset=dict(indices=300))
test_dataloader = val_dataloader
default_hooks = dict(logger=dict(interval=10))
";

fn write(dir: &Path, name: &str, epochs: u32, more: &str) {
    let base = workspace().join("configs/_base_").display().to_string();
    let text = CONFIG.replace("BASE", &base).replace("EPOCHS", &epochs.to_string());
    std::fs::write(dir.join(name), text + more).unwrap();
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

/// The last JSON line of a command.
fn told(dir: &Path, args: &[&str]) -> Value {
    let output = occam(dir, &[&["--json"], args].concat());
    assert!(output.status.success(), "{args:?}: {}", says(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

fn refused(dir: &Path, args: &[&str], about: &[&str]) {
    let output = occam(dir, args);
    let text = says(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    for part in about {
        assert!(text.contains(part), "{args:?}: {part}: {text}");
    }
}

/// `count` images of each kind of the embedded set, as IDX files.
fn images(dir: &Path, train: usize, test: usize) -> PathBuf {
    let folder = dir.join("idx");
    std::fs::create_dir_all(&folder).unwrap();
    let from = workspace().join("data/fashion-mnist-small");
    for (part, count) in [("train", train), ("t10k", test)] {
        let read = |name: &str| from.join(format!("{part}-{name}-ubyte.gz"));
        let images = occam::data::idx::Idx::<3>::read(&read("images-idx3")).unwrap();
        let labels = occam::data::idx::Idx::<1>::read(&read("labels-idx1")).unwrap();
        let size = |n: usize| u32::try_from(n).unwrap().to_be_bytes();
        let mut file = vec![0, 0, 8, 3];
        [count, 28, 28].iter().for_each(|&n| file.extend(size(n)));
        file.extend(&images.data[..count * 28 * 28]);
        std::fs::write(folder.join(format!("{part}-images-idx3-ubyte")), file).unwrap();
        let mut file = vec![0, 0, 8, 1];
        file.extend(size(count));
        file.extend(&labels.data[..count]);
        std::fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), file).unwrap();
    }
    folder
}

/// A trained model in `model.onnx`, its checkpoint, and images. It is trained once for all tests.
fn trained(dir: &Path) {
    static BASE: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let base = BASE.get_or_init(|| {
        let base = tempfile::tempdir().unwrap();
        write(base.path(), "c.py", 4, "");
        works(base.path(), &["train", "c.py", "--work-dir", "base"]);
        works(base.path(), &["export", "c.py", "base/epoch_4.safetensors", "-o", "model.onnx"]);
        base
    });
    write(dir, "c.py", 4, "");
    for (from, to) in [("model.onnx", "model.onnx"), ("base/epoch_4.safetensors", "model.safetensors")] {
        std::fs::copy(base.path().join(from), dir.join(to)).unwrap();
    }
    images(dir, 3200, 300);
}

fn macs(path: &Path) -> u64 {
    let model = import(path, &ImportOptions::default()).unwrap();
    let bindings = Bindings::from([("N".into(), 1), ("batch".into(), 1)]);
    model.graph.cost(&bindings).unwrap().total.macs
}

const DATA: [&str; 6] = ["--data", "idx", "--mean", "72.94", "--std", "90.02"];

#[test]
fn a_file_is_pruned_fine_tuned_and_measured() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir);
    let prune = [&["prune", "model.onnx", "--macs", "0.4", "--round-to", "2", "-o", "small.onnx"], &DATA[..]]
        .concat();
    let tune = ["--finetune-epochs", "1", "--distill", "--batch-size", "32", "--work-dir", "w"];

    // Without training it is the file that pruning gives without data, and its accuracy is told.
    let plain = told(dir, &prune);
    let whole = std::fs::read(dir.join("small.onnx")).unwrap();
    works(dir, &["prune", "model.onnx", "--macs", "0.4", "--round-to", "2", "-o", "again.onnx"]);
    assert!(whole == std::fs::read(dir.join("again.onnx")).unwrap());
    let accuracy = |told: &Value, key: &str| told["accuracy"][key].as_f64().unwrap();
    let (before, pruned) = (accuracy(&plain, "before"), accuracy(&plain, "pruned"));
    assert!(before > 55.0 && pruned < before, "{plain}");
    assert!(plain["accuracy"]["tuned"].is_null());
    let tested = says(&occam(dir, &["test", "c.py", "model.safetensors"]));
    assert!(tested.contains(&format!("accuracy/top1: {before:.2}")), "{before}: {tested}");

    let tuned = told(dir, &[&prune[..], &tune[..]].concat());
    assert_eq!((accuracy(&tuned, "before"), accuracy(&tuned, "pruned")), (before, pruned));
    assert!(accuracy(&tuned, "tuned") > pruned + 5.0, "{tuned}");
    assert!(tuned["after"]["macs"].as_u64().unwrap() as f64 <= 0.4 * macs(&dir.join("model.onnx")) as f64);
    assert_eq!(macs(&dir.join("small.onnx")), tuned["after"]["macs"].as_u64().unwrap());
    let log = std::fs::read_to_string(dir.join("w/log.jsonl")).unwrap();
    assert!(log.contains("distill.loss_kl"), "{log}");
    // A static file of the old one's form, with other weights than pruning left.
    let (old, new) =
        (read_model(dir.join("model.onnx")).unwrap(), read_model(dir.join("small.onnx")).unwrap());
    assert_eq!(new.opset_import, old.opset_import);
    let names = |m: &occam::io::onnx::ModelProto| -> Vec<String> {
        m.graph.as_ref().unwrap().node.iter().map(|n| n.op_type().to_owned()).collect()
    };
    assert_eq!(names(&new), names(&old));
    let trained = std::fs::read(dir.join("small.onnx")).unwrap();
    assert!(trained != whole);

    // What is finished is not trained again.
    std::fs::remove_file(dir.join("small.onnx")).unwrap();
    let text = works(dir, &[&prune[..], &tune[..], &["--resume"]].concat());
    assert!(text.contains("resumed from"), "{text}");
    assert!(trained == std::fs::read(dir.join("small.onnx")).unwrap());
    if cfg!(unix) {
        stopped(dir, &[&prune[..], &tune[..]].concat());
        assert!(trained == std::fs::read(dir.join("small.onnx")).unwrap());
    }
}

/// Stops a command by Ctrl-C in the middle of its training, and does what it says then.
fn stopped(dir: &Path, args: &[&str]) {
    let args: Vec<&str> = args.iter().map(|a| if *a == "w" { "stopped" } else { a }).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_occam"));
    let child = command.current_dir(dir).args(&args).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let log = dir.join("stopped/log.jsonl");
    while !std::fs::read_to_string(&log).is_ok_and(|t| t.contains("\"iter\":50")) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = says(&output);
    assert_eq!(output.status.code(), Some(130), "{text}");
    let hint = text.split("go on with: occam ").nth(1).unwrap();
    let words: Vec<&str> = hint.split(' ').take_while(|w| *w != "--resume").collect();
    assert_eq!(words, args);
    works(dir, &[&words[..], &["--resume"]].concat());
}

#[test]
fn a_part_is_held_out_where_nothing_else_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir);
    std::fs::remove_file(dir.join("idx/t10k-images-idx3-ubyte")).unwrap();
    std::fs::remove_file(dir.join("idx/t10k-labels-idx1-ubyte")).unwrap();
    let prune = |seed: &str| {
        let words = ["prune", "model.onnx", "--params", "0.5", "-o", "small.onnx", "--seed", seed];
        told(dir, &[&words[..], &DATA[..]].concat())
    };
    let (a, b) = (prune("1"), prune("1"));
    assert_eq!(a["accuracy"], b["accuracy"]);
    // Two draws may be right equally often, three hardly.
    assert!(["2", "3"].iter().any(|seed| prune(seed)["accuracy"] != a["accuracy"]), "{a}");
    assert!(a["accuracy"]["on"].as_str().unwrap().contains("not trained on"), "{a}");
    // A tenth of 3200 images.
    let right = a["accuracy"]["before"].as_f64().unwrap() * 320.0 / 100.0;
    assert!((right - right.round()).abs() < 1e-9, "{right}");
}

#[test]
fn what_cannot_be_trained_or_measured_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir);
    let prune = ["prune", "model.onnx", "--macs", "0.5", "-o", "small.onnx"];
    let with = |more: &[&str], about: &[&str]| refused(dir, &[&prune[..], more].concat(), about);
    with(&["--finetune-epochs", "1"], &["--data"]);
    with(&["--data", "idx", "--distill"], &["--finetune-epochs"]);
    with(&["--data", "nowhere"], &["nowhere"]);
    with(&["--data", "idx", "--mean", "1,2,3"], &["3 numbers", "1 channels"]);
    with(&["--data", "idx", "--input-size", "32"], &["28x28"]);
    std::fs::create_dir_all(dir.join("two/a")).unwrap();
    std::fs::create_dir_all(dir.join("two/b")).unwrap();
    let image = workspace().join("tests/golden/data/files/444.jpg");
    for file in ["two/a/1.jpg", "two/b/1.jpg", "plain.jpg"] {
        std::fs::copy(&image, dir.join(file)).unwrap();
    }
    with(&["--data", "two"], &["10 classes", "folders of 2"]);
    std::fs::create_dir(dir.join("loose")).unwrap();
    std::fs::rename(dir.join("plain.jpg"), dir.join("loose/plain.jpg")).unwrap();
    with(&["--data", "loose", "--finetune-epochs", "1"], &["needs the classes"]);
    // Images without classes are no reason not to prune.
    works(dir, &[&prune[..], &["--data", "loose"]].concat());
    // Numbers that are not the model's are told of.
    let text = works(dir, &[&prune[..], &["--data", "idx", "--mean=-3000"]].concat());
    assert!(text.contains("little more than chance"), "{text}");
    refused(dir, &["prune", "model.onnx", "--sensitivity", "x.svg"], &["--data"]);
    refused(
        dir,
        &["prune", "model.onnx", "--macs", "0.5", "--sensitivity", "x.svg", "--data", "idx"],
        &["-o"],
    );
}

#[test]
fn every_unit_is_measured_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir);
    let words = ["prune", "model.onnx", "--sensitivity", "curves.svg", "--sensitivity-images", "200"];
    let told = told(dir, &[&words[..], &DATA[..]].concat());
    let units = told["units"].as_array().unwrap();
    assert!(units.len() >= 4, "{told}");
    let whole = told["whole"].as_f64().unwrap();
    assert!(whole > 55.0 && told["images"] == 200, "{told}");
    let means: Vec<f64> = units.iter().map(|u| u["mean"].as_f64().unwrap()).collect();
    assert!(means.windows(2).all(|w| w[0] <= w[1]), "{means:?}");
    for unit in units {
        let points = unit["points"].as_array().unwrap();
        let widths: Vec<u64> = points.iter().map(|p| p["width"].as_u64().unwrap()).collect();
        assert!(widths.windows(2).all(|w| w[0] > w[1]) && widths[0] < unit["channels"].as_u64().unwrap());
        let macs: Vec<u64> = points.iter().map(|p| p["macs"].as_u64().unwrap()).collect();
        assert!(macs.windows(2).all(|w| w[0] > w[1]), "{macs:?}");
    }
    // Nine tenths of the stem cost more than the first tenth.
    let stem =
        &units.iter().find(|u| u["unit"].as_str().unwrap().contains("conv1_(0, 8)")).unwrap()["points"];
    let score = |i: usize| stem[i]["accuracy"].as_f64().unwrap();
    assert!(score(stem.as_array().unwrap().len() - 1) < score(0), "{stem}");
    let svg = std::fs::read_to_string(dir.join("curves.svg")).unwrap();
    assert_eq!(svg.matches("<polyline").count(), units.len());
    // Without classes it is what the whole model says that counts.
    std::fs::create_dir(dir.join("loose")).unwrap();
    let image = workspace().join("tests/golden/data/files/444.jpg");
    std::fs::copy(image, dir.join("loose/1.jpg")).unwrap();
    let text = works(dir, &["prune", "model.onnx", "--sensitivity", "c.svg", "--data", "loose"]);
    assert!(text.contains("agreement of the whole model 100.0 %"), "{text}");
}

/// A recipe prunes what it trained: once for every seed, without and with a teacher, and tells both beside the original.
#[test]
fn recipes_prune() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let recipe = "
recipe = dict(steps=[
    dict(type='Train', name='original', model=model),
    dict(type='Prune', name='plain', model='original', macs=0.5, round_to=2, finetune=False,
         importance='fisher', images=64),
    dict(type='Prune', name='half', model='original', macs=0.5, round_to=2, seeds=[0, 1], distill=True,
         keep=['backbone.layer1.0.*'], cfg=dict(train_cfg=dict(max_epochs=1, val_interval=1))),
    dict(type='Prune', name='less', model='half', macs=0.5, round_to=2, seeds=[1],
         cfg=dict(train_cfg=dict(max_epochs=1, val_interval=1))),
    dict(type='Export'),
    dict(type='Evaluate', latency_runs=3),
])
";
    write(dir, "r.py", 2, recipe);
    works(dir, &["compress", "r.py", "--work-dir", "w"]);
    let summary: Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("w/summary.json")).unwrap()).unwrap();
    let models = summary["models"].as_array().unwrap();
    let names: Vec<&str> = models.iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["original", "plain", "half", "less"]);
    let of = |i: usize, key: &str| models[i][key].as_f64().unwrap();
    for (i, limit) in [(1, 0.5), (2, 0.5), (3, 0.25)] {
        assert!(of(i, "macs") <= limit * of(0, "macs"), "{models:?}");
        assert!(of(i, "params") < of(0, "params") && of(i, "bytes") < of(0, "bytes"));
        let file = dir.join("w").join(models[i]["file"].as_str().unwrap());
        assert_eq!(macs(&file) as f64, of(i, "macs"));
    }
    assert!(of(2, "top1") > of(1, "top1"), "{models:?}");
    assert_eq!(models[2]["seeds"], serde_json::json!([0, 1]));
    assert_eq!(models[2]["files"].as_array().unwrap().len(), 2);
    // What is kept is as wide as it was.
    let file = import(dir.join("w/half.onnx"), &ImportOptions::default()).unwrap();
    assert_eq!(file.weights["backbone.layer1.0.conv1.weight"].shape(), [8, 8, 3, 3]);
    let log = std::fs::read_to_string(dir.join("w/half/seed_0/log.jsonl")).unwrap();
    assert!(log.contains("distill.loss_kl"), "{log}");

    // What is done is not done again; what was lost is made again, in the same bits.
    let half = std::fs::read(dir.join("w/half.onnx")).unwrap();
    std::fs::remove_dir_all(dir.join("w/half/seed_0")).unwrap();
    works(dir, &["compress", "r.py", "--work-dir", "w", "--resume"]);
    assert!(half == std::fs::read(dir.join("w/half.onnx")).unwrap());
}

#[test]
fn recipes_that_cannot_prune_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let with = |step: &str, about: &[&str]| {
        let recipe = format!(
            "\nrecipe = dict(steps=[dict(type='Train', name='original', model=model), dict(type='Prune', name='small', {step})])\n"
        );
        write(dir, "r.py", 2, &recipe);
        refused(dir, &["compress", "r.py", "--work-dir", "w"], about);
        assert!(!dir.join("w/original").exists());
    };
    with("model='original'", &["one of `macs`"]);
    with("model='original', macs=0.5, params=0.5", &["one of `macs`"]);
    with("model='original', macs=1.5", &["above 0 and at most 1"]);
    with("model='orignal', macs=0.5", &["did you mean `original`?"]);
    with("model='original', macs=0.5, importance='group_l2'", &["did you mean `group-l2`?"]);
    with("model='original', macs=0.5, distill=dict(temperature=2)", &["distill"]);
    with("model='original', macs=0.5, round_too=2", &["round_to"]);
    with("model='original', macs=0.5, seeds=[]", &["`seeds` is empty"]);
}
