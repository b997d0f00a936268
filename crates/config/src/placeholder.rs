//! `{{ _base_.x }}` in files that have no expressions.

use std::ops::Range;
use std::sync::Arc;

use crate::eval::{BASE, Budget};
use crate::{Dict, Error, Key, Kind, SourceFile, Span, Value, suggest};

/// Puts values of the bases where `{{ _base_.x }}` stood, where the evaluated file has the text `_base_.x` at `places`.
///
/// # Errors
/// The bases have no such value, or the template is a key or inside a longer text.
pub(crate) fn substitute(
    dict: &mut Dict,
    file: &Arc<SourceFile>,
    places: &[Range<usize>],
    bases: &Dict,
    budget: &Budget,
) -> Result<(), Error> {
    match places {
        [] => Ok(()),
        _ => Substitution { file, places, bases, budget }.dict(dict),
    }
}

struct Substitution<'a> {
    file: &'a Arc<SourceFile>,
    places: &'a [Range<usize>],
    bases: &'a Dict,
    budget: &'a Budget,
}

impl Substitution<'_> {
    fn dict(&self, dict: &mut Dict) -> Result<(), Error> {
        for (key, span, _) in dict.iter_spanned() {
            if let (Key::Str(_), Some(place)) = (key, self.place_in(span)) {
                return Err(self.misplaced(place));
            }
        }
        dict.iter_mut().try_for_each(|(_, value)| self.value(value))
    }

    fn value(&self, value: &mut Value) -> Result<(), Error> {
        self.budget.charge(1)?;
        match &mut value.kind {
            Kind::Dict(dict) => self.dict(dict),
            Kind::List(items) | Kind::Tuple(items) => items.iter_mut().try_for_each(|item| self.value(item)),
            Kind::Str(text) => {
                let Some(place) = self.place_in(value.span.as_ref()) else {
                    return Ok(());
                };
                let whole = Some(text.trim()) == self.file.text().get(place.clone()).map(unquoted);
                if !whole {
                    return Err(self.misplaced(place));
                }
                let found = self.lookup(text.trim()).map_err(|error| error.with_span(value.span.clone()))?;
                self.budget.charge(found.measure().0)?;
                *value = found.clone();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The template that stood within `span`.
    fn place_in(&self, span: Option<&Span>) -> Option<&Range<usize>> {
        let span = span.filter(|span| Arc::ptr_eq(&span.file, self.file))?;
        let at = self.places.partition_point(|place| place.end <= span.offset);
        self.places.get(at).filter(|place| place.start < span.offset + span.len)
    }

    fn misplaced(&self, place: &Range<usize>) -> Error {
        Error::new("`{{ _base_.x }}` cannot stand inside a text or as a key")
            .with_span(Some(Span::new(self.file, place.start, place.len())))
            .with_help("it is a value, not text: let it stand alone, without quotes")
    }

    /// The value of the bases at `_base_.a.b`.
    fn lookup(&self, path: &str) -> Result<&Value, Error> {
        let mut dict = Some(self.bases);
        let mut found = None;
        for name in path.split('.').filter(|&name| name != BASE) {
            let keys = || dict.into_iter().flat_map(Dict::keys).filter_map(Key::as_str);
            found = dict.and_then(|dict| dict.get(name));
            let Some(value) = found else {
                let error = Error::new(format!("the bases have no `{name}` of `{path}`"));
                return Err(match suggest(name, keys()) {
                    Some(meant) => error.with_help(format!("did you mean `{meant}`?")),
                    None => error,
                });
            };
            dict = value.as_dict();
        }
        found.ok_or_else(|| Error::new(format!("`{path}` names no value of the bases")))
    }
}

/// What stands between the quotes of a template's stand-in.
fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"').trim()
}
