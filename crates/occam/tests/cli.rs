//! The command as its users meet it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use assert_cmd::Command;
use occam_testing::workspace;

fn occam() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_occam"));
    command.current_dir(workspace());
    command
}

/// Standard output of a command that must succeed.
fn succeeds(args: &[&str]) -> String {
    let output = occam().args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command says that must fail: exit code 2, nothing on standard output, no panic.
fn fails(args: &[&str]) -> String {
    let output = occam().args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// A training of a few seconds.
const TINY: &[&str] = &[
    "train_dataloader.dataset.indices=256",
    "val_dataloader.dataset.indices=100",
    "test_dataloader.dataset.indices=100",
    "train_dataloader.batch_size=64",
    "train_cfg.max_epochs=1",
    "model.backbone.stem_channels=4",
    "model.backbone.base_channels=4",
    "model.head.in_channels=16",
];

#[test]
fn trains_tests_and_exports() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    let config = "configs/fashion_mnist/resnet20.py";
    let mut args = vec!["train", config, "--work-dir", work.to_str().unwrap(), "--cfg-options"];
    args.extend(TINY);
    let text = succeeds(&args);
    assert!(text.starts_with("accuracy/top1: "), "{text}");
    let accuracy: f64 = text.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    for file in ["config.py", "log.jsonl", "last_checkpoint", "epoch_1.safetensors", "tensorboard"] {
        assert!(work.join(file).exists(), "{file}");
    }
    for line in std::fs::read_to_string(work.join("log.jsonl")).unwrap().lines() {
        let _: serde_json::Value = serde_json::from_str(line).unwrap();
    }
    // The resolved config is a config.
    let resolved = work.join("config.py");
    let checkpoint = work.join("epoch_1.safetensors");
    let tested = succeeds(&["--json", "test", resolved.to_str().unwrap(), checkpoint.to_str().unwrap()]);
    let tested: serde_json::Value = serde_json::from_str(tested.lines().last().unwrap()).unwrap();
    let again = tested["metrics"]["accuracy/top1"].as_f64().unwrap();
    assert!((again - accuracy).abs() < 0.01, "{again} and {accuracy}");

    let onnx = dir.path().join("model.onnx");
    succeeds(&[
        "export",
        resolved.to_str().unwrap(),
        checkpoint.to_str().unwrap(),
        "-o",
        onnx.to_str().unwrap(),
    ]);
    let model = occam::io::onnx::read_model(&onnx).unwrap();
    let graph = model.graph.unwrap();
    assert_eq!(
        (graph.input[0].name.as_deref(), graph.output[0].name.as_deref()),
        (Some("input"), Some("output"))
    );
    assert!(graph.initializer.iter().any(|t| t.name.as_deref() == Some("backbone.layer3.2.conv2.weight")));
}

#[test]
fn runs_a_recipe_and_passes_over_what_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    let options = [
        "train_dataloader.dataset.indices=256",
        "test_dataloader.dataset.indices=100",
        "val_dataloader.dataset.indices=100",
        "train_cfg.max_epochs=1",
        "train_cfg.val_interval=1",
        "recipe.steps.0.cfg.train_cfg.max_epochs=1",
        "recipe.steps.1.seeds=[0,1]",
        "recipe.steps.2.seeds=[0,1]",
        "recipe.steps.4.latency_runs=3",
    ];
    let mut args =
        vec!["compress", "configs/quickstart.py", "--work-dir", work.to_str().unwrap(), "--cfg-options"];
    args.extend(options);
    let output = occam().args(&args).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    for step in
        ["1 of 5: train teacher", "3 of 5: train student distilled", "4 of 5: export", "5 of 5: evaluate"]
    {
        assert!(told.contains(step), "{step}: {told}");
    }
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["teacher", "student distilled", "top-1 %", "2 seeds", "student distilled against student"] {
        assert!(text.contains(part), "{text}");
    }
    let read = |path: &Path| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(path.join("summary.json")).unwrap()).unwrap()
    };
    let first = read(&work);
    assert_eq!(first["models"].as_array().unwrap().len(), 3);
    assert_eq!(first["steps"].as_array().unwrap().len(), 5);
    for model in first["models"].as_array().unwrap() {
        let file = work.join(model["file"].as_str().unwrap());
        assert_eq!(std::fs::metadata(file).unwrap().len(), model["bytes"].as_u64().unwrap());
        for key in ["top1", "macs", "params", "latency_ms"] {
            assert!(model[key].as_f64().unwrap() >= 0.0, "{key}");
        }
    }
    args.insert(2, "--resume");
    succeeds(&args);
    let accuracy = |summary: &serde_json::Value| -> Vec<serde_json::Value> {
        summary["models"].as_array().unwrap().iter().map(|m| m["top1_seeds"].clone()).collect()
    };
    assert_eq!(accuracy(&first), accuracy(&read(&work)));
}

