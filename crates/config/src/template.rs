//! `{{ ... }}` in a config's text, filled in before parsing.

use std::ops::Range;
use std::path::Path;

/// Longest template, in bytes; further on no end is looked for.
const MAX_LEN: usize = 1024;

/// A config's text with its templates filled in.
pub(crate) struct Filled {
    pub(crate) text: String,
    /// Where `{{ _base_.x }}` stood.
    pub(crate) bases: Vec<Range<usize>>,
    /// The first `{{ $NAME: }}` that has no default, and the name.
    pub(crate) without_default: Option<(usize, String)>,
}

/// What takes the place of `{{ _base_.x }}`, as long as itself, so that what follows keeps its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    /// The expression `(_base_.x)`, which means nothing inside a string.
    Expression,
    /// The string `"_base_.x"`, for files that have no expressions.
    Text,
}

/// Fills in the templates of the file at `path`, which should be absolute.
///
/// | template | filled in |
/// |---|---|
/// | `{{ fileDirname }}` | folder of the file |
/// | `{{ fileBasename }}` | its name |
/// | `{{ fileBasenameNoExtension }}` | its name without extension |
/// | `{{ fileExtname }}` | its extension with the dot |
/// | `{{ $NAME:default }}` | `default`: the environment is never read |
/// | `{{ _base_.a.b }}` | what `stand` says |
///
/// Other text between double braces stays as it is.
pub(crate) fn fill(text: &str, path: &Path, stand: Stand) -> Filled {
    let mut filled =
        Filled { text: String::with_capacity(text.len()), bases: Vec::new(), without_default: None };
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let (before, template) = rest.split_at(start);
        filled.text.push_str(before);
        rest = match replace(&mut filled, template, path, stand) {
            Some(after) => after,
            None => {
                filled.text.push('{');
                template.strip_prefix('{').unwrap_or_default()
            }
        };
    }
    filled.text.push_str(rest);
    filled
}

/// Fills in the template that `text` begins with, and returns the text after it.
fn replace<'t>(filled: &mut Filled, text: &'t str, path: &Path, stand: Stand) -> Option<&'t str> {
    let text = text.strip_prefix("{{")?;
    let window = text.get(..text.floor_char_boundary(MAX_LEN))?;
    let (inner, _) = window.split_once("}}")?;
    let after = text.get(inner.len() + 2..)?;
    let name = inner.trim();
    if name.strip_prefix("_base_.").is_some_and(|path| path.chars().all(is_path)) {
        let start = filled.text.len();
        let (open, close) = match stand {
            Stand::Expression => (" (", ") "),
            Stand::Text => (" \"", "\" "),
        };
        filled.text.push_str(open);
        filled.text.push_str(inner);
        filled.text.push_str(close);
        filled.bases.push(start..filled.text.len());
        return Some(after);
    }
    if let Some((variable, default)) = environment(inner) {
        if default.is_empty() {
            let place = (filled.text.len(), variable.to_owned());
            filled.without_default.get_or_insert(place);
        }
        filled.text.push_str(default);
        return Some(after);
    }
    let part = match name {
        "fileDirname" => path.parent().map(Path::as_os_str),
        "fileBasename" => path.file_name(),
        "fileBasenameNoExtension" => path.file_stem(),
        "fileExtname" => path.extension(),
        _ => return None,
    };
    let part = part.unwrap_or_default().to_string_lossy().replace('\\', "/");
    if name == "fileExtname" && !part.is_empty() {
        filled.text.push('.');
    }
    filled.text.push_str(&part);
    Some(after)
}

/// Name and default of `$NAME:default`, which may stand in quotes.
fn environment(inner: &str) -> Option<(&str, &str)> {
    let inner = inner.strip_prefix(['\'', '"']).unwrap_or(inner);
    let inner = inner.strip_suffix(['\'', '"']).unwrap_or(inner);
    let (name, default) = inner.trim().strip_prefix('$')?.split_once(':')?;
    let (name, default) = (name.trim(), default.trim());
    let is_name = !name.is_empty() && name.chars().all(is_word);
    (is_name && !default.contains(char::is_whitespace)).then_some((name, default))
}

fn is_word(sign: char) -> bool {
    sign == '_' || sign.is_alphanumeric()
}

fn is_path(sign: char) -> bool {
    sign == '.' || is_word(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_what_it_knows() {
        for (text, expected) in [
            ("a = '{{ fileDirname }}/x'", "a = '/w/configs/x'"),
            ("'{{fileBasename}}'", "'kd.py'"),
            ("'{{ fileBasenameNoExtension }}{{ fileExtname }}'", "'kd.py'"),
            ("n = {{ $N:8 }}", "n = 8"),
            ("n = {{'$N:8'}}", "n = 8"),
            ("n = '{{$ROOT:/data}}/x'", "n = '/data/x'"),
            ("p = {{ _base_.a.b }} + 1", "p =  ( _base_.a.b )  + 1"),
            ("d = {'a': {'b': {}}}", "d = {'a': {'b': {}}}"),
            ("{{ other }} {{", "{{ other }} {{"),
            ("{{{fileBasename}}}", "{kd.py}"),
        ] {
            assert_eq!(fill(text, Path::new("/w/configs/kd.py"), Stand::Expression).text, expected);
        }
        assert_eq!(fill("a: {{ _base_.x }}", Path::new("a.yaml"), Stand::Text).text, "a:  \" _base_.x \" ");
    }

    #[test]
    fn remembers_what_cannot_stand_everywhere() {
        let filled = fill("a = {{_base_.x}}\nb = {{$HOME:}}", Path::new("a.py"), Stand::Expression);
        assert_eq!(filled.bases.first(), Some(&(4..16)));
        assert_eq!(filled.without_default, Some((21, "HOME".to_owned())));
    }
}
