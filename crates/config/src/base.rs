//! Finding the files that a config builds on.

use std::path::{Component, Path, PathBuf};

use crate::{Error, Kind, Value, suggest};

/// Most names of a folder that are looked at for one that might be meant.
const MAX_NEIGHBOURS: usize = 10_000;

/// A base file.
pub(crate) struct Base {
    pub(crate) path: PathBuf,
    /// The project it belongs to, if it is named as `project::path`.
    pub(crate) scope: Option<String>,
}

/// The bases that the value of `_base_` names: none for `None` or `''`, one for another str, several
/// for a list of them.
///
/// # Errors
/// The value is or holds anything else.
pub(crate) fn names(value: &Value) -> Result<Vec<&Value>, Error> {
    let names = match &value.kind {
        Kind::None => Vec::new(),
        Kind::Str(text) if text.is_empty() => Vec::new(),
        Kind::List(names) | Kind::Tuple(names) => names.iter().collect(),
        _ => vec![value],
    };
    match names.iter().find(|name| name.as_str().is_none()) {
        Some(other) => {
            let found = other.kind.python_name();
            Err(Error::new(format!("`_base_` must be a str or a list of them, found {found}")).at(other))
        }
        None => Ok(names),
    }
}

/// Finds the file that `name` means in a config in the folder `dir`.
///
/// `project::path` is looked up below each root of the search path, in the order
/// `<root>/project/path`, `<root>/project/.mim/configs/path` (a site-packages folder), `<root>/path`.
/// Anything else is a path relative to `dir`.
///
/// # Errors
/// There is no such file; the help names the places that were looked at.
pub(crate) fn locate(name: &str, dir: &Path, search_path: &[PathBuf]) -> Result<Base, Error> {
    let (scope, candidates) = match name.split_once("::") {
        None => (None, vec![dir.join(name)]),
        Some((project, path)) => {
            let below = |root: &PathBuf| {
                let project = root.join(project);
                [project.join(path), project.join(".mim/configs").join(path), root.join(path)]
            };
            (Some(project.to_owned()), search_path.iter().flat_map(below).collect())
        }
    };
    match candidates.iter().find(|candidate| candidate.is_file()) {
        Some(path) => Ok(Base { path: tidy(path), scope }),
        None => Err(not_found(name, scope.as_deref(), &candidates)),
    }
}

fn not_found(name: &str, scope: Option<&str>, candidates: &[PathBuf]) -> Error {
    let error = Error::new(format!("there is no base file {name:?}"));
    let places: Vec<_> = candidates.iter().map(|path| tidy(path).display().to_string()).collect();
    let mut looked = format!("looked for {}", places.join(", "));
    if let Some(project) = scope {
        let place = format!("a folder that holds `{project}`, such as Python's site-packages");
        let advice = format!("add {place}, to the search path: --config-path or OCCAM_CONFIG_PATH");
        looked = if places.is_empty() { advice } else { format!("{looked}; {advice}") };
    }
    error.with_help(match candidates.iter().find_map(|path| neighbour(path)) {
        Some(meant) => format!("did you mean {meant:?}? {looked}"),
        None => looked,
    })
}

/// A file beside `path` whose name is much like it.
pub(crate) fn neighbour(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let entries = std::fs::read_dir(path.parent()?).ok()?;
    let names: Vec<String> =
        entries.take(MAX_NEIGHBOURS).filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    suggest(name, names.iter().map(String::as_str)).map(ToOwned::to_owned)
}

/// The path without `.`, and without `..` wherever that is a step back from a folder that is no link.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(tidied.components().next_back(), Some(Component::Normal(_)))
                    && !tidied.is_symlink() =>
            {
                tidied.pop();
            }
            _ => tidied.push(component),
        }
    }
    tidied
}
