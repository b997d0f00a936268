//! `occam config` as its users meet it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use occam_testing::workspace;
use serde_json::Value;

/// Exit code, standard output and standard error of `occam config ARGS`.
fn config(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_occam"))
        .current_dir(dir)
        .env_remove("OCCAM_CONFIG_PATH")
        .arg("config")
        .args(args)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn goldens() -> PathBuf {
    workspace().join("tests/golden/config")
}

/// What `print` writes loads again to an equal tree, of all configs of the project and of the goldens.
#[test]
fn printed_configs_load_again() {
    let packages = goldens().join("packages");
    let packages = packages.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let again = dir.path().join("again.py");
    for path in
        ["configs/quickstart.py", "tests/golden/config/data.yaml", "tests/golden/config/scoped_chain.py"]
    {
        let print = |path: &str, more: &[&str]| {
            let args = [&["print", path, "--config-path", packages], more].concat();
            let (code, out, err) = config(&workspace(), &args);
            assert_eq!(code, 0, "{path}: {err}");
            out
        };
        let text = print(path, &[]);
        std::fs::write(&again, &text).unwrap();
        let again = again.to_str().unwrap();
        assert_eq!(print(again, &[]), text);
        let (left, right): (Value, Value) = (
            serde_json::from_str(&print(path, &["--json"])).unwrap(),
            serde_json::from_str(&print(again, &["--json"])).unwrap(),
        );
        assert_eq!(left, right);
        let (code, out, _) = config(&workspace(), &["diff", path, again, "--config-path", packages]);
        assert_eq!((code, out.as_str()), (0, "no differences\n"), "{path}");
    }
}

#[test]
fn tells_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.py"), "lr = 0.1\nmodel = dict(type='A', depth=18)\n").unwrap();
    std::fs::write(dir.path().join("b.yaml"), "model: {type: A, depth: 34, neck: !!python/tuple [1]}\n")
        .unwrap();
    let (code, out, _) = config(dir.path(), &["diff", "a.py", "b.yaml"]);
    assert_eq!(code, 0);
    let expected = "- lr\n    a.py:1:6  0.1\n~ model.depth\n    a.py:2:30  18\n    b.yaml:1:25  34\n+ model.neck\n    \
                    b.yaml:1:35  (1,)\n3 differences: 1 added, 1 removed, 1 changed\n";
    assert_eq!(out, expected);
    let (_, out, _) = config(dir.path(), &["diff", "a.py", "b.yaml", "--json"]);
    let result = json_lines(&out).remove(0);
    assert_eq!(result["changes"][1]["change"], "changed");
    assert_eq!(result["changes"][1]["right"], serde_json::json!({"value": 34, "location": "b.yaml:1:25"}));
    assert!(result["changes"][0]["right"].is_null());
}

#[test]
fn finds_bases_along_the_search_path() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("configs/own.py", "origin = 'configs'\n");
    write("site/mmcls/.mim/configs/own.py", "origin = 'site'\n");
    write("site/mmcls/.mim/configs/theirs.py", "origin = 'site'\n");
    write("second/mmcls/theirs.py", "origin = 'second'\n");
    write("second/mmcls/third.py", "origin = 'second'\n");
    for name in ["own", "theirs", "third"] {
        write(&format!("{name}.py"), &format!("_base_ = 'mmcls::{name}.py'\n"));
    }
    let origin = |args: &[&str]| config(dir.path(), &[&["print"], args].concat());
    for (name, from) in [("own.py", "configs"), ("theirs.py", "site"), ("third.py", "second")] {
        let (code, out, err) = origin(&[name, "--config-path", "site", "--config-path", "second"]);
        assert_eq!((code, out), (0, format!("origin = '{from}'\n")), "{name}: {err}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_occam"))
        .current_dir(dir.path())
        .env("OCCAM_CONFIG_PATH", std::env::join_paths(["second", "site"]).unwrap())
        .args(["config", "print", "theirs.py"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "origin = 'second'\n");

    let (code, _, err) = origin(&["theirs.py"]);
    assert!(code == 2 && err.contains("theirs.py:1:10") && err.contains("--config-path"), "{err}");
    let (code, _, err) = origin(&["theirs.py", "--config-path", "nowhere"]);
    assert!(code == 2 && err.contains("there is no folder nowhere"), "{err}");
}

