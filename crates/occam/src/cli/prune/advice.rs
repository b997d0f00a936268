//! What to do where pruning cannot be done.

use std::path::Path;

use occam_prune::Error;
use occam_space::subnet::{self, Choices};
use occam_space::{Error as SpaceError, Trace};

use crate::diagnostic::Failure;

/// The error with the file it is about and what to do.
pub fn advise(error: Error, model: &Path) -> Failure {
    let units = format!("occam inspect {} --units", model.display());
    let help = match &error {
        Error::Unreachable { .. } => format!(
            "leave more of it, let units lose more by --max-ratio, --keep or --ratio, or see what must stay and why: {units}"
        ),
        Error::Nothing(_) => format!("{units} says of every unit why it must stay, and --keep what you keep"),
        Error::Target { .. } => "give the part that is to be left: 0.5 is the half".into(),
        Error::Weights { .. } => {
            "the file is damaged, or its training diverged: export it again from a good checkpoint".into()
        }
        Error::Needs { .. } => "take another --importance; group-l2 needs nothing but weights".into(),
        Error::Slow { .. } => {
            format!(
                "leave more of it, let units lose more by --max-ratio, --keep or --ratio, or see what must stay: {units}"
            )
        }
        Error::Latency(_) => return Failure::new(error.to_string()),
        Error::Data(_) => {
            "give images with --data, or take an --importance of the weights alone: group-l2".into()
        }
        Error::Pattern { .. } => format!("{units} lists them all"),
        Error::Graph(_) | Error::Space(_) | Error::Fuse { .. } | Error::Run(_) => {
            return Failure::new(format!("{}: {error}", model.display()));
        }
    };
    Failure::new(format!("{}: {error}", model.display())).with_help(help)
}

/// The width of every unit by a subnet file.
///
/// # Errors
/// It cannot be read, is no subnet file, or is one of another model.
pub fn widths(path: &Path, units: &Trace, model: &Path) -> Result<Vec<usize>, Failure> {
    let at = |message: String| Failure::new(format!("{}: {message}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| at(e.to_string()))?;
    let form = r#"{"UNIT": WIDTH, ..} or a mutator's config is read; --dump-subnet FILE writes one"#;
    let choices = subnet::parse(&text).map_err(|e| at(e.to_string()).with_help(form))?;
    let list = format!("occam inspect {} --units lists the units of this model", model.display());
    let strange = |choices: &Choices| choices.keys().filter(|name| units.find(name).is_err()).count();
    subnet::widths(units, &choices).map_err(|error| match error {
        SpaceError::UnknownUnit { .. } if strange(&choices) > 1 => at(format!(
            "{error}; {} of {} units of the file are not of this model",
            strange(&choices),
            choices.len()
        ))
        .with_help(format!("it is the subnet of another model; {list}")),
        error => at(error.to_string()).with_help(list),
    })
}
