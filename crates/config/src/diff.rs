//! What differs between two configs.

use crate::{Dict, Key, Kind, Value};

/// A place where two trees differ.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// Dotted path, as [`Value::get`] takes it; a key with a dot in it stands in quotes. Positions in lists are those
    /// of the left tree, of an added item those of the right one.
    pub path: String,
    /// What the left tree has there; `None` where it has nothing.
    pub left: Option<&'a Value>,
    /// What the right tree has there; `None` where it has nothing.
    pub right: Option<&'a Value>,
}

/// The places where `left` and `right` differ, in the order of the left tree, each list of a dict's added keys at its
/// end.
///
/// Dicts are compared key by key, whatever their order. Of two lists the equal items at both ends are matched, and those
/// between them in turn. Types count: `1` is not `1.0`, and a list is no tuple.
pub fn diff<'a>(left: &'a Value, right: &'a Value) -> Vec<Change<'a>> {
    let mut changes = Vec::new();
    values("", left, right, &mut changes);
    changes
}

fn values<'a>(path: &str, left: &'a Value, right: &'a Value, changes: &mut Vec<Change<'a>>) {
    match (&left.kind, &right.kind) {
        (Kind::Dict(a), Kind::Dict(b)) => dicts(path, a, b, changes),
        (Kind::List(a), Kind::List(b)) | (Kind::Tuple(a), Kind::Tuple(b)) => lists(path, a, b, changes),
        _ if same(left, right) => {}
        _ => changes.push(Change { path: path.to_owned(), left: Some(left), right: Some(right) }),
    }
}

fn dicts<'a>(path: &str, left: &'a Dict, right: &'a Dict, changes: &mut Vec<Change<'a>>) {
    for (key, a) in left.iter() {
        let path = joined(path, &key_text(key));
        match right.get_key(key) {
            Some(b) => values(&path, a, b, changes),
            None => changes.push(Change { path, left: Some(a), right: None }),
        }
    }
    for (key, b) in right.iter().filter(|(key, _)| left.get_key(key).is_none()) {
        changes.push(Change { path: joined(path, &key_text(key)), left: None, right: Some(b) });
    }
}

fn lists<'a>(path: &str, left: &'a [Value], right: &'a [Value], changes: &mut Vec<Change<'a>>) {
    let before = left.iter().zip(right).take_while(|(a, b)| same(a, b)).count();
    let (left, right) = (left.get(before..).unwrap_or_default(), right.get(before..).unwrap_or_default());
    let after = left.iter().rev().zip(right.iter().rev()).take_while(|(a, b)| same(a, b)).count();
    let left = left.get(..left.len() - after).unwrap_or_default();
    let right = right.get(..right.len() - after).unwrap_or_default();
    for at in 0..left.len().max(right.len()) {
        let path = joined(path, &(before + at).to_string());
        match (left.get(at), right.get(at)) {
            (Some(a), Some(b)) => values(&path, a, b, changes),
            (a, b) => changes.push(Change { path, left: a, right: b }),
        }
    }
}

/// Whether two values are written alike; NaN is like NaN.
fn same(left: &Value, right: &Value) -> bool {
    left == right || left.to_line() == right.to_line()
}

fn key_text(key: &Key) -> String {
    match key {
        Key::Str(text) if text.is_empty() || text.contains('.') => format!("{text:?}"),
        _ => key.to_string(),
    }
}

fn joined(path: &str, segment: &str) -> String {
    if path.is_empty() { segment.to_owned() } else { format!("{path}.{segment}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loader;

    fn changes(left: &str, right: &str) -> Vec<String> {
        let load = |name, text| Loader::new().load_str(name, text).expect(text);
        let (left, right) = (load("a.py", left), load("b.py", right));
        let side = |value: Option<&Value>| match value {
            Some(value) => {
                let span = value.span.as_ref().expect("has a place");
                format!("{}@{}:{}", value.to_line(), span.line, span.column)
            }
            None => "-".to_owned(),
        };
        diff(&left, &right)
            .iter()
            .map(|change| format!("{} {} {}", change.path, side(change.left), side(change.right)))
            .collect()
    }

    #[test]
    fn tells_added_removed_and_changed() {
        let left = "a = dict(x=1, y=[1, 2, 3], z=(1,))\nb = 'gone'\nn = float('nan')\n";
        let right = "c = {'d.e': 1}\nn = float('nan')\na = dict(z=[1], y=[1, 5, 2, 3], x=1.0)\n";
        assert_eq!(
            changes(left, right),
            [
                "a.x 1@1:12 1.0@3:35",
                "a.y.1 - 5@3:23",
                "a.z (1,)@1:30 [1]@3:12",
                "b 'gone'@2:5 -",
                "c - {'d.e': 1}@1:5"
            ]
        );
    }

    #[test]
    fn matches_lists_at_both_ends() {
        let step = |name: &str| format!("dict(type='{name}', p=1)");
        let list = |names: &[&str]| {
            format!("x = [{}]\n", names.iter().map(|name| step(name)).collect::<Vec<_>>().join(", "))
        };
        let changed = changes(&list(&["A", "B", "C", "D"]), &list(&["A", "X", "D"]));
        assert_eq!(changed, ["x.1.type 'B'@1:37 'X'@1:37", "x.2 dict(p=1, type='C')@1:48 -"]);
        assert!(changes(&list(&["A"]), &list(&["A"])).is_empty());
    }
}
