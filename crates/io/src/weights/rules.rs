//! Rules that rename weights, as mmengine's `revise_keys`.

use occam_graph::Weights;
use regex_lite::{Captures, Regex};

use crate::{Error, Result};

/// Pairs of a regular expression and what replaces it, one after the other, as Python's `re.sub` does it.
///
/// Replacements have Python's form: `\1` and `\g<1>` are groups, `\g<name>` named ones, `\\` a backslash. Expressions are
/// those that Python and Rust share; look-around and back references are refused.
#[derive(Debug, Clone, Default)]
pub struct KeyRules {
    rules: Vec<(Regex, Vec<Part>)>,
}

/// Of a replacement.
#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Group(usize),
    Named(String),
}

impl KeyRules {
    /// Rules from pairs.
    ///
    /// # Errors
    /// One is no regular expression, or its replacement asks for a group that it does not have.
    pub fn new<P: AsRef<str>, R: AsRef<str>>(pairs: impl IntoIterator<Item = (P, R)>) -> Result<Self> {
        let rule = |(pattern, replacement): (P, R)| {
            let (pattern, replacement) = (pattern.as_ref(), replacement.as_ref());
            let wrong = |message: String| Error::Option { option: "revise_keys", message };
            let regex = Regex::new(pattern).map_err(|e| wrong(format!("{pattern:?}: {e}")))?;
            let parts = parts(replacement).map_err(|e| wrong(format!("{replacement:?}: {e}")))?;
            for part in &parts {
                let known = match part {
                    Part::Text(_) => true,
                    Part::Group(n) => *n < regex.captures_len(),
                    Part::Named(name) => regex.capture_names().flatten().any(|known| known == name),
                };
                if !known {
                    return Err(wrong(format!(
                        "{replacement:?} asks for a group that {pattern:?} does not have"
                    )));
                }
            }
            Ok((regex, parts))
        };
        Ok(Self { rules: pairs.into_iter().map(rule).collect::<Result<_>>()? })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What a name becomes.
    pub fn rename(&self, name: &str) -> String {
        let mut name = name.to_owned();
        for (regex, parts) in &self.rules {
            name = regex.replace_all(&name, |found: &Captures<'_>| expand(parts, found)).into_owned();
        }
        name
    }

    /// Renames all weights; those whose name becomes empty are left out.
    ///
    /// # Errors
    /// Two names become one.
    pub fn rename_all(&self, weights: Weights) -> Result<Weights> {
        if self.is_empty() {
            return Ok(weights);
        }
        let mut renamed = Weights::with_capacity(weights.len());
        for (name, array) in weights {
            let target = self.rename(&name);
            if !target.is_empty() && renamed.insert(target.clone(), array).is_some() {
                let message = format!("`{name}` and one before it both become `{target}`");
                return Err(Error::Option { option: "revise_keys", message });
            }
        }
        Ok(renamed)
    }
}

fn expand(parts: &[Part], found: &Captures<'_>) -> String {
    let mut out = String::new();
    for part in parts {
        out.push_str(match part {
            Part::Text(text) => text,
            Part::Group(n) => found.get(*n).map_or("", |m| m.as_str()),
            Part::Named(name) => found.name(name).map_or("", |m| m.as_str()),
        });
    }
    out
}

/// The parts of a replacement in Python's form.
fn parts(replacement: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = replacement;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        if c != '\\' {
            text.push(c);
            continue;
        }
        let Some(next) = rest.chars().next() else { return Err("it ends in a backslash".into()) };
        let part = if next.is_ascii_digit() && next != '0' {
            // At most two digits, as in Python.
            let digits = 1 + usize::from(rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit));
            let (number, after) = rest.split_at(digits);
            rest = after;
            Part::Group(number.parse().map_err(|_| format!("\\{number} is no group"))?)
        } else if let Some((name, after)) = rest.strip_prefix("g<").and_then(|r| r.split_once('>')) {
            rest = after;
            name.parse().map_or_else(|_| Part::Named(name.to_owned()), Part::Group)
        } else if matches!(next, '\\' | '.') {
            rest = rest.get(1..).unwrap_or_default();
            text.push(next);
            continue;
        } else {
            return Err(format!("`\\{next}` is not known; a group is `\\1`, a backslash `\\\\`"));
        };
        parts.push(Part::Text(std::mem::take(&mut text)));
        parts.push(part);
    }
    parts.push(Part::Text(text));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use occam_graph::Array;

    use super::*;

    #[test]
    fn rename_as_python_does() {
        let cases = [
            (r"^module\.", "", "module.a.module.b", "a.module.b"),
            (r"^(.*)\.bn(\d)\.", r"\1.norm\2.", "layer1.0.bn2.weight", "layer1.0.norm2.weight"),
            (r"(?P<first>[a-z]+)\.", r"\g<first>_\g<1>:", "ab.cd.e", "ab_ab:cd_cd:e"),
            (r"\.", r"\\", "a.b.c", r"a\b\c"),
            ("x*", "-", "abc", "-a-b-c-"),
            ("a", "$0", "banana", "b$0n$0n$0"),
        ];
        for (pattern, replacement, name, wanted) in cases {
            let rules = KeyRules::new([(pattern, replacement)]).unwrap();
            assert_eq!(rules.rename(name), wanted, "{pattern} {replacement}");
        }
    }

    #[test]
    fn misfits_are_refused() {
        for (pattern, replacement, wanted) in [
            ("(", "", "open group"),
            ("a", r"\1", "a group that"),
            ("a", r"\g<b>", "a group that"),
            ("a", r"\", "ends in a backslash"),
            ("a", r"\q", "is not known"),
        ] {
            let error = KeyRules::new([(pattern, replacement)]).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn names_never_collide() {
        let weights: Weights =
            ["a.w", "b.w"].map(|name| (name.to_owned(), Array::full([1], 0.0))).into_iter().collect();
        let both = KeyRules::new([("^[ab]", "c")]).unwrap();
        assert!(both.rename_all(weights.clone()).unwrap_err().to_string().contains("both become `c.w`"));
        let one = KeyRules::new([("^a.*", "")]).unwrap();
        assert_eq!(one.rename_all(weights).unwrap().keys().collect::<Vec<_>>(), ["b.w"]);
    }
}
