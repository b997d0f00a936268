//! What may go at most.

use std::path::Path;

use occam_prune::{Error, Limits, Scope};
use occam_space::Trace;

use crate::diagnostic::Failure;

/// How far units may shrink.
#[derive(clap::Args)]
pub struct LimitArgs {
    /// Prune every unit by the same part, not those of least importance
    #[arg(long)]
    uniform: bool,
    /// Widths are multiples of this, since runtimes compute others more slowly [default: 8; by --latency what is found to be fast]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    round_to: Option<u16>,
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
    if (0.0..=1.0).contains(&part) {
        Ok((name.to_owned(), part))
    } else {
        Err("the part must be from 0 to 1".into())
    }
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
        let scope = if self.uniform { Scope::Uniform } else { Scope::Global };
        let round_to = self.round_to().unwrap_or(Limits::default().round_to);
        let mut limits = Limits { round_to, max_ratio: self.max_ratio, scope, ..Limits::default() };
        let limited = self.ratio.iter().map(|(name, part)| (name, *part, "--ratio"));
        let kept = self.keep.iter().map(|name| (name, 0.0, "--keep"));
        for (pattern, part, option) in limited.chain(kept) {
            limits.at_most(units, pattern, part).map_err(|e| match e {
                Error::Pattern { pattern, hint } => {
                    let failure = Failure::new(format!("{option}: no unit or layer is called `{pattern}`"));
                    failure.with_help(match hint {
                        Some(hint) => format!("did you mean `{hint}`?"),
                        None => format!("occam inspect {} --units lists all", model.display()),
                    })
                }
                other => other.into(),
            })?;
        }
        Ok(limits)
    }

    /// An option that was given and does nothing where a subnet file says all widths.
    pub fn beside_widths(&self) -> Option<&'static str> {
        [
            (!self.keep.is_empty(), "--keep"),
            (!self.ratio.is_empty(), "--ratio"),
            (self.uniform, "--uniform"),
            (self.round_to.is_some(), "--round-to"),
        ]
        .into_iter()
        .find_map(|(given, option)| given.then_some(option))
    }

    /// Whether every unit, or layer, loses the same part.
    pub fn uniform(&self) -> bool {
        self.uniform
    }

    /// What stays as it is.
    pub fn keep(&self) -> &[String] {
        &self.keep
    }

    /// What widths are multiples of, where that was given.
    pub fn round_to(&self) -> Option<usize> {
        self.round_to.map(usize::from)
    }
}
