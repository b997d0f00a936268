//! `occam config diff`

use occam_config::{Change, Value, diff};
use serde_json::json;

use crate::console::{print_json, print_line};

/// Longest value that is shown to people, in characters.
const MAX_SHOWN: usize = 200;

/// Prints the differences of two resolved configs.
pub fn run(left: &Value, right: &Value, json: bool) {
    let changes = diff(left, right);
    if json {
        let changes: Vec<_> = changes.iter().map(to_json).collect();
        print_json(&json!({ "event": "result", "changes": changes }));
        return;
    }
    for change in &changes {
        print_line(&text(change));
    }
    let count = |sign| changes.iter().filter(|change| kind(change).0 == sign).count();
    print_line(&match changes.len() {
        0 => "no differences".to_owned(),
        n => format!("{n} differences: {} added, {} removed, {} changed", count('+'), count('-'), count('~')),
    });
}

/// The sign and the name of a change.
fn kind(change: &Change<'_>) -> (char, &'static str) {
    match (change.left, change.right) {
        (None, _) => ('+', "added"),
        (_, None) => ('-', "removed"),
        _ => ('~', "changed"),
    }
}

fn place(value: &Value) -> Option<String> {
    value.span.as_ref().map(ToString::to_string)
}

fn text(change: &Change<'_>) -> String {
    let side = |value: &Value| {
        let line = value.to_line();
        let shown = match line.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => format!("{} ...", line.get(..end).unwrap_or_default()),
            None => line,
        };
        format!("\n    {}  {shown}", place(value).unwrap_or_else(|| "?".to_owned()))
    };
    let sides: String = [change.left, change.right].into_iter().flatten().map(side).collect();
    format!("{} {}{sides}", kind(change).0, change.path)
}

fn to_json(change: &Change<'_>) -> serde_json::Value {
    let side = |value: Option<&Value>| {
        value.map(|value| json!({ "value": value.to_json(), "location": place(value) }))
    };
    json!({
        "change": kind(change).1,
        "path": change.path,
        "left": side(change.left),
        "right": side(change.right),
    })
}
