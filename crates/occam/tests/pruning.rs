//! Channel units of the zoo's families: named as the original names them, and removed exactly; and what `occam prune` says
//! where it cannot.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use assert_cmd::Command;
use occam::config::Value;
use occam::engine::{Device, Executor, Params, Request, Tensor};
use occam::graph::ops::Conv;
use occam::graph::recognize::recognize;
use occam::graph::{Array, Bindings, Builder, Fact, Graph, Role, Weights};
use occam::io::onnx::{ExportOptions, export, export_imported, import, write_model};
use occam::space::{Channel, Estimator, Selection, Trace, TraceOptions, shrink, trace, zeroed};
use occam::train::export::fix_image_size;
use occam::zoo::Architecture;
use occam_testing::{Golden, assert_close, fill, unit, values, weights, workspace};

fn model(config: &serde_json::Value, size: [usize; 3]) -> Graph {
    let config = Value::from_json(config);
    let model = occam::registry().build::<dyn Architecture>(&config).unwrap().build().unwrap();
    fix_image_size(&model.graph, size).unwrap()
}

/// Every golden of a whole classifier.
const FAMILIES: &[&str] = &[
    "alexnet",
    "convnext",
    "deit",
    "densenet",
    "efficientnet",
    "efficientnet_lite",
    "googlenet",
    "inception_v3",
    "mnasnet",
    "mobilenet_v2",
    "mobilenet_v3",
    "regnet",
    "resnet18",
    "resnet_cifar",
    "resnet_cifar50",
    "seresnet",
    "shufflenet_v1",
    "shufflenet_v2",
    "squeezenet",
    "swin_transformer",
    "vgg11",
    "vgg_classifier",
    "vision_transformer",
];

/// Drops about 4 of 10 channels of every unit that `chosen` takes.
fn random(trace: &Trace, seed: &str, chosen: impl Fn(&occam::space::Unit) -> bool) -> Selection {
    let mut selection = Selection::all(trace);
    for (i, u) in trace.units.iter().enumerate() {
        if u.kept_by.is_none() && chosen(u) {
            let draws = unit(&format!("{seed}.{}", u.name), u.channels);
            let mut keep: Vec<bool> = draws.iter().map(|d| *d < 0.6).collect();
            keep[i % u.channels] = true;
            selection.set(trace, i, keep).unwrap();
        }
    }
    selection
}

fn logits(graph: Graph, weights: &Weights, x: &Tensor) -> Vec<f64> {
    let params = Params::new(&graph, weights, &Device::cpu()).unwrap();
    let executor = Executor::new(Arc::new(graph)).unwrap();
    let out = executor.run(&params.constants(), std::slice::from_ref(x), &Request::default()).unwrap();
    values(&out.outputs[0].to_array().unwrap())
}

#[test]
fn what_is_removed_was_zero() {
    for name in FAMILIES {
        let golden = Golden::load(name);
        let shape: Vec<usize> = serde_json::from_value(golden.json("input")).unwrap();
        let graph = model(&golden.json("config"), [shape[1], shape[2], shape[3]]);
        let own = weights(&graph);
        let x = Tensor::from_array(&fill("input", &shape, -2.0, 2.0), &Device::cpu()).unwrap();
        let units = trace(&graph, &TraceOptions::default()).unwrap();
        let bindings = Bindings::from([("N".into(), 1)]);
        let estimator = Estimator::new(&graph, &units, &bindings).unwrap();

        let selection = random(&units, name, |u| u.exact);
        assert!(!selection.is_all(), "{name}: nothing can be pruned");
        let (small, sliced) = shrink(&graph, &own, &units, &selection).unwrap();
        let cost = small.cost(&bindings).unwrap();
        let estimate = estimator.at(&selection.widths()).unwrap();
        assert_eq!((cost.total.macs, cost.params), (estimate.macs, estimate.params), "{name}");
        assert_eq!(cost.total.activations, estimate.activations, "{name}");
        let (full, zeros) = zeroed(&graph, &own, &units, &selection).unwrap();
        assert_close(name, &logits(small, &sliced, &x), &logits(full, &zeros, &x), 1e-4);

        // Where statistics are taken over channels, the smaller model computes something else, but it runs.
        let selection = random(&units, "all", |_| true);
        let (small, sliced) = shrink(&graph, &own, &units, &selection).unwrap();
        assert!(logits(small, &sliced, &x).iter().all(|y| y.is_finite()), "{name}");
    }
}

