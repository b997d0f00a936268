//! What a solution must keep to, by names.

use occam_space::Trace;

use crate::{Error, Limits, Result};

/// Whether `name` is `pattern`, where `*` stands for any letters.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Limits {
    /// Lets no more than `part` go of the units of `trace` that `pattern` names, by their own name or that of a layer that
    /// computes them; `*` stands for any letters. With 0 those stay, too, that a layer of that name reads: it stays as it is.
    ///
    /// # Errors
    /// Nothing has such a name.
    pub fn at_most(&mut self, trace: &Trace, pattern: &str, part: f64) -> Result<()> {
        self.of_unit.resize(trace.units.len(), None);
        let mut any = false;
        for (unit, limit) in trace.units.iter().zip(&mut self.of_unit) {
            let read = unit.input_related.iter().filter(|_| part == 0.0);
            let layers = unit.output_related.iter().chain(read).map(|c| c.name.as_str());
            if layers.chain([unit.name.as_str()]).any(|name| matches(pattern, name)) {
                *limit = Some(part);
                any = true;
            }
        }
        if any {
            return Ok(());
        }
        let names = trace.units.iter().map(|u| u.name.as_str());
        let hint = occam_config::suggest(pattern, names).map(str::to_owned);
        Err(Error::Pattern { pattern: pattern.to_owned(), hint })
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_letters() {
        for (pattern, name, wanted) in [
            ("layer4.*", "layer4.0.conv1", true),
            ("*.conv1", "layer4.0.conv1", true),
            ("layer*conv1", "layer4.0.conv1", true),
            ("layer4", "layer4.0", false),
            ("*a*b", "xaxb", true),
            ("a*a", "a", false),
            ("*", "x", true),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
