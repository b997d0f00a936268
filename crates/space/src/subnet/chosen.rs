//! What is chosen at each mutable, and files of it.
//!
//! ```yaml
//! backbone.layers.1.kernel_size:
//!   chosen: 3
//! normal_n2:
//!   chosen: [normal_n2_p1, normal_n2_p0]
//! ```
//!
//! A key is the mutable's alias or its module's path. `meta` beside `chosen` says what else there was to choose from; it is
//! not needed and not kept. YAML and JSON are read, YAML is written.

use std::fmt;

use indexmap::IndexMap;
use occam_config::{Key, Kind, Loader, Value};

use crate::{Error, Result};

/// What is chosen at one place.
#[derive(Debug, Clone, PartialEq)]
pub enum Chosen {
    /// A candidate by its name.
    Name(String),
    /// Several candidates: the inputs of a node.
    Names(Vec<String>),
    /// A number: a width, a kernel's size, a depth.
    Int(i64),
    /// A part, or a number that is not whole.
    Float(f64),
}

impl Chosen {
    /// The number that it is.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Float(x) => Some(*x),
            Self::Name(_) | Self::Names(_) => None,
        }
    }
}

impl From<f64> for Chosen {
    /// Whole numbers are such.
    fn from(x: f64) -> Self {
        if x.fract() == 0.0 && x.abs() < 9.0e15 { Self::Int(x as i64) } else { Self::Float(x) }
    }
}

impl fmt::Display for Chosen {
    /// As YAML has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(&scalar(name)),
            Self::Names(names) => {
                let all: Vec<String> = names.iter().map(|n| scalar(n)).collect();
                write!(f, "[{}]", all.join(", "))
            }
            Self::Int(n) => write!(f, "{n}"),
            Self::Float(x) => write!(f, "{x:?}"),
        }
    }
}

/// What is chosen, by the names of mutables.
pub type Subnet = IndexMap<String, Chosen>;

/// Reads a subnet file; `name` is the file's, which ends in `.yaml`, `.yml` or `.json`.
///
/// # Errors
/// It is not what its name says, or an entry does not say what is chosen; the message has its line.
pub fn parse(name: &str, text: &str) -> Result<Subnet, occam_config::Error> {
    let tree = Loader::new().data(name, text)?;
    let wrong = |message: String, at: &Value| Err(occam_config::Error::new(message).at(at));
    let Some(dict) = tree.as_dict() else {
        return wrong("a subnet file is a dict from the names of mutables to what is chosen".into(), &tree);
    };
    let mut subnet = Subnet::new();
    for (key, entry) in dict.iter() {
        let key = match key {
            Key::Str(text) => text.clone(),
            Key::Int(n) => n.to_string(),
        };
        let Some(value) = entry.as_dict().and_then(|d| d.get("chosen")) else {
            return wrong(format!("`{key}` does not say what is `chosen`"), entry);
        };
        match chosen(value) {
            Some(chosen) => subnet.insert(key, chosen),
            None => {
                let message =
                    format!("what is chosen for `{key}` must be a name, a list of names or a number");
                return wrong(message, value);
            }
        };
    }
    Ok(subnet)
}

fn chosen(value: &Value) -> Option<Chosen> {
    match &value.kind {
        Kind::Str(_) => value.as_str().map(|s| Chosen::Name(s.to_owned())),
        Kind::Int(_) => value.as_i64().map(Chosen::Int),
        Kind::Float(_) => value.as_f64().filter(|x| x.is_finite()).map(Chosen::Float),
        _ => {
            let names = value.as_list()?.iter().map(|v| v.as_str().map(str::to_owned));
            names.collect::<Option<Vec<String>>>().map(Chosen::Names)
        }
    }
}

/// The text of a subnet file, in order.
pub fn to_yaml(subnet: &Subnet) -> String {
    subnet.iter().map(|(name, chosen)| format!("{}:\n  chosen: {chosen}\n", scalar(name))).collect()
}