/// `tools/golden/channel_units.py`.
#[test]
fn units_are_the_originals() {
    let text = std::fs::read_to_string(workspace().join("tests/golden/channel_units.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, about) in golden.as_object().unwrap() {
        let mut config = serde_json::json!({
            "type": "ImageClassifier", "backbone": about["backbone"], "head": about["head"],
        });
        if about["head"]["type"] == "mmcls.LinearClsHead" {
            config["neck"] = serde_json::json!({ "type": "GlobalAveragePooling" });
        }
        let graph = model(&config, [3, 224, 224]);
        let units = trace(&graph, &TraceOptions::default()).unwrap();
        let found: Vec<&str> = units.prunable().map(|u| u.name.as_str()).collect();
        let wanted = about["units"].as_object().unwrap();
        let names: BTreeSet<&str> = wanted.keys().map(String::as_str).collect();
        assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), names, "{name}");
        for u in units.prunable() {
            let rows = |list: &[Channel]| -> BTreeSet<(String, u64, u64)> {
                list.iter().map(|c| (c.name.clone(), c.start as u64, c.end as u64)).collect()
            };
            let golden = |side: &str| -> BTreeSet<(String, u64, u64)> {
                let list = wanted[&u.name][side].as_array().unwrap();
                // The original lists its own stand-ins for sums and joins too.
                let layers = list.iter().filter(|r| {
                    let name = r[0].as_str().unwrap();
                    name != "expand" && !name.ends_with("_placeholder")
                });
                layers
                    .map(|r| {
                        (r[0].as_str().unwrap().to_owned(), r[1].as_u64().unwrap(), r[2].as_u64().unwrap())
                    })
                    .collect()
            };
            assert_eq!(rows(&u.output_related), golden("output_related"), "{name} {}", u.name);
            assert_eq!(rows(&u.input_related), golden("input_related"), "{name} {}", u.name);
        }
    }
}

/// What the error of `occam prune ARGS` says, in a folder with `model.onnx`, and its help.
fn refusal(dir: &Path, args: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_occam"))
        .current_dir(dir)
        .args(["--json", "prune"])
        .args(args)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{args:?} works");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let line = text.lines().rev().find(|l| l.starts_with('{')).unwrap_or_else(|| panic!("{args:?}: {text}"));
    let told: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(told["event"], "error", "{args:?}: {text}");
    let say = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    (say("message"), say("help"))
}

/// A folder with `model.onnx` and files that `occam prune` must refuse.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let small = workspace().join("tests/golden/onnx/small.onnx");
    std::fs::copy(&small, at("model.onnx")).unwrap();

    let mut model = import(&small, &Default::default()).unwrap();
    let name = model.weights.keys().find(|n| n.ends_with("weight")).unwrap().clone();
    let array = &model.weights[&name];
    let mut data = array.as_f32().unwrap().to_vec();
    data[3] = f32::NAN;
    let broken = Array::from_f32(array.shape().to_vec(), data).unwrap();
    model.weights.insert(name, broken);
    let broken = export_imported(&model.graph, &model.weights, &model.origin).unwrap();
    write_model(at("nan.onnx"), &broken).unwrap();

    let mut builder = Builder::new();
    let x = builder.input("images", Fact::f32([1usize, 3, 8, 8])).unwrap();
    let w = builder.param("weight", &[4, 3, 1, 1], Role::Weight).unwrap();
    let y = builder.op("conv", Conv::default(), &[x, w]).unwrap();
    builder.output("maps", y).unwrap();
    let graph = builder.finish().unwrap();
    let weights = Weights::from([("weight".to_owned(), fill("weight", &[4, 3, 1, 1], -1.0, 1.0))]);
    let ends = export(&graph, &weights, &ExportOptions::default()).unwrap();
    write_model(at("ends.onnx"), &ends).unwrap();

    std::fs::write(at("empty.onnx"), "").unwrap();
    std::fs::write(at("text.onnx"), "This is no model.").unwrap();
    std::fs::write(
        at("other.json"),
        r#"{"backbone.layer1.0.conv1_(0, 64)_64": 32, "backbone.layer2.0.conv1_(0, 128)_128": 64}"#,
    )
    .unwrap();
    std::fs::write(at("broken.json"), r#"{"a": "#).unwrap();
    dir
}

