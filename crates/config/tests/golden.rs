//! What whole configs with their bases evaluate to, against mmengine: `tools/golden/config.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use occam_config::{Error, Key, Kind, Loader, Value};
use serde_json::json;

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/config").canonicalize().expect("is there")
}

/// All configs, sorted, with their names.
fn all() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<_> = fs::read_dir(configs())
        .expect("there are configs")
        .map(|entry| entry.expect("is readable").path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), path.file_name().unwrap().to_str().unwrap().to_owned()))
        .collect();
    paths.sort();
    paths
}

fn load(path: &Path) -> Result<Value, Error> {
    Loader::new().with_search_path([configs().join("packages")]).load(path)
}

/// As the goldens are written: a tuple is `{"()": [items]}`, an integer key `int:0`.
fn exact_json(value: &Value) -> serde_json::Value {
    match &value.kind {
        Kind::List(items) => items.iter().map(exact_json).collect(),
        Kind::Tuple(items) => json!({ "()": items.iter().map(exact_json).collect::<Vec<_>>() }),
        Kind::Dict(dict) => dict
            .iter()
            .map(|(key, value)| match key {
                Key::Str(text) => (text.clone(), exact_json(value)),
                Key::Int(number) => (format!("int:{number}"), exact_json(value)),
            })
            .collect(),
        _ => value.to_json(),
    }
}

#[test]
fn agrees_with_mmengine() {
    let mut seen = 0;
    for entry in fs::read_dir(configs().join("golden")).expect("there are goldens") {
        let golden = entry.expect("is readable").path();
        let name = golden.file_stem().expect("has a name").to_owned();
        let config = load(&configs().join(&name)).unwrap_or_else(|error| panic!("{error:?}"));
        let expected = fs::read_to_string(&golden).expect("is readable");
        let ours = serde_json::to_string_pretty(&exact_json(&config)).expect("is JSON");
        let expected: serde_json::Value = serde_json::from_str(&expected).expect("is JSON");
        // As text, so that the order of keys counts.
        let theirs = serde_json::to_string_pretty(&expected).expect("is JSON");
        assert_eq!(ours, theirs, "{}", name.display());
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} goldens");
}

#[test]
fn every_config_has_a_golden_or_fails() {
    let mut errors = Vec::new();
    for (path, name) in all() {
        let golden = configs().join("golden").join(format!("{name}.json"));
        assert_ne!(golden.is_file(), name.starts_with("error_"), "{name}");
        if name.starts_with("error_") {
            let error = load(&path).expect_err(&name);
            errors.push(format!("{error:?}").replace(&configs().display().to_string(), "CONFIGS"));
        }
    }
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn printed_configs_read_back_equal() {
    for (path, name) in all() {
        if let Ok(config) = load(&path) {
            let again = Loader::new().load_str("b.py", &config.to_python()).expect("reads back");
            assert_eq!(again, config, "{name}");
        }
    }
}

#[test]
fn values_know_where_they_were_written() {
    let config = load(&configs().join("merge.py")).expect("loads");
    for (path, expected) in [
        ("optimizer.lr", "merge.py:"),
        ("optimizer.momentum", "settings_base.py:"),
        ("model.type", "settings_base.py:"),
    ] {
        let span = config.get(path).and_then(|value| value.span.clone()).expect(path);
        assert!(span.to_string().contains(expected), "{path} at {span}");
    }
}
