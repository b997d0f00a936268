//! No input makes the loader panic, or work for long.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use occam_config::{Loader, Value, apply_options};
use proptest::prelude::*;

/// A config for options to be applied to.
const VALID: &str = include_str!("../../../tests/golden/config/python_subset.py");

/// Pieces of configs, of which most random sequences are nonsense.
const PIECES: [&str; 48] = [
    "x",
    "y",
    "_base_",
    " = ",
    "dict(",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    ",",
    ":",
    ".",
    "'a'",
    "\"",
    "'''",
    "\n",
    "    ",
    "1",
    "-1",
    "0",
    "9223372036854775807",
    "1e308",
    "0.5",
    " + ",
    " - ",
    " * ",
    " / ",
    " // ",
    " % ",
    " ** ",
    " << ",
    "if ",
    "else ",
    "for x in ",
    "range(",
    "round(",
    ".update(",
    ".append(",
    ".pop(",
    "x=",
    "**",
    "lambda ",
    "{{ ",
    " }}",
    "f'{",
    "\\",
];

/// Pieces of YAML, likewise.
const YAML_PIECES: [&str; 36] = [
    "a",
    "b: ",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "&a ",
    "*a",
    "&b ",
    "*b",
    "<<: ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "? ",
    "| \n",
    "> \n",
    "'",
    "\"",
    "!!str ",
    "!!python/tuple ",
    "!x ",
    "# ",
    "---\n",
    "...\n",
    "%TAG ",
    "1",
    "-.inf",
    "~",
    "{{ _base_.x }}",
    "_base_",
    "\\",
    "\u{fc}",
];

/// The configs whose texts are mutated.
static INPUTS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let mut inputs: Vec<_> = std::fs::read_dir(configs())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
});

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/config")
}

/// What happens to a stretch of text.
#[derive(Debug, Clone)]
enum Edit {
    Delete,
    Duplicate,
    Replace(String),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        Just(Edit::Delete),
        Just(Edit::Duplicate),
        prop::sample::select(PIECES.to_vec()).prop_map(|piece| Edit::Replace(piece.to_owned())),
        prop::sample::select(YAML_PIECES.to_vec()).prop_map(|piece| Edit::Replace(piece.to_owned())),
        any::<char>().prop_map(|sign| Edit::Replace(sign.to_string())),
    ]
}

/// Loads the text, and prints and reads back what it makes, which must be equal.
fn exercise(loader: &Loader, name: &str, text: &str) {
    let config = match loader.load_str(name, text) {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let printed = config.to_python();
    // NaN is equal to nothing, and keys that no variable can have become comments.
    if !printed.contains("nan") && !printed.starts_with('#') && !printed.contains("\n#") {
        let again = Loader::new().load_str("b.py", &printed);
        assert!(again.is_ok_and(|again| again == config), "{printed}");
    }
    let _ = config.to_json();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_text_does_not_panic(text in any::<String>()) {
        for name in ["a.py", "a.json", "a.yaml"] {
            exercise(&Loader::new(), name, &text);
        }
    }

    #[test]
    fn random_pieces_do_not_panic(picks in prop::collection::vec(0..PIECES.len(), 0..40)) {
        let text: String = picks.into_iter().filter_map(|pick| PIECES.get(pick)).copied().collect();
        exercise(&Loader::new(), "a.py", &text);
    }

    #[test]
    fn random_yaml_does_not_panic(picks in prop::collection::vec(0..YAML_PIECES.len(), 0..40)) {
        let text: String = picks.into_iter().filter_map(|pick| YAML_PIECES.get(pick)).copied().collect();
        exercise(&Loader::new(), "a.yaml", &text);
    }

    #[test]
    fn mutations_do_not_panic(
        file in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..20_usize, edit()), 1..6),
    ) {
        let (name, text) = file.get(&INPUTS);
        let mut bytes = text.as_bytes().to_vec();
        for (at, len, edit) in edits {
            if bytes.is_empty() {
                break;
            }
            let start = at.index(bytes.len());
            let end = (start + len).min(bytes.len());
            match edit {
                Edit::Delete => drop(bytes.splice(start..end, [])),
                Edit::Duplicate => {
                    let again = bytes[start..end].to_vec();
                    drop(bytes.splice(end..end, again));
                }
                Edit::Replace(with) => drop(bytes.splice(start..end, with.into_bytes())),
            }
        }
        // What is cut through a sign becomes another sign; a file that is no UTF-8 is refused before.
        let text = String::from_utf8_lossy(&bytes);
        let start = Instant::now();
        let loader = Loader::new().with_search_path([configs().join("packages")]);
        exercise(&loader, configs().join(name).to_str().unwrap(), &text);
        prop_assert!(start.elapsed() < Duration::from_secs(20), "{:?} for\n{text}", start.elapsed());
    }

    #[test]
    fn random_options_do_not_panic(options in prop::collection::vec(any::<String>(), 0..4), path in "[a-z.0-9]{0,12}") {
        let mut config = Loader::new().load_str("a.py", VALID).unwrap_or_default();
        let _ = apply_options(&mut config, &options);
        let options: Vec<_> = options.into_iter().map(|value| format!("{path}={value}")).collect();
        let _ = apply_options(&mut config, &options);
        let _ = config.set(&path, Value::from(1));
        let _ = config.get(&path);
    }
}