#[test]
fn what_cannot_be_pruned_is_said() {
    let dir = folder();
    let mut model = import(dir.path().join("model.onnx"), &Default::default()).unwrap();
    recognize(&mut model.graph, &mut model.weights).unwrap();
    let units = trace(&model.graph, &TraceOptions::default()).unwrap();
    let wide = units.prunable().next().unwrap();
    std::fs::write(dir.path().join("wide.json"), format!(r#"{{"{}": {}}}"#, wide.name, wide.channels + 1))
        .unwrap();
    std::fs::write(dir.path().join("narrow.json"), format!(r#"{{"{}": 1}}"#, wide.name)).unwrap();
    let out = ["-o", "out.onnx"];
    // The command, what its message says, and what its help says.
    for (args, message, help) in [
        (
            &["model.onnx", "--macs", "0.001"][..],
            &["model.onnx", "MACs cannot be made 0.001"][..],
            "--max-ratio",
        ),
        (&["model.onnx", "--macs", "1.5"], &["1.5", "above 0 and at most 1"], "0.5 is the half"),
        (&["model.onnx", "--macs", "0"], &["above 0 and at most 1"], "0.5 is the half"),
        (&["model.onnx", "--macs", "0.5", "--max-ratio", "2"], &["--max-ratio 2"], ""),
        (&["model.onnx", "--macs", "0.5", "--keep", "layer9.*"], &["--keep", "`layer9.*`"], "--units"),
        (&["model.onnx", "--macs", "0.5", "--ratio", "nothing=0.5"], &["--ratio", "`nothing`"], "--units"),
        // That the input's channels stay is not what stops this.
        (&["model.onnx", "--macs", "0.5", "--keep", "*"], &["no channel", "the limits let"], "--keep"),
        (&["model.onnx", "--subnet", "narrow.json", "--keep", "*"], &["--subnet", "--keep does nothing"], ""),
        (&["model.onnx", "--subnet", "narrow.json", "--round-to", "8"], &["--round-to does nothing"], ""),
        (&["model.onnx"], &["nothing says how small"], "--macs 0.5"),
        (
            &["model.onnx", "--subnet", "other.json"],
            &["other.json", "`backbone.layer1.0.conv1_(0, 64)_64`", "2 of 2 units"],
            "another model",
        ),
        (&["model.onnx", "--subnet", "broken.json"], &["broken.json", "no JSON"], "--dump-subnet"),
        (&["model.onnx", "--subnet", "missing.json"], &["missing.json"], ""),
        (&["model.onnx", "--subnet", "wide.json"], &["wide.json", "cannot keep"], "--units"),
        (&["nan.onnx", "--macs", "0.5"], &["nan.onnx", "weight`", "no finite numbers"], "export it again"),
        (&["ends.onnx", "--macs", "0.5"], &["ends.onnx", "no channel", "output `maps`"], "--units"),
        (&["empty.onnx", "--macs", "0.5"], &["empty.onnx", "empty"], ""),
        (&["text.onnx", "--macs", "0.5"], &["text.onnx"], ""),
        (&["missing.onnx", "--macs", "0.5"], &["missing.onnx"], ""),
    ] {
        let (said, advice) = refusal(dir.path(), &[args, &out].concat());
        for part in message {
            assert!(said.contains(part), "{args:?}: `{said}` has not `{part}`");
        }
        assert!(advice.contains(help), "{args:?}: `{advice}` has not `{help}`");
        assert!(!dir.path().join("out.onnx").exists(), "{args:?}");
    }
}

/// An option that would do nothing is refused, not passed over.
#[test]
fn options_that_mean_nothing_are_refused() {
    let dir = folder();
    for (target, args) in [
        (["--sparsity", "0.5"], &["--svg", "widths.svg"][..]),
        (["--sparsity", "0.5"], &["--dump-subnet", "widths.json"]),
        (["--sparsity", "0.5"], &["--importance", "l1"]),
        (["--sparsity", "0.5"], &["--max-ratio", "0.5"]),
        (["--sparsity", "0.5"], &["--ratio", "a=0.5"]),
        (["--sparsity", "0.5"], &["--data", ".", "--finetune-epochs", "1"]),
        (["--sparsity", "2:4"], &["--measure"]),
        (["--macs", "0.5"], &["--lr", "0.1"]),
        (["--macs", "0.5"], &["--weight-decay", "0"]),
        (["--macs", "0.5"], &["--augment", "crop"]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_occam"));
        command.current_dir(dir.path()).args(["prune", "model.onnx", "-o", "out.onnx"]);
        let output = command.args(target).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{target:?} {args:?}: {text}");
        assert!(text.contains("cannot be used with") || text.contains("required"), "{text}");
        assert!(!dir.path().join("out.onnx").exists());
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let dir = folder();
    let output = Command::new(env!("CARGO_BIN_EXE_occam"))
        .current_dir(dir.path())
        .args(["prune", "model.onnx", "--macs", "0.5", "--round-to", "1", "--dry-run", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let macs = |at: &str| told[at]["macs"].as_u64().unwrap();
    assert!(macs("after") * 2 <= macs("before") && macs("fixed") < macs("after"), "{told}");
    for stage in ["read", "trace", "importance", "solve", "shrink"] {
        assert!(told["times"][stage].as_f64().unwrap() >= 0.0, "{stage}");
    }
    assert!(told["times"].get("write").is_none() && told["output"].is_null());
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        std::fs::read_dir(folder().path()).unwrap().count()
    );
}
