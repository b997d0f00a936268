//! `occam quantize`: files of integers that compute what they should, and what is refused.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use occam_graph::{DType, Op};
use occam_io::onnx::{ImportOptions, Imported, import};
use occam_testing::workspace;
use serde_json::Value as Json;

/// Images of five classes, four each.
fn images(dir: &Path) -> PathBuf {
    let files = workspace().join("tests/golden/data/files");
    for (i, class) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        let folder = dir.join("images").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for k in 0..4 {
            let file = if (i + k) % 2 == 0 { "444.jpg" } else { "turned6.jpg" };
            std::fs::copy(files.join(file), folder.join(format!("{k}.jpg"))).unwrap();
        }
    }
    dir.join("images")
}

fn small() -> String {
    workspace().join("tests/golden/onnx/small.onnx").display().to_string()
}

fn occam(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_occam")).args(args).output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.success(), text.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", ""))
}

/// Quantizes the small model with `more` flags: what is told, and the file.
fn quantize(dir: &Path, name: &str, more: &[&str]) -> (Json, Imported) {
    let output = dir.join(name).display().to_string();
    let model = small();
    let args = [&["quantize", &model, "-o", &output, "--json", "--no-measure"], more].concat();
    let (done, text) = occam(&args);
    assert!(done, "{args:?}: {text}");
    (serde_json::from_str(&text).unwrap(), import(Path::new(&output), &ImportOptions::default()).unwrap())
}

/// How many nodes of an operator there are.
fn count(model: &Imported, op: &str) -> usize {
    let named = |o: &Op| matches!(o, Op::Onnx(o) if o.op_type == op);
    model.graph.nodes().filter(|(_, n)| named(&n.op)).count()
}

/// Element types of what `DequantizeLinear` reads as a constant.
fn stored(model: &Imported) -> Vec<DType> {
    let mut list = Vec::new();
    for (_, node) in model.graph.nodes() {
        if matches!(&node.op, Op::Onnx(o) if o.op_type == "DequantizeLinear") {
            let value = model.graph.value(node.inputs[0]).unwrap();
            if value.role().is_some() || value.constant().is_some() {
                list.push(value.fact.dtype);
            }
        }
    }
    list
}

/// Agreement of classes and cosine of two files on the images.
fn against(dir: &Path, name: &str, data: &str) -> (f64, f64) {
    let (file, model) = (dir.join(name).display().to_string(), small());
    let args = [
        "test",
        "--model",
        &file,
        "--against",
        &model,
        "--data",
        data,
        "--runtime",
        "occam",
        "--latency-rounds",
        "1",
        "--json",
    ];
    let (done, text) = occam(&args);
    assert!(done, "{text}");
    let told = &serde_json::from_str::<Json>(&text).unwrap()["metrics"];
    (told["agreement"].as_f64().unwrap(), told["cosine"].as_f64().unwrap())
}

#[test]
fn integers_compute_what_floats_did() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path()).display().to_string();
    let (told, model) = quantize(dir.path(), "int8.onnx", &["--data", &data, "--samples", "12"]);
    assert_eq!((told["images"].as_u64(), told["backend"].as_str()), (Some(12), Some("onnxruntime")));
    let layers = told["layers"].as_array().unwrap();
    assert!(!layers.is_empty() && layers.iter().all(|l| l["weight_bits"] == 8), "{told}");
    // A pair for each activation; weights and biases are integers in the file.
    let activations = told["activations"].as_u64().unwrap() as usize;
    assert_eq!(count(&model, "QuantizeLinear"), activations);
    let types = stored(&model);
    assert_eq!(types.iter().filter(|t| **t == DType::I8).count(), layers.len(), "{types:?}");
    assert!(types.contains(&DType::I32), "{types:?}");
    let (_, cosine) = against(dir.path(), "int8.onnx", &data);
    assert!(cosine > 0.999, "{cosine}");
}

