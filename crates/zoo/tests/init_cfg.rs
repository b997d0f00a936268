//! First values under rules of `init_cfg`: which rule fills what, against mmcls (`tools/golden/init_cfg.py`), and
//! checkpoints.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;

use common::{model, parsed};
use indexmap::IndexMap;
use occam_config::Value;
use occam_data::Seed;
use occam_graph::{Array, Role, Weights};
use occam_testing::{values, workspace};
use occam_zoo::{Error, TaskModel, initialize};

/// Random numbers agree within six deviations of what so many of them scatter; numbers that are none exactly.
#[test]
fn rules_fill_what_mmengine_fills() {
    let path = workspace().join("tests/golden/init_cfg.json");
    let rows: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rows = rows.as_array().unwrap();
    assert!(rows.len() >= 19);
    for row in rows {
        let name = row["name"].as_str().unwrap();
        let model = model(&Value::from_json(&row["config"]));
        let weights = initialize(&model.graph, &model.inits, Seed(1)).unwrap();
        let learned = model.graph.params().filter(|(_, v)| v.role() == Some(Role::Weight));
        assert_eq!(learned.count(), row["figures"].as_object().unwrap().len(), "{name}");
        for (key, figures) in row["figures"].as_object().unwrap() {
            let [mean, std, low, high] = [0, 1, 2, 3].map(|i| figures[i].as_f64().unwrap());
            let v = values(&weights[key]);
            let n = v.len() as f64;
            let found_mean = v.iter().sum::<f64>() / n;
            let found_std = (v.iter().map(|x| (x - found_mean).powi(2)).sum::<f64>() / n).sqrt();
            let at = |what: &str, found: f64, wanted: f64, tolerance: f64| {
                assert!((found - wanted).abs() <= tolerance, "{name}: {key}: {what} {found} of {wanted}");
            };
            if std < 1e-6 {
                at("value", found_mean, mean, 1e-5);
                at("deviation", found_std, 0.0, 1e-6);
                continue;
            }
            let scatter = 6.0 * 2f64.sqrt() * std / n.sqrt();
            at("mean", found_mean, mean, scatter);
            at("deviation", found_std, std, scatter);
            // Uniform numbers come near their bounds and never cross them.
            if n >= 1000.0 && high - low < 3.5 * std {
                let (least, most) = v.iter().fold((f64::MAX, f64::MIN), |(l, h), &x| (l.min(x), h.max(x)));
                at("least", least, low, 0.1 * std);
                at("largest", most, high, 0.1 * std);
            }
        }
    }
}

const HEAD: &str = "neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=10, \
                    in_channels=16)";

fn classifier(backbone: &str, more: &str) -> TaskModel {
    parsed(&format!(
        "dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4, \
         num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,){backbone}), {HEAD}{more})"
    ))
}

fn filled(model: &TaskModel) -> Result<Weights, Error> {
    initialize(&model.graph, &model.inits, Seed(0))
}

/// Numbers that no rule makes.
fn trained(model: &TaskModel) -> Weights {
    let params = model.graph.params();
    params
        .enumerate()
        .map(|(i, (_, v))| {
            let shape = v.fact.known_shape().unwrap();
            let data =
                (0..shape.iter().product()).map(|j: usize| 100.0 + i as f32 + j as f32 * 0.001).collect();
            (v.name.clone(), Array::from_f32(shape, data).unwrap())
        })
        .collect()
}

fn save(path: &Path, weights: impl IntoIterator<Item = (String, Array)>) -> String {
    let weights: Weights = weights.into_iter().collect();
    occam_io::safetensors::save(path, &weights, &IndexMap::new()).unwrap();
    path.display().to_string()
}

#[test]
fn checkpoints_replace_first_values() {
    let dir = tempfile::tempdir().unwrap();
    let plain = classifier("", "");
    let (first, other) = (filled(&plain).unwrap(), trained(&plain));
    let whole = save(&dir.path().join("whole.safetensors"), other.clone());
    let renamed = |prefix: &'static str| other.iter().map(move |(k, a)| (format!("{prefix}{k}"), a.clone()));
    let wrapped = save(
        &dir.path().join("wrapped.safetensors"),
        renamed("architecture.").chain([("optimizer/x".to_owned(), other["head.fc.bias"].clone())]),
    );
    let parallel = save(&dir.path().join("parallel.safetensors"), renamed("module."));
    let backbone = save(
        &dir.path().join("backbone.safetensors"),
        other.iter().filter_map(|(k, a)| Some((k.strip_prefix("backbone.")?.to_owned(), a.clone()))),
    );

    for path in [&whole, &wrapped, &parallel] {
        for more in [
            format!(", pretrained={path:?}"),
            format!(", init_cfg=dict(type='Pretrained', checkpoint={path:?}, map_location='cpu')"),
        ] {
            assert_eq!(filled(&classifier("", &more)).unwrap(), other, "{more}");
        }
    }
    // A part alone: by prefix, or from a file of the part. Zeros of residual norms are replaced too.
    for more in [
        format!(", init_cfg=dict(type='Pretrained', checkpoint={whole:?}, prefix='backbone')"),
        format!(", init_cfg=[dict(type='Pretrained', checkpoint={wrapped:?}, prefix='backbone.')]"),
        format!(", init_cfg=dict(type='Pretrained', checkpoint={backbone:?})"),
    ] {
        let weights = filled(&classifier(&more, "")).unwrap();
        for (name, array) in &weights {
            let wanted = if name.starts_with("backbone.") { &other } else { &first };
            assert_eq!(array, &wanted[name], "{more}: {name}");
        }
    }
    // The whole model's checkpoint comes after the part's.
    let part = format!(", init_cfg=dict(type='Pretrained', checkpoint={backbone:?})");
    let weights = filled(&classifier(&part, &format!(", pretrained={whole:?}"))).unwrap();
    assert_eq!(weights, other);
}

