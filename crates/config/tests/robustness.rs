//! No input makes the loader panic.

use occam_config::{Loader, Value, apply_options};
use proptest::prelude::*;

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

/// Loads the text, and prints and reads back what it makes, which must be equal.
fn exercise(text: &str) {
    let Ok(config) = Loader::new().load_str("a.py", text) else {
        return;
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
        exercise(&text);
        let _ = Loader::new().load_str("a.json", &text);
    }

    #[test]
    fn random_pieces_do_not_panic(picks in prop::collection::vec(0..PIECES.len(), 0..40)) {
        let text: String = picks.into_iter().filter_map(|pick| PIECES.get(pick)).copied().collect();
        exercise(&text);
    }

    #[test]
    fn mutations_do_not_panic(
        cuts in prop::collection::vec((0..VALID.len(), 0..20_usize, 0..PIECES.len()), 1..6),
    ) {
        let mut text = VALID.to_owned();
        for (start, len, piece) in cuts {
            let start = text.floor_char_boundary(start);
            let end = text.floor_char_boundary((start + len).min(text.len())).max(start);
            text.replace_range(start..end, PIECES.get(piece).copied().unwrap_or_default());
        }
        exercise(&text);
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