/// Scales of groups lie in the file as blocks, and are nearer to the floats than those of channels.
#[test]
fn groups_have_scales_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path()).display().to_string();
    let four = ["--weights-only", "--bits", "4"];
    quantize(dir.path(), "channels.onnx", &four);
    let (_, model) = quantize(dir.path(), "groups.onnx", &[&four[..], &["--group-size", "4"]].concat());
    assert_eq!(model.origin.opset(), 21);
    let mut blocks = 0;
    for (_, node) in model.graph.nodes() {
        let Op::Onnx(op) = &node.op else { continue };
        if op.op_type == "DequantizeLinear" && op.int("block_size").unwrap() == Some(4) {
            let of = |i: usize| model.graph.value(node.inputs[i]).unwrap().fact.known_shape().unwrap();
            let axis = usize::try_from(op.int("axis").unwrap().unwrap()).unwrap();
            let (weight, scale) = (of(0), of(1));
            assert_eq!(weight.len(), scale.len());
            assert_eq!(weight[axis], 4 * scale[axis]);
            blocks += 1;
        }
    }
    assert!(blocks > 0, "{}", model.graph);
    let (channels, groups) =
        (against(dir.path(), "channels.onnx", &data), against(dir.path(), "groups.onnx", &data));
    assert!(groups.1 > channels.1, "{groups:?} {channels:?}");
    // GPTQ keeps to them.
    let gptq = ["--group-size", "4", "--rounding", "gptq", "--data", &data, "--samples", "8"];
    let (_, model) = quantize(dir.path(), "gptq.onnx", &[&four[..], &gptq].concat());
    assert_eq!(model.origin.opset(), 21);
    let (_, cosine) = against(dir.path(), "gptq.onnx", &data);
    assert!(cosine > 0.98, "{cosine}");
    let model = small();
    for (flags, wanted) in [
        (&["--group-size", "4"][..], "--weights-only"),
        (&["--weights-only", "--group-size", "4", "--opset", "17"], "--opset 17 has no scales of groups"),
        (&["--weights-only", "--opset", "12"], "--opset 12: 12 is older than the file's own"),
    ] {
        let output = dir.path().join("no.onnx").display().to_string();
        let (done, text) = occam(&[&["quantize", &model, "-o", &output], flags].concat());
        assert!(!done && text.contains(wanted), "{flags:?}: {text}");
    }
}

#[test]
fn the_same_command_gives_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path()).display().to_string();
    let file = |name: &str, more: &[&str]| {
        quantize(dir.path(), name, &[&["--data", &data, "--samples", "8"], more].concat());
        std::fs::read(dir.path().join(name)).unwrap()
    };
    let first = file("a.onnx", &[]);
    assert_eq!(first, file("b.onnx", &[]));
    assert_ne!(first, file("c.onnx", &["--no-bias-correction"]), "biases were corrected");
    assert_ne!(first, file("d.onnx", &["--per-tensor"]));
}

#[test]
fn every_backend_has_its_integers() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path()).display().to_string();
    let common = ["--data", data.as_str(), "--samples", "8", "--backend"];
    let (_, tensorrt) = quantize(dir.path(), "t.onnx", &[&common[..], &["tensorrt"]].concat());
    // Zero points are 0, biases floats.
    assert!(!stored(&tensorrt).contains(&DType::I32));
    for (_, value) in tensorrt.graph.values().filter(|(_, v)| v.name.contains("zero_point")) {
        if let Some(array) = value.constant() {
            assert!(array.to_le_bytes().iter().all(|b| *b == 0), "{}", value.name);
        }
    }
    let (_, openvino) = quantize(dir.path(), "o.onnx", &[&common[..], &["openvino"]].concat());
    assert!(stored(&openvino).iter().all(|t| *t == DType::I8));
    for name in ["t.onnx", "o.onnx"] {
        let (_, cosine) = against(dir.path(), name, &data);
        assert!(cosine > 0.999, "{name}: {cosine}");
    }
}

#[test]
fn weights_alone_need_no_images() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path()).display().to_string();
    let (told, model) = quantize(dir.path(), "w4.onnx", &["--weights-only", "--bits", "4"]);
    assert_eq!((told["activations"].as_u64(), count(&model, "QuantizeLinear")), (Some(0), 0));
    assert!(told["layers"].as_array().unwrap().iter().all(|l| l["weight_bits"] == 4), "{told}");
    let (_, cosine) = against(dir.path(), "w4.onnx", &data);
    assert!(cosine > 0.9, "{cosine}");
    // A layer with more bits loses less.
    let (_, eight) = {
        quantize(dir.path(), "w8.onnx", &["--weights-only", "--bits", "4", "--layer-bits", "*=8"]);
        against(dir.path(), "w8.onnx", &data)
    };
    assert!(eight > cosine, "{eight} {cosine}");
}

#[test]
fn what_one_wants_in_floats_stays_there() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path()).display().to_string();
    let common = ["--data", data.as_str(), "--samples", "8"];
    let (all, _) = quantize(dir.path(), "all.onnx", &common);
    let first = all["layers"][0]["layer"].as_str().unwrap().to_owned();
    let (told, _) = quantize(dir.path(), "some.onnx", &[&common[..], &["--skip", &first]].concat());
    let names: Vec<&str> =
        told["layers"].as_array().unwrap().iter().map(|l| l["layer"].as_str().unwrap()).collect();
    assert!(!names.contains(&first.as_str()) && !names.is_empty(), "{names:?}");
    let left = told["left"].as_array().unwrap();
    assert!(left.iter().any(|l| l["node"] == first.as_str()), "{left:?}");
}

