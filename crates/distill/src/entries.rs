//! Config entries that are dicts of named things.

use occam_config::{Error, Span, Value};

/// One named thing.
pub(crate) struct Entry<'a> {
    pub name: &'a str,
    /// Where the name was written.
    pub key: Option<&'a Span>,
    pub value: &'a Value,
}

/// The entries of the dict `value`, called `what` in errors; none where it is left out.
pub(crate) fn entries<'a>(what: &str, value: Option<&'a Value>) -> Result<Vec<Entry<'a>>, Error> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let Some(dict) = value.as_dict() else {
        let found = value.kind.python_name();
        return Err(
            Error::new(format!("`{what}` must be a dict from names to dicts, found {found}")).at(value)
        );
    };
    dict.iter_spanned()
        .map(|(name, key, value)| match name.as_str() {
            Some(name) => Ok(Entry { name, key, value }),
            None => {
                let message = format!("names in `{what}` must be of type str, found {name}");
                Err(Error::new(message).with_span(key.cloned()).at(value))
            }
        })
        .collect()
}

/// Refuses a dict of things that exist in the original and not here, unless it is left out, `None` or empty.
pub(crate) fn none_of(what: &str, value: Option<&Value>) -> Result<(), Error> {
    match value {
        Some(value) if !value.as_dict().is_some_and(|dict| dict.is_empty()) => {
            Err(Error::new(format!("`{what}` is not supported; leave it out or None")).at(value))
        }
        _ => Ok(()),
    }
}

/// `a, b, c`, or `nothing`.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// `did you mean "x"? {known}: x, y`
pub(crate) fn choices<'a>(
    known: &str,
    name: &str,
    candidates: impl Iterator<Item = &'a str> + Clone,
) -> String {
    let all = format!("{known}: {}", list(candidates.clone()));
    match occam_config::suggest(name, candidates) {
        Some(meant) => format!("did you mean {meant:?}? {all}"),
        None => all,
    }
}
