//! What whole configs with their bases evaluate to, against mmengine: `tests/golden/golden.py`.

use std::fs;
use std::path::{Path, PathBuf};

use occam_config::{Error, Loader, Value};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs")
}

fn load(path: &Path) -> Result<Value, Error> {
    Loader::new().with_search_path([configs().join("packages")]).load(path)
}

#[test]
fn agrees_with_mmengine() {
    let mut seen = 0;
    for entry in fs::read_dir(configs().join("golden")).expect("there are goldens") {
        let golden = entry.expect("is readable").path();
        let name = golden.file_stem().expect("has a name").to_owned();
        let config = load(&configs().join(&name)).unwrap_or_else(|error| panic!("{error:?}"));
        let expected = fs::read_to_string(&golden).expect("is readable");
        let ours = serde_json::to_string_pretty(&config.to_json()).expect("is JSON");
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
    let mut paths: Vec<_> = fs::read_dir(configs())
        .expect("there are configs")
        .map(|entry| entry.expect("is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).expect("has a name");
        let golden = configs().join("golden").join(format!("{name}.json"));
        assert_ne!(golden.is_file(), name.starts_with("error_"), "{name}");
        if name.starts_with("error_") {
            let error = load(&path).expect_err(name);
            errors.push(format!("{error:?}").replace(&configs().display().to_string(), "CONFIGS"));
        }
    }
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn printed_configs_read_back_equal() {
    for entry in fs::read_dir(configs()).expect("there are configs") {
        let path = entry.expect("is readable").path();
        if path.extension().is_some_and(|extension| extension == "py")
            && let Ok(config) = load(&path)
        {
            let again = Loader::new().load_str("b.py", &config.to_python()).expect("reads back");
            assert_eq!(again, config, "{}", path.display());
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
