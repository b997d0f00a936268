//! Values as Python text.

use crate::python::{float_repr, is_name, str_repr};
use crate::{Dict, Key, Kind, Value};

/// Longest line that several items are put on.
const WIDTH: usize = 79;

/// Columns by which a level is indented.
const INDENT: usize = 4;

impl Value {
    /// The config as Python text, in the style of mmengine's `pretty_text`: a line `key = value` for
    /// each key of the dict, keys sorted at every level, `dict(key=value)` where keys are names.
    ///
    /// The text evaluates to an equal value. A key that no variable can have is written as a
    /// comment; a value that is not a dict, as one expression.
    pub fn to_python(&self) -> String {
        let mut printer = Printer::default();
        match &self.kind {
            Kind::Dict(dict) => {
                for (key, value) in sorted(dict) {
                    match key {
                        Key::Str(name) if is_name(name) => {
                            printer.out.push_str(name);
                            printer.out.push_str(" = ");
                            printer.value(value, 0, name.len() + 3);
                        }
                        _ => {
                            let flat = flat(value, Style::Repr);
                            printer.out.push_str(&format!("# {}: {flat}", key_text(key)));
                        }
                    }
                    printer.out.push('\n');
                }
            }
            _ => {
                printer.value(self, 0, 0);
                printer.out.push('\n');
            }
        }
        printer.out
    }

    /// The value as a config writes it, on one line.
    pub fn to_line(&self) -> String {
        flat(self, Style::Config)
    }

    /// Python's `repr`.
    pub(crate) fn repr(&self) -> String {
        flat(self, Style::Repr)
    }
}

/// How a value is written on one line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As Python's `repr` writes it.
    Repr,
    /// As a config writes it, with `dict(...)`, so that it reads back.
    Config,
}

#[derive(Default)]
struct Printer {
    out: String,
}

impl Printer {
    /// Writes a value that begins at `column` on a line indented by `indent`.
    fn value(&mut self, value: &Value, indent: usize, column: usize) {
        // One more column for the comma or bracket that follows.
        let text = flat(value, Style::Config);
        if column + text.chars().count() < WIDTH {
            self.out.push_str(&text);
            return;
        }
        match &value.kind {
            Kind::List(items) if !items.is_empty() => self.items("[", items, "]", indent),
            Kind::Tuple(items) if !items.is_empty() => {
                self.items("(", items, if items.len() == 1 { ",)" } else { ")" }, indent);
            }
            Kind::Dict(dict) if !dict.is_empty() => self.dict(dict, indent),
            _ => self.out.push_str(&text),
        }
    }

    fn items(&mut self, open: &str, items: &[Value], close: &str, indent: usize) {
        self.out.push_str(open);
        for (at, item) in items.iter().enumerate() {
            let inner = self.begin_line(at, indent);
            self.value(item, inner, inner);
        }
        self.out.push_str(close);
    }

    fn dict(&mut self, dict: &Dict, indent: usize) {
        let (open, between, close) = brackets(dict, Style::Config);
        self.out.push_str(open);
        for (at, (key, value)) in sorted(dict).into_iter().enumerate() {
            let inner = self.begin_line(at, indent);
            let key = entry_key(key, open);
            self.out.push_str(&key);
            self.out.push_str(between);
            self.value(value, inner, inner + key.chars().count() + between.len());
        }
        self.out.push_str(close);
    }

    /// Starts the line of the item at position `at`.
    fn begin_line(&mut self, at: usize, indent: usize) -> usize {
        let inner = indent + INDENT;
        self.out.push_str(if at == 0 { "\n" } else { ",\n" });
        self.out.extend(std::iter::repeat_n(' ', inner));
        inner
    }
}

/// The entries in the order of their keys' text.
fn sorted(dict: &Dict) -> Vec<(&Key, &Value)> {
    let mut entries: Vec<_> = dict.iter().collect();
    entries.sort_by_cached_key(|(key, _)| key.to_string());
    entries
}