/// A second run in the same folder neither mixes with the first nor loses its own checkpoints to it.
#[test]
fn a_new_run_sets_the_old_one_aside() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    let config = "configs/fashion_mnist/resnet20.py";
    let run = |epochs: &str, resume: bool| {
        let mut args = vec!["train", config, "--work-dir", work.to_str().unwrap()];
        if resume {
            args.push("--resume");
        }
        args.push("--cfg-options");
        args.extend(TINY);
        args.extend(["default_hooks.checkpoint.max_keep_ckpts=1", epochs]);
        succeeds(&args);
    };
    run("train_cfg.max_epochs=3", false);
    run("train_cfg.max_epochs=1", false);
    assert!(work.join("epoch_1.safetensors").exists());
    assert!(work.join("before_1/epoch_3.safetensors").exists());
    assert!(!work.join("epoch_3.safetensors").exists());
    let log = std::fs::read_to_string(work.join("log.jsonl")).unwrap();
    assert!(!log.contains("\"epoch\":3"), "{log}");
    run("train_cfg.max_epochs=2", true);
    assert!(work.join("epoch_2.safetensors").exists());
    assert!(!work.join("before_2").exists());
    // From an explicit checkpoint, those of later epochs do not count as newer than what the run writes.
    std::fs::copy(work.join("epoch_2.safetensors"), work.join("epoch_9.safetensors")).unwrap();
    run("train_cfg.max_epochs=3", true);
    assert!(work.join("epoch_3.safetensors").exists());
}

