//! Where in a checkpoint the weights are.

use std::collections::{HashSet, VecDeque};

use occam_graph::Weights;

use super::pickle::Program;
use super::storage::Storages;
use super::value::{Node, Value, View};
use super::{Fault, Skipped, StateDict};

/// Keys under which checkpoints hold a state dict, the weights that are trained before their averages.
const KEYS: [&str; 8] = [
    "state_dict",
    "model",
    "model_state_dict",
    "net",
    "ema_state_dict",
    "state_dict_ema",
    "model_ema",
    "ema",
];

/// Keys that lead to a state dict, at most.
const DEPTH: usize = 3;

/// Bytes that tensors may take beyond a multiple of what the file has.
const SLACK: u64 = 64 << 20;

/// Entries of an average beside its tensors.
const COUNTERS: [&str; 2] = ["steps", "n_averaged"];

/// How often the elements of a file may be repeated by tensors that share them.
const REPEATS: u64 = 8;

type Items<'a> = &'a [(Value, Value)];

/// The state dict of a program's result; see [`super::load`].
pub(super) fn find(
    program: &Program,
    storages: &Storages<'_>,
    key: Option<&str>,
    length: usize,
) -> Result<StateDict, Fault> {
    if let Some(Node::Opaque(class)) = program.node(&program.result) {
        return Err(format!(
            "it is a whole object of `{}`; save the `state_dict()` of the model instead",
            class.path()
        )
        .into());
    }
    let Some(root) = program.dict(&program.result) else {
        return Err(format!("it holds {}, and no state dict", program.kind(&program.result)).into());
    };
    let mut found = Vec::new();
    candidates(program, root, &mut Vec::new(), &mut found);
    let (at, items) = match key {
        Some(key) => asked(program, root, key, &found)?,
        None => match found.first() {
            Some(first) => first.clone(),
            None => {
                let elsewhere = anywhere(program, root);
                if elsewhere.is_empty() {
                    let keys = listed(root.iter().map(|(key, value)| {
                        let key = match key {
                            Value::Str(name) => name.to_string(),
                            other => program.kind(other),
                        };
                        format!("{key} ({})", what(program, value))
                    }));
                    return Err(format!("it has no tensors by name; its keys are {keys}").into());
                }
                return Err(Fault::Key(format!(
                    "the usual places have no weights; name one of those that have: {}",
                    listed(elsewhere.into_iter())
                )));
            }
        },
    };
    let others = found.iter().map(|(path, _)| path.join(".")).filter(|p| *p != at.join(".")).collect();
    collect(program, storages, at, items, others, length)
}

/// All dicts with tensors by name, the likeliest first.
fn candidates<'a>(
    program: &'a Program,
    items: Items<'a>,
    path: &mut Vec<String>,
    found: &mut Vec<(Vec<String>, Items<'a>)>,
) {
    let counters = |name: &str| COUNTERS.contains(&name);
    if tensors(program, items).any(|(name, _)| !counters(name)) {
        found.push((path.clone(), items));
    }
    if path.len() == DEPTH {
        return;
    }
    for key in KEYS {
        if let Some(inner) = get(items, key).and_then(|value| program.dict(value)) {
            path.push(key.to_owned());
            candidates(program, inner, path, found);
            path.pop();
        }
    }
}

/// Where under other keys than the usual there are dicts with tensors by name.
fn anywhere(program: &Program, root: Items<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut next = VecDeque::from([(String::new(), root, 0)]);
    while let Some((path, items, depth)) = next.pop_front() {
        for (key, value) in items {
            let (Value::Str(key), Value::Node(id), Some(inner)) = (key, value, program.dict(value)) else {
                continue;
            };
            if depth == DEPTH || !seen.insert(*id) {
                continue;
            }
            let path = if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
            if tensors(program, inner).any(|(name, _)| !COUNTERS.contains(&name)) {
                found.push(path.clone());
            }
            next.push_back((path, inner, depth + 1));
        }
    }
    found
}

/// What an entry is that is no tensor that arrays can be.
fn what(program: &Program, value: &Value) -> String {
    let Some(Node::Opaque(class)) = program.node(value) else { return program.kind(value) };
    let last = class.name.rsplit('.').next().unwrap_or_default();
    match last {
        "_rebuild_qtensor" => "a quantized tensor".into(),
        "_rebuild_sparse_tensor" => "a sparse tensor".into(),
        "_rebuild_meta_tensor_no_storage" => "a tensor without elements".into(),
        "_reconstruct" | "_frombuffer" if class.module.starts_with("numpy") => "a NumPy array".into(),
        _ => program.kind(value),
    }
}

/// The dict under the keys that `key` gives.
fn asked<'a>(
    program: &'a Program,
    root: Items<'a>,
    key: &str,
    found: &[(Vec<String>, Items<'a>)],
) -> Result<(Vec<String>, Items<'a>), Fault> {
    let mut items = root;
    let mut path = Vec::new();
    for part in key.split('.').filter(|part| !part.is_empty()) {
        path.push(part.to_owned());
        items = get(items, part).and_then(|value| program.dict(value)).ok_or_else(|| {
            let there =
                found.iter().map(|(p, _)| if p.is_empty() { "the file itself".into() } else { p.join(".") });
            Fault::Key(format!(
                "the file has no dict under `{}`; there are tensors under {}",
                path.join("."),
                listed(there)
            ))
        })?;
    }
    if tensors(program, items).next().is_none() {
        return Err(Fault::Key(format!("there are no tensors by name under `{key}`")));
    }
    Ok((path, items))
}

fn collect(
    program: &Program,
    storages: &Storages<'_>,
    at: Vec<String>,
    items: Items<'_>,
    others: Vec<String>,
    length: usize,
) -> Result<StateDict, Fault> {
    let named = || tensors(program, items).filter(|(name, _)| !COUNTERS.contains(name));
    let wrapped = named().next().is_some() && named().all(|(name, _)| name.starts_with("module."));
    let own = |name: &str| match name.strip_prefix("module.") {
        Some(inner) if wrapped => inner.to_owned(),
        _ => name.to_owned(),
    };
    let mut budget = (length as u64).saturating_mul(REPEATS).saturating_add(SLACK);
    let mut weights = Weights::with_capacity(items.len());
    for (name, view) in tensors(program, items) {
        weights.insert(own(name), storages.array(name, view, &mut budget)?);
    }
    let skipped = items
        .iter()
        .filter(|(_, value)| !matches!(program.node(value), Some(Node::Tensor(_))))
        .map(|(key, value)| Skipped {
            name: match key {
                Value::Str(name) => own(name),
                other => program.kind(other),
            },
            what: what(program, value),
        })
        .collect();
    Ok(StateDict { weights, at, others, skipped })
}

fn tensors<'a>(program: &'a Program, items: Items<'a>) -> impl Iterator<Item = (&'a str, &'a View)> {
    items.iter().filter_map(|(key, value)| match (key, program.node(value)) {
        (Value::Str(name), Some(Node::Tensor(view))) => Some((&**name, view)),
        _ => None,
    })
}

/// The value of the last entry of that name.
fn get<'a>(items: Items<'a>, key: &str) -> Option<&'a Value> {
    items.iter().rev().find(|(k, _)| matches!(k, Value::Str(name) if **name == *key)).map(|(_, value)| value)
}

/// The first of some names, for errors.
fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.take(9).collect();
    match names.as_slice() {
        [] => "none".into(),
        [first @ .., _] if names.len() == 9 => format!("{}, ..", first.join(", ")),
        all => all.join(", "),
    }
}