/// What a dict begins with, what stands between a key and its value, and what it ends with.
fn brackets(dict: &Dict, style: Style) -> (&'static str, &'static str, &'static str) {
    let names = dict.keys().all(|key| key.as_str().is_some_and(is_name));
    if style == Style::Config && names { ("dict(", "=", ")") } else { ("{", ": ", "}") }
}

fn entry_key(key: &Key, open: &str) -> String {
    if open == "{" { key_text(key) } else { key.to_string() }
}

fn key_text(key: &Key) -> String {
    match key {
        Key::Str(text) => str_repr(text),
        Key::Int(number) => number.to_string(),
    }
}

/// The value on one line.
fn flat(value: &Value, style: Style) -> String {
    let mut out = String::new();
    write_flat(value, style, &mut out);
    out
}

fn write_flat(value: &Value, style: Style, out: &mut String) {
    match &value.kind {
        Kind::None => out.push_str("None"),
        Kind::Bool(true) => out.push_str("True"),
        Kind::Bool(false) => out.push_str("False"),
        Kind::Int(number) => out.push_str(&number.to_string()),
        Kind::Float(number) if style == Style::Config && !number.is_finite() => {
            out.push_str(&format!("float('{}')", float_repr(*number)));
        }
        Kind::Float(number) => out.push_str(&float_repr(*number)),
        Kind::Str(text) => out.push_str(&str_repr(text)),
        Kind::List(items) => write_items("[", items, "]", style, out),
        Kind::Tuple(items) => {
            write_items("(", items, if items.len() == 1 { ",)" } else { ")" }, style, out);
        }
        Kind::Dict(dict) => {
            let (open, between, close) = brackets(dict, style);
            let entries = match style {
                Style::Repr => dict.iter().collect(),
                Style::Config => sorted(dict),
            };
            out.push_str(open);
            for (at, (key, value)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                out.push_str(&entry_key(key, open));
                out.push_str(between);
                write_flat(value, style, out);
            }
            out.push_str(close);
        }
    }
}

fn write_items(open: &str, items: &[Value], close: &str, style: Style, out: &mut String) {
    out.push_str(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        write_flat(item, style, out);
    }
    out.push_str(close);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loader;

    const CONFIG: &str = "
model = dict(
    type='Distiller', student=dict(cfg_path='mmcls::resnet/resnet18_8xb32_in1k.py', pretrained=False),
    losses=[dict(type='KLDivergence', tau=1, loss_weight=5.0), dict(type='L2', scale=1e-5)], empty={}, none=[],
    nested=dict(a=dict(b=dict(c=[[1, 2, 3], (4,), ()], text='a long line that needs to be broken here'))))
axes = {0: 'batch', 'a-b': 1, 'class': 2, -3: float('inf')}
words = ('it\\'s', 'say \"x\"', 'both \\' and \"', 'line\\nbreak', 'ümlaut')
lonely = ('a rather long text that does not fit on a line together with the brackets around it',)
least = -9223372036854775808
big = 1e300
negative = -0.0
";

    #[test]
    fn reads_back_equal() {
        let config = Loader::new().load_str("a.py", CONFIG).expect("loads");
        let text = config.to_python();
        let again = Loader::new().load_str("b.py", &text).expect("reads back");
        assert_eq!(again, config, "{text}");
        assert_eq!(again.to_python(), text);
    }

    #[test]
    fn looks_like_a_config() {
        let config = Loader::new().load_str("a.py", CONFIG).expect("loads");
        insta::assert_snapshot!(config.to_python());
    }

    #[test]
    fn keys_that_are_no_names_become_comments() {
        let mut dict = Dict::new();
        dict.insert("a-b", Value::from(1));
        dict.insert("c", Value::from(2));
        assert_eq!(Value::from(dict).to_python(), "# 'a-b': 1\nc = 2\n");
    }
}