/// What is wrong with a late step is said before the first one trains.
#[test]
fn recipes_are_checked_before_they_run() {
    let dir = tempfile::tempdir().unwrap();
    let config = |name: &str, steps: &str| {
        let path = dir.path().join(name);
        let base = workspace().join("configs/fashion_mnist/resnet20.py");
        let text =
            format!("_base_ = '{}'\nnet = _base_.model\nrecipe = dict(steps=[{steps}])\n", base.display());
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let work = dir.path().join("w");
    let first = "dict(type='Train', name='teacher', model=net)";
    let cases = [
        ("a.py", "dict(type='Train', name='b', model=net, checkpoints={'model.x': 'teecher'})", "teacher"),
        ("b.py", "dict(type='Train', name='teacher', model=net)", "two steps"),
        ("c.py", "dict(type='Export', models=['techer'])", "teacher"),
        ("d.py", "dict(type='Export', opset=99)", "15 to 23"),
        (
            "e.py",
            "dict(type='Train', name='b', model=dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=7), head=net['head']))",
            "depth 7",
        ),
        ("f.py", "dict(type='Quantise')", "recipe step"),
        ("g.py", "dict(type='Train', name='../up', model=net)", "cannot name"),
    ];
    for (name, step, wanted) in cases {
        let path = config(name, &format!("{first}, {step}"));
        let text = fails(&["compress", &path, "--work-dir", work.to_str().unwrap()]);
        assert!(text.contains(wanted), "{name}: {text}");
        assert!(!work.join("teacher").exists(), "{name} trained");
    }
}

#[test]
fn inspects() {
    let text = succeeds(&["inspect", "configs/fashion_mnist/resnet20.py"]);
    assert!(text.contains("backbone.layer3.2.conv2") && text.contains("1x28x28"), "{text}");
    let json = succeeds(&["inspect", "configs/fashion_mnist/resnet20.py", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    // ResNet-20 of these widths for grey images; counted by hand from the layers' shapes.
    assert_eq!(json["total"]["params"], 272_186);
    let graph = succeeds(&["inspect", "configs/fashion_mnist/resnet20.py", "--graph"]);
    assert!(graph.starts_with("input input: f32[N, 1, 28, 28]"), "{graph}");
}

#[test]
fn measures_speed_and_memory() {
    let config = "configs/fashion_mnist/resnet20.py";
    for mode in ["train", "eval"] {
        let text = succeeds(&[
            "bench",
            mode,
            config,
            "--shape",
            "1,28,28",
            "--batch",
            "4",
            "--warmup",
            "1",
            "--iters",
            "2",
            "--rounds",
            "2",
            "--threads",
            "1",
            "--json",
        ]);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let number = |key: &str| json[key].as_f64().unwrap_or_else(|| panic!("{key}: {text}"));
        assert_eq!((&json["model"], &json["mode"]), (&"resnet20".into(), &mode.into()));
        assert_eq!(json["shape"], serde_json::json!([1, 28, 28]));
        assert_eq!(json["params"], 272_186);
        assert_eq!((number("batch"), number("threads"), number("iters")), (4.0, 1.0, 2.0));
        assert_eq!(json["round_median_ms"].as_array().unwrap().len(), 2);
        assert!(0.0 < number("min_ms") && number("min_ms") <= number("median_ms"), "{text}");
        assert!(number("median_ms") <= number("p90_ms"), "{text}");
        let rate = 4e3 / number("median_ms");
        assert!((number("images_per_s") / rate - 1.0).abs() < 0.01, "{text}");
        if cfg!(target_os = "linux") {
            assert!(0.0 < number("load_rss_mb") && number("load_rss_mb") <= number("peak_rss_mb"), "{text}");
        }
    }
    // For people, and with the image size of the data and the default optimizer.
    let args = ["bench", "train", config, "--batch", "2", "--iters", "1"];
    let args = [&args[..], &["--cfg-options", "optim_wrapper=None"]].concat();
    let text = succeeds(&args);
    assert!(text.contains("batch 2 of 1x28x28") && text.contains("images/s"), "{text}");
}

#[test]
fn threads_are_those_asked_for() {
    let config = "configs/fashion_mnist/resnet20.py";
    let bench = ["bench", "eval", config, "--batch", "1", "--warmup", "0", "--iters", "1", "--json"];
    let output = occam().args(bench).env("OCCAM_THREADS", "3").output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["threads"], 3);
    // What the command line says goes before the environment.
    let output = occam().args(bench).args(["--threads", "1"]).env("OCCAM_THREADS", "3").output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["threads"], 1);
    for wrong in ["0", "many"] {
        let text = fails(&["bench", "eval", config, "--threads", wrong]);
        assert!(text.contains("--threads"), "{text}");
    }
}

/// One result at every command that computes, wherever the option stands.
#[test]
fn one_thread_gives_the_same_training() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, before: &[&str], after: &[&str]| {
        let work = dir.path().join(name);
        let mut args = before.to_vec();
        args.extend(["train", "configs/fashion_mnist/resnet20.py", "--work-dir", work.to_str().unwrap()]);
        args.extend(after);
        args.push("--cfg-options");
        args.extend(TINY);
        succeeds(&args);
        std::fs::read(work.join("epoch_1.safetensors")).unwrap()
    };
    assert!(run("a", &["--threads", "1"], &[]) == run("b", &[], &["--threads", "1"]));
}