/// A text as YAML has it: in quotes where it would be read as something else.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
    let word = !matches!(
        text.to_ascii_lowercase().as_str(),
        "" | "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "~"
    );
    if word && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(plain) {
        return text.to_owned();
    }
    // A text of JSON is one of YAML.
    serde_json::Value::from(text).to_string()
}

/// The part of a subnet under `prefix`, without it: what a model that is a part of the searched one takes.
///
/// # Errors
/// Nothing is under the prefix.
pub fn strip_prefix(subnet: &Subnet, prefix: &str) -> Result<Subnet> {
    let part: Subnet = subnet
        .iter()
        .filter_map(|(name, chosen)| Some((name.strip_prefix(prefix)?.to_owned(), chosen.clone())))
        .collect();
    if part.is_empty() && !subnet.is_empty() {
        return Err(Error::Subnet(format!("no name in it begins with `{prefix}`")));
    }
    Ok(part)
}

/// The subnet with `prefix` before every name: what a model of which the searched one is a part takes.
pub fn add_prefix(subnet: &Subnet, prefix: &str) -> Subnet {
    subnet.iter().map(|(name, chosen)| (format!("{prefix}{name}"), chosen.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "backbone.layers.0.0:\n  chosen: shuffle_7x7\nbackbone.layers.1.kernel_size:\n  chosen: 3\n\
                        mlp_ratio:\n  chosen: 3.5\nnormal_n2:\n  chosen: [normal_n2_p1, normal_n2_p0]\n";

    #[test]
    fn files_are_read_and_written() {
        let subnet = parse("subnet.yaml", TEXT).unwrap();
        assert_eq!(subnet["backbone.layers.0.0"], Chosen::Name("shuffle_7x7".into()));
        assert_eq!(subnet["backbone.layers.1.kernel_size"], Chosen::Int(3));
        assert_eq!(subnet["mlp_ratio"], Chosen::Float(3.5));
        assert_eq!(subnet["normal_n2"], Chosen::Names(vec!["normal_n2_p1".into(), "normal_n2_p0".into()]));
        assert_eq!(to_yaml(&subnet), TEXT);
        let json = r#"{"a": {"chosen": "x", "meta": {"all_choices": ["x", "y"]}}}"#;
        assert_eq!(parse("subnet.json", json).unwrap()["a"], Chosen::Name("x".into()));
    }

    #[test]
    fn names_that_look_like_something_else_come_back() {
        let names =
            ["yes", "3", "1.5", "a: b", "- x", "", "null", "#", "it's", "\"q\"", "é\n", "a b_(0, 64)_64"];
        let mut subnet = Subnet::new();
        for name in names {
            subnet.insert(format!("k{name}"), Chosen::Name(name.into()));
            subnet.insert(name.to_owned(), Chosen::Names(vec![name.into(), "z".into()]));
        }
        subnet.insert("whole".into(), Chosen::Float(2.0));
        assert_eq!(parse("s.yaml", &to_yaml(&subnet)).unwrap(), subnet);
    }

    #[test]
    fn prefixes_come_and_go() {
        let subnet = parse("subnet.yaml", TEXT).unwrap();
        let part = strip_prefix(&subnet, "backbone.").unwrap();
        assert_eq!(part.keys().collect::<Vec<_>>(), ["layers.0.0", "layers.1.kernel_size"]);
        assert_eq!(add_prefix(&part, "backbone.").get_index(0), subnet.get_index(0));
        assert!(strip_prefix(&subnet, "neck.").is_err());
    }

    #[test]
    fn other_files_are_refused_with_their_line() {
        for (text, wanted) in [
            ("- a\n", "dict"),
            ("a:\n  chosen: 1\nb: 2\n", "`b`"),
            ("a:\n  chosen: {x: 1}\n", "`a`"),
            ("a:\n  chosen: .nan\n", "`a`"),
            ("a: [", ""),
        ] {
            let error = parse("subnet.yaml", text).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}