#[test]
fn checkpoints_of_pytorch_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("other.pth");
    let other = trained(&classifier("", ""));
    let renamed = other.iter().map(|(name, a)| (name.replace("backbone.", "module.encoder."), a.clone()));
    occam_io::pth::save(&file, &renamed.collect()).unwrap();
    let keys = "revise_keys=[('^module.', ''), ('^(enc)oder.(.*)', r'\\2')]";
    let more = format!(", init_cfg=dict(type='Pretrained', checkpoint={file:?}, {keys})");
    let weights = filled(&classifier(&more, "")).unwrap();
    for (name, array) in weights.iter().filter(|(name, _)| name.starts_with("backbone.")) {
        assert_eq!(array, &other[name], "{name}");
    }
}

#[test]
fn other_libraries_names_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let plain = classifier("", "");
    let (first, other) = (filled(&plain).unwrap(), trained(&plain));
    let torchvision = |start: &'static str| {
        let named = |name: &str| name.replace("backbone.", "").replace("head.", "");
        other.iter().map(move |(name, a)| (format!("{start}{}", named(name)), a.clone()))
    };
    let file = save(&dir.path().join("torchvision.safetensors"), torchvision("model."));
    let keys = "prefix='model', names='torchvision', arch='resnet18'";
    let rule = format!(", init_cfg=dict(type='Pretrained', checkpoint={file:?}, {keys})");
    assert_eq!(filled(&classifier("", &rule)).unwrap(), other);
    for (name, array) in &filled(&classifier(&rule, "")).unwrap() {
        let wanted = if name.starts_with("backbone.") { &other } else { &first };
        assert_eq!(array, &wanted[name], "{name}");
    }
}

#[test]
fn checkpoints_that_do_not_fit_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let plain = classifier("", "");
    let mut weights = trained(&plain);
    weights.insert("head.fc.bias".into(), Array::from_f32([3], vec![1.0; 3]).unwrap());
    let path = save(&dir.path().join("other.safetensors"), weights);
    let strange = save(
        &dir.path().join("strange.safetensors"),
        [("encoder.weight".to_owned(), Array::from_f32([1], vec![1.0]).unwrap())],
    );
    let cases = [
        (path, "`head.fc.bias` has shape [10] here and [3]"),
        (strange, "begins with encoder.weight"),
        ("torchvision://resnet18".to_owned(), "never downloaded"),
        ("https://download.openmmlab.com/x.pth".to_owned(), "never downloaded"),
        ("missing.pth".to_owned(), "cannot be loaded"),
        ("missing.safetensors".to_owned(), "cannot be loaded"),
    ];
    for (path, wanted) in cases {
        let error = filled(&classifier("", &format!(", pretrained={path:?}"))).unwrap_err();
        assert!(error.to_string().contains(wanted), "{path}: {error}");
    }
}

#[test]
fn rules_that_make_no_sense_are_errors() {
    let cases = [
        ("dict(type='Kaimin', layer='Conv2d')", "Kaimin"),
        ("dict(layer='Conv2d')", "`type`"),
        ("dict(type='Constant', layer='Conv2d')", "missing key \"val\""),
        ("dict(type='Normal', layer='Conv2d', sdt=0.1)", "sdt"),
        ("dict(type='Normal', layer='Conv2d', std=-1.0)", "std"),
        ("dict(type='Kaiming', layer='Conv2d', mode='fan')", "fan"),
        ("dict(type='Kaiming', layer='Conv2d', nonlinearity='swish')", "swish"),
        ("dict(type='Normal', layer='Conv2d', bias_prob=2.0)", "bias_prob"),
        ("dict(type='TruncNormal', layer='Conv2d', a=1.0, b=1.0)", "`a` below `b`"),
        ("dict(type='Normal', override=dict(std=0.1))", "`name`"),
        ("dict(type='Pretrained')", "checkpoint"),
        ("dict(type='Pretrained', checkpoint='x', names='torchvision')", "which architecture"),
        ("dict(type='Pretrained', checkpoint='x', arch='resnet18')", "without `names`"),
        (
            "dict(type='Pretrained', checkpoint='x', names='timm', arch='resnte18')",
            "no architecture `resnte18`",
        ),
        ("dict(type='Pretrained', checkpoint='x', names='torch', arch='resnet18')", "torchvision"),
    ];
    for (rule, wanted) in cases {
        let text = format!("model = dict(type='ResNet', depth=18, init_cfg={rule})");
        let value = occam_config::Loader::new().load_str("model.py", &text).unwrap();
        let built = common::registry().build::<dyn occam_zoo::Backbone>(value.get("model").unwrap());
        let error = built.err().unwrap();
        assert!(format!("{error} {:?}", error.help()).contains(wanted), "{rule}: {error}");
    }
    let build = |rule: &str| {
        let text = format!(
            "model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, init_cfg={rule}), {HEAD})"
        );
        let text = text.replace("in_channels=16", "in_channels=512");
        let value = occam_config::Loader::new().load_str("model.py", &text).unwrap();
        let built =
            common::registry().build::<dyn occam_zoo::Architecture>(value.get("model").unwrap()).unwrap();
        built.build().err().unwrap().to_string()
    };
    assert!(build("dict(type='Xavier', layer='BatchNorm2d')").contains("weight of one axis"));
    assert!(build("dict(type='Normal', override=dict(name='layer9'))").contains("no `backbone.layer9`"));
}
