//! What a solution must keep to, by names.

use occam_graph::matches;
use occam_space::Trace;

use crate::{Error, Limits, Result};

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