#[test]
fn devices_that_are_not_there_are_refused() {
    let config = "configs/fashion_mnist/resnet20.py";
    let bench = |device: &str| fails(&["bench", "eval", config, "--device", device]);
    for device in ["cuda", "cuda:1"].into_iter().filter(|_| !cfg!(feature = "cuda")) {
        let text = bench(device);
        assert!(text.contains("no CUDA support") && text.contains("--features cuda"), "{text}");
    }
    assert!(bench("cuda:first").contains("cuda:0"));
    assert!(bench("tpu").contains("`cpu`"));
    let text = fails(&["bench", "eval", config, "--shape", "3,28,28"]);
    assert!(text.contains("channels"), "{text}");
    let text = fails(&["bench", "eval", config, "--shape", "1,99999999999,99999999999"]);
    assert!(text.contains("memory"), "{text}");
    let text = fails(&["bench", "eval", "configs/quickstart.py"]);
    assert!(text.contains("`model`"), "{text}");
}

#[test]
fn prints_configs_that_read_back() {
    let text =
        succeeds(&["config", "print", "configs/quickstart.py", "--cfg-options", "data_root=/elsewhere"]);
    assert!(text.contains("data_prefix='/elsewhere'"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("again.py");
    std::fs::write(&path, &text).unwrap();
    assert_eq!(succeeds(&["config", "print", path.to_str().unwrap()]), text);
}

/// What is wrong, where, and what to do.
#[test]
fn mistakes_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let base = format!("_base_ = '{}'\n", workspace().join("configs/fashion_mnist/resnet20.py").display());
    let config = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("{base}{text}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let work = dir.path().join("w");
    let work = work.to_str().unwrap();
    let train = |path: &str| fails(&["train", path, "--work-dir", work]);

    let text = train(&config("a.py", "model = dict(backbone=dict(type='ResNte_CIFAR'))"));
    assert!(text.contains("ResNet_CIFAR") && text.contains("a.py:2:"), "{text}");
    let text = train(&config("b.py", "model = dict(backbone=dict(detph=20))"));
    assert!(text.contains("depth") && text.contains("b.py:2:"), "{text}");
    let text = train(&config("c.py", "model = dict(backbone=dict(depth='twenty'))"));
    assert!(text.contains("twenty") && text.contains("c.py:2:"), "{text}");
    let text = train(&config("d.py", "model = dict(head=dict(in_channels=65))"));
    assert!(text.contains("in_channels=65"), "{text}");
    let text = train(&config("e.py", "train_dataloader = dict(dataset=dict(data_prefix='/nowhere'))"));
    assert!(text.contains("/nowhere"), "{text}");
    let text = train(&config(
        "f.py",
        "optim_wrapper = dict(optimizer=dict(lr=1e30))\ntrain_dataloader=dict(dataset=dict(indices=256))",
    ));
    assert!(text.contains("diverged"), "{text}");
    let text = train(&config(
        "g.py",
        "model = dict(backbone=dict(base_channels=10**9, stem_channels=10**9), head=dict(in_channels=4 * 10**9))",
    ));
    assert!(text.contains("parameters"), "{text}");
    let text = train(&config("h.py", "optim_wrapper = dict(optimizer=dict(lr=-1))"));
    assert!(text.contains("`lr` must be at least 0") && text.contains("h.py:2:"), "{text}");
    let text = train(&config("i.py", "default_hooks = dict(logger=dict(priority='URGENT'))"));
    assert!(text.contains("VERY_HIGH"), "{text}");
    let text = train("configs/fashion_mnist/resnet2.py");
    assert!(text.contains("resnet20.py"), "{text}");
    let text = fails(&["test", "configs/fashion_mnist/resnet20.py", "README.md"]);
    assert!(text.contains("README.md"), "{text}");
    let text = fails(&["train", "configs/fashion_mnist/resnet20.py", "--device", "tpu"]);
    assert!(text.contains("cpu"), "{text}");
    let text = fails(&["compress", "configs/fashion_mnist/resnet20.py", "--work-dir", work]);
    assert!(text.contains("recipe"), "{text}");
}