#[test]
fn the_project_s_configs_are_right() {
    let (code, out, err) = config(&workspace(), &["check", "configs"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("configs/quickstart.py: right, "), "{out}");
}

/// Files that hold a part, and settings that are left to their defaults, are no mistakes.
#[test]
fn what_is_left_out_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let base = workspace().join("configs/fashion_mnist/resnet20.py");
    let base = base.display();
    for (name, text) in [
        ("nothing.py", "x = 1\n".to_owned()),
        ("hooks.py", format!("_base_ = '{base}'\ndefault_hooks = dict(_delete_=True)\n")),
        (
            "none.py",
            format!("_base_ = '{base}'\ntrain_cfg = val_cfg = val_dataloader = val_evaluator = None\n"),
        ),
        ("norm.py", format!("_base_ = '{base}'\nmodel = dict(backbone=dict(norm_cfg=dict(type='BN')))\n")),
        ("other.py", "visualizer = dict(type='UniversalVisualizer')\n".to_owned()),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
        let (code, out, err) = config(dir.path(), &["check", name]);
        assert_eq!(code, 0, "{out}{err}");
    }
    std::fs::write(
        dir.path().join("wrong.py"),
        format!("_base_ = '{base}'\nmodel = dict(backbone=dict(detph=1, norm_cfg=dict(type='BN')))\n"),
    )
    .unwrap();
    let (_, out, _) = config(dir.path(), &["check", "wrong.py"]);
    assert!(out.contains("detph") && !out.contains("\"BN\""), "{out}");
}

/// Bad input is explained with its place, and the exit code is 2.
#[test]
fn tells_what_is_wrong_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let base = format!("_base_ = '{}'\n", workspace().join("configs/fashion_mnist/resnet20.py").display());
    let long = "x = 'a' * 10 ** 10";
    for (name, text, expected) in [
        ("type", "model = dict(backbone=dict(type='ResNte_CIFAR'))", &["type.py:2:33", "ResNet_CIFAR"][..]),
        ("key", "model = dict(backbone=dict(detph=20))", &["key.py:2:28", "\"detph\"", "depth"]),
        ("argument", "model = dict(backbone=dict(depth='x'))", &["argument.py:2:34", "int"]),
        ("head", "model = dict(head=dict(in_channels=65))", &["in_channels=65"]),
        ("optimizer", "optim_wrapper = dict(optimizer=dict(type='SDG'))", &["optimizer.py:2:42", "\"SGD\""]),
        ("hook", "custom_hooks = [dict(type='LogerHook')]", &["hook.py:2:27", "LoggerHook"]),
        ("loop", "val_cfg = dict(type='ValLop')", &["loop.py:2:21", "ValLoop"]),
        (
            "pipeline",
            "train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomFlop')]))",
            &["pipeline.py:2:58", "RandomFlip"],
        ),
        (
            "dataset",
            "test_dataloader = dict(dataset=dict(type='FashonMNIST'))",
            &["dataset.py:2:42", "FashionMNIST"],
        ),
        ("loader", "val_dataloader = dict(batchsize=4)", &["loader.py:2:23", "batch_size"]),
        ("missing", "x = _base_.modle", &["missing.py:2:5", "`model`"]),
        ("syntax", "x = dict(", &["syntax.py:2:9", "never closed"]),
        ("work", long, &["work.py:2:5", "longer than"]),
    ] {
        let file = format!("{name}.py");
        std::fs::write(dir.path().join(&file), format!("{base}{text}\n")).unwrap();
        let (code, out, err) = config(dir.path(), &["check", &file]);
        assert_eq!(code, 2, "{name}: {out}{err}");
        for part in expected {
            assert!(out.contains(part), "{name}: {part} is not in {out}");
        }
        assert!(!err.contains("panicked"), "{err}");
    }
    for (name, text, expected) in [
        ("base.py", "_base_ = './bse.py'\n", &["base.py:1:10", "did you mean \"base.py\""][..]),
        ("cycle.py", "_base_ = 'cycle.py'\n", &["cycle.py:1:10", "builds on itself"]),
        ("bomb.yaml", "a: &a [x, x]\nb: *c\n", &["bomb.yaml:2:4", "anchor"]),
        ("data.json", "{\"a\": [1,]}\n", &["data.json:1:10", "syntax"]),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
        for command in ["check", "print"] {
            let (code, out, err) = config(dir.path(), &[command, name]);
            assert_eq!(code, 2, "{name}: {out}{err}");
            let told = if command == "check" { out } else { err };
            for part in expected {
                assert!(told.contains(part), "{name}: {part} is not in {told}");
            }
        }
    }
    let (code, out, _) = config(dir.path(), &["check", "nowhere.py", "cycle.py", "--json"]);
    assert_eq!(code, 2);
    let lines = json_lines(&out);
    assert_eq!(lines[0]["right"], false);
    assert_eq!(lines[1]["problems"][0]["location"], "cycle.py:1:10");
    assert_eq!(lines[2]["event"], "error");
}
