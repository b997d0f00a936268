//! Module paths, recovered from names.

use std::collections::{BTreeMap, HashSet};

use crate::{Call, Graph, NodeId, Result, Source, ValueId};

/// Modules lie in modules less deep than this.
const LEVELS: usize = 64;

/// The path of the module that a node is part of; none where its name does not say.
///
/// PyTorch's exporter calls nodes `/layer1/layer1.0/conv1/Conv`: a module a segment, where a segment that is a path itself
/// (`layer1.0`) goes on from its parent (`layer1`), and the operator at the end.
pub fn module_path(name: &str) -> Option<String> {
    let mut segments: Vec<&str> = name.strip_prefix('/')?.split('/').collect();
    segments.pop()?;
    let mut path: Vec<&str> = Vec::new();
    for segment in segments {
        let parent = path.last().copied();
        if parent.is_some_and(|p| segment.strip_prefix(p).is_some_and(|rest| rest.starts_with('.'))) {
            path.pop();
        }
        path.push(segment);
    }
    (!path.is_empty()).then(|| path.join("."))
}

/// The path of the module that owns a parameter: its name without the last part.
fn owner(name: &str) -> Option<&str> {
    let (path, last) = name.rsplit_once('.')?;
    matches!(last, "weight" | "bias" | "gamma" | "beta" | "running_mean" | "running_var").then_some(path)
}

/// Notes a call of every module whose path the names of nodes or of their parameters tell.
pub(super) fn note(graph: &mut Graph) -> Result<()> {
    let mut members: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
    for id in graph.order()? {
        let node = graph.node(id)?;
        let of_params = node.inputs.iter().find_map(|&v| {
            let value = graph.value(v).ok()?;
            value.role().and_then(|_| owner(&value.name)).map(str::to_owned)
        });
        let Some(path) = module_path(&node.name).or(of_params) else { continue };
        // Every level has a path of its own: in names of more levels than modules have, dots mean something else.
        if path.bytes().filter(|&b| b == b'.').count() >= LEVELS {
            continue;
        }
        let ends = path.match_indices('.').map(|(i, _)| i).chain([path.len()]);
        for end in ends {
            members.entry(path.get(..end).unwrap_or(&path).to_owned()).or_default().push(id);
        }
    }
    let readers = readers(graph);
    let returned: HashSet<ValueId> = graph.outputs.iter().map(|(_, v)| *v).collect();
    for (path, nodes) in members {
        if graph.modules.contains_key(&path) {
            continue;
        }
        let inside: HashSet<NodeId> = nodes.iter().copied().collect();
        let mut taken = HashSet::new();
        let (mut inputs, mut outputs): (Vec<ValueId>, Vec<ValueId>) = (Vec::new(), Vec::new());
        for &id in &nodes {
            let node = graph.node(id)?;
            for &v in &node.inputs {
                let outside = match graph.value(v)?.source {
                    Source::Node(from, _) => !inside.contains(&from),
                    Source::Input => true,
                    Source::Param(_) | Source::Const => false,
                };
                if outside && taken.insert(v) {
                    inputs.push(v);
                }
            }
            for &v in &node.outputs {
                let read = readers.get(&v).is_some_and(|r| r.iter().any(|n| !inside.contains(n)));
                if read || returned.contains(&v) {
                    outputs.push(v);
                }
            }
        }
        let tuple = outputs.len() != 1;
        graph.modules.entry(path).or_default().push(Call { inputs, outputs, tuple });
    }
    Ok(())
}

fn readers(graph: &Graph) -> BTreeMap<ValueId, Vec<NodeId>> {
    let mut readers: BTreeMap<ValueId, Vec<NodeId>> = BTreeMap::new();
    for (id, node) in graph.nodes() {
        for &v in &node.inputs {
            readers.entry(v).or_default().push(id);
        }
    }
    readers
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_of_names() {
        for (name, wanted) in [
            ("/layer1/layer1.0/conv1/Conv", Some("layer1.0.conv1")),
            ("/backbone/layer1/layer1.0/relu_1/Relu", Some("backbone.layer1.0.relu_1")),
            ("/features/features.18/features.18.2/Clip", Some("features.18.2")),
            ("/Add", None),
            ("Conv_0", None),
        ] {
            assert_eq!(super::module_path(name).as_deref(), wanted, "{name}");
        }
    }
}