#[test]
fn accuracy_is_kept_by_floats() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path()).display().to_string();
    let svg = dir.path().join("values.svg").display().to_string();
    let flags = [
        "--data",
        data.as_str(),
        "--samples",
        "8",
        "--bits",
        "4",
        "--max-drop",
        "100",
        "--score-images",
        "8",
        "--svg",
        &svg,
    ];
    let (told, _) = quantize(dir.path(), "kept.onnx", &flags);
    // Everything may be lost, so nothing stays in floats for it.
    assert_eq!(told["kept"]["floats"].as_array().unwrap().len(), 0, "{told}");
    let roundings = told["roundings"].as_array().unwrap();
    assert_eq!(
        roundings.len(),
        told["activations"].as_u64().unwrap() as usize + told["layers"].as_array().unwrap().len(),
        "{told}"
    );
    let picture = std::fs::read_to_string(svg).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains(" dB"), "{picture}");
}

#[test]
fn roundings_are_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path()).display().to_string();
    let common = ["--data", data.as_str(), "--samples", "8", "--bits", "4", "--no-bias-correction"];
    quantize(dir.path(), "nearest.onnx", &common);
    let nearest = std::fs::read(dir.path().join("nearest.onnx")).unwrap();
    // That they lose less is tested where they are, on more than these two pictures.
    for how in ["adaround", "blocks", "gptq"] {
        let name = format!("{how}.onnx");
        let (told, _) =
            quantize(dir.path(), &name, &[&common[..], &["--rounding", how, "--iterations", "100"]].concat());
        assert!(!told["rounded"]["layers"].as_array().unwrap().is_empty(), "{told}");
        assert_ne!(std::fs::read(dir.path().join(&name)).unwrap(), nearest, "{how}");
        let (_, cosine) = against(dir.path(), &name, &data);
        assert!(cosine > 0.98, "{how}: {cosine}");
    }
}

#[test]
fn ranges_are_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path()).display().to_string();
    let mut files = Vec::new();
    for more in [
        &["--calibration", "minmax"][..],
        &["--calibration", "percentile", "--percentile", "99"],
        &["--calibration", "mse"],
        &["--calibration", "entropy"],
    ] {
        let flags = [&["--data", data.as_str(), "--samples", "8"][..], more].concat();
        quantize(dir.path(), "c.onnx", &flags);
        let (_, cosine) = against(dir.path(), "c.onnx", &data);
        assert!(cosine > 0.97, "{more:?}: {cosine}");
        files.push(std::fs::read(dir.path().join("c.onnx")).unwrap());
    }
    for (i, file) in files.iter().enumerate() {
        assert!(files[..i].iter().all(|other| other != file), "{i} chose the range of another");
    }
}

/// The values of images normalized to -1..1 are all halfway between the integers of that range.
#[test]
fn images_do_not_lie_between_integers() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("grey");
    std::fs::create_dir_all(&folder).unwrap();
    let pixels = [[0u8; 3 * 64 * 32], [255; 3 * 64 * 32]].concat();
    std::fs::write(folder.join("a.ppm"), [&b"P6 64 64 255\n"[..], &pixels].concat()).unwrap();
    let data = folder.display().to_string();
    let flags = ["--data", data.as_str(), "--samples", "1", "--mean", "127.5", "--std", "127.5"];
    let (_, model) = quantize(dir.path(), "g.onnx", &flags);
    let input = model.graph.inputs()[0];
    let (_, node) = model.graph.nodes().find(|(_, n)| n.inputs.first() == Some(&input)).unwrap();
    let number = |i: usize| {
        let value = model.graph.value(node.inputs[i]).unwrap();
        let array = value.constant().or_else(|| model.weights.get(&value.name)).unwrap();
        array.to_le_bytes()
    };
    assert_eq!((number(1), number(2)), ((1.0f32 / 127.0).to_le_bytes().to_vec(), vec![128]));
}

#[test]
fn what_cannot_be_done_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path()).display().to_string();
    let (model, output) = (small(), dir.path().join("q.onnx").display().to_string());
    let run = |more: &[&str]| {
        let (done, text) =
            occam(&[&["quantize", model.as_str(), "-o", &output, "--no-measure"], more].concat());
        assert!(!done && !Path::new(&output).exists(), "{more:?}: {text}");
        text
    };
    assert!(run(&[]).contains("--data DIR"));
    let bits = run(&["--data", &data, "--bits", "5"]);
    assert!(bits.contains("does not store integers of 5 bits"), "{bits}");
    let none = run(&["--data", &data, "--skip", "*"]);
    assert!(
        none.contains("nothing of the model can be integers") && none.contains("is to be left"),
        "{none}"
    );
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(run(&["--data", &empty.display().to_string()]).contains("empty"));
    assert!(run(&["--weights-only", "--rounding", "adaround"]).contains("--rounding needs images"));
    assert!(run(&["--data", &data, "--backend", "onxruntime"]).contains("onnxruntime"));
}
