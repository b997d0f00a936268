//! Parts of a file's model that do not learn.

use std::collections::BTreeSet;

use occam_config::{Error as ConfigError, Value, suggest};
use occam_graph::recognize::module_path;
use occam_graph::{Graph, ValueId};
use regex_lite::Regex;

use crate::{Error, Result};

/// Freezes the parameters that `entry` names: by their own name, the name of a node that reads them, or the path of the
/// module that such a node is part of. It is a regular expression for the name up to a dot, a slash or its end, so
/// `layer1` is all of `layer1.0.conv1` and nothing of `layer10`.
///
/// # Errors
/// It is no text or no regular expression, or names nothing.
pub(super) fn freeze(graph: &mut Graph, entry: &Value) -> Result<()> {
    let wrong = |message: String| ConfigError::new(message).at(entry);
    let Some(text) = entry.as_str() else {
        return Err(Error::Config(wrong("`frozen` must be a list of str".into())));
    };
    let regex = Regex::new(&format!("^(?:{text})(?:$|[./])"))
        .map_err(|e| Error::Config(wrong(format!("{text:?} is no regular expression: {e}"))))?;
    let mut names = BTreeSet::new();
    let mut found: Vec<ValueId> = Vec::new();
    for (id, value) in graph.params() {
        let mut own = vec![value.name.clone()];
        for (node, _) in graph.readers(id) {
            let node = &graph.node(node)?.name;
            own.extend(module_path(node));
            own.push(node.clone());
        }
        if own.iter().any(|name| regex.is_match(name)) {
            found.push(id);
        }
        names.extend(own);
    }
    if found.is_empty() {
        names.extend(graph.modules().keys().cloned());
        let error = wrong(format!("`frozen`: {text:?} is no module, node or parameter with weights"));
        let meant = suggest(text, names.iter().map(String::as_str));
        return Err(Error::Config(match meant {
            Some(meant) => error.with_help(format!("did you mean `{meant}`?")),
            None => error.with_help("`occam inspect` shows the names"),
        }));
    }
    for id in found {
        graph.freeze(id)?;
    }
    Ok(())
}
