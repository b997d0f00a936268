//! What may go at most.

use std::path::Path;

use occam_prune::{Limits, Scope};
use occam_space::Trace;

use crate::diagnostic::Failure;

/// How far units may shrink.
#[derive(clap::Args)]
pub struct LimitArgs {
    /// Prune every unit by the same part, not those of least importance
    #[arg(long)]
    uniform: bool,
    /// Widths are multiples of this: runtimes compute others more slowly
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    round_to: u16,
    /// The part of a unit that may go at most
    #[arg(long, value_name = "PART", default_value_t = 0.9)]
    max_ratio: f64,
    /// Units and layers that stay as they are; `*` stands for any letters; may be given several times
    #[arg(long, value_name = "NAME")]
    keep: Vec<String>,
    /// The part that may go at most of units or layers of a name: `layer4.*=0.3`
    #[arg(long, value_name = "NAME=PART", value_parser = parse_ratio)]
    ratio: Vec<(String, f64)>,
}

fn parse_ratio(text: &str) -> Result<(String, f64), String> {
    let (name, part) = text.rsplit_once('=').ok_or("a part is given as NAME=PART")?;
    let part: f64 = part.parse().map_err(|_| format!("`{part}` is no number"))?;
    if (0.0..1.0).contains(&part) {
        Ok((name.to_owned(), part))
    } else {
        Err("the part must be in 0..1".into())
    }
}

/// Whether `name` is `pattern`, where `*` stands for any letters.
fn matches(pattern: &str, name: &str) -> bool {
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

impl LimitArgs {
    /// What a solution must keep to: by unit the part that may go at most, where a pattern names it or a layer that computes
    /// it.
    ///
    /// # Errors
    /// A pattern names no unit or layer, or a part is none.
    pub fn limits(&self, units: &Trace, model: &Path) -> Result<Limits, Failure> {
        if !(0.0..=1.0).contains(&self.max_ratio) {
            return Err(Failure::new(format!("--max-ratio {} is no part from 0 to 1", self.max_ratio)));
        }
        let mut of_unit = vec![None; units.units.len()];
        let kept = self.keep.iter().map(|name| (name, 0.0, "--keep"));
        let limited = self.ratio.iter().map(|(name, part)| (name, *part, "--ratio"));
        for (pattern, part, option) in limited.chain(kept) {
            let mut any = false;
            for (unit, limit) in units.units.iter().zip(&mut of_unit) {
                // A layer stays as it is where its inputs do, too.
                let read = unit.input_related.iter().filter(|_| part == 0.0);
                let layers = unit.output_related.iter().chain(read).map(|c| c.name.as_str());
                if layers.chain([unit.name.as_str()]).any(|name| matches(pattern, name)) {
                    *limit = Some(part);
                    any = true;
                }
            }
            if !any {
                let names: Vec<&str> = units.units.iter().map(|u| u.name.as_str()).collect();
                let failure = Failure::new(format!("{option}: no unit or layer is called `{pattern}`"));
                return Err(match occam_config::suggest(pattern, names.into_iter()) {
                    Some(hint) => failure.with_help(format!("did you mean `{hint}`?")),
                    None => failure.with_help(format!("occam inspect {} --units lists all", model.display())),
                });
            }
        }
        let scope = if self.uniform { Scope::Uniform } else { Scope::Global };
        Ok(Limits { round_to: self.round_to.into(), max_ratio: self.max_ratio, of_unit, scope })
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
