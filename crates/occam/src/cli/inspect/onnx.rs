//! ONNX files.

use std::collections::BTreeMap;

use occam_graph::recognize::recognize;
use serde_json::json;

use super::Args;
use super::report::Report;
use crate::cli::{Outcome, sizes};
use crate::diagnostic::Failure;

/// Reads a file, recognizes its layers and tells what it found.
pub fn inspect(args: &Args, json: bool) -> Outcome {
    if args.shape.is_some() {
        return Err(Failure::new("--shape is for the models of configs")
            .with_help("set a size that the file leaves open by its name: --dim batch=8"));
    }
    if !args.config.cfg_options.is_empty() {
        return Err(Failure::new("--cfg-options is for the models of configs; an ONNX file has none"));
    }
    let mut imported = sizes::import_bound(&args.config.config, &args.dim)?;
    let found = recognize(&mut imported.graph, &mut imported.weights)?;
    let graph = &imported.graph;
    let mut bindings = sizes::open(graph, &[])?;
    bindings.extend(args.dim.iter().cloned());
    if args.units || args.why.is_some() {
        return super::units::tell(args, graph, json);
    }
    let mut notes = Vec::new();
    for &v in graph.inputs() {
        let value = graph.value(v)?;
        notes.push(format!("input {}: {}", value.name, value.fact));
    }
    for (name, v) in graph.outputs() {
        notes.push(format!("output {name}: {}", graph.value(*v)?.fact));
    }
    notes.push(format!(
        "{}, operators of version {}",
        match imported.origin.producer() {
            producer if producer.is_empty() => "written by an unnamed program".to_owned(),
            producer => format!("written by {producer}"),
        },
        imported.origin.opset()
    ));
    if !found.folded.is_empty() {
        let count = found.folded.len();
        notes.push(format!("batch normalization is folded into {count} convolutions, if there was any"));
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (kind, _) in &found.written_out {
        *kinds.entry(kind).or_default() += 1;
    }
    if !kinds.is_empty() {
        let list: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        notes.push(format!("recognized where it was written out in several nodes: {}", list.join(", ")));
    }
    if !found.left.is_empty() {
        let list: Vec<String> = found.left.iter().map(|(op, n)| format!("{n} {op}")).collect();
        notes.push(format!("kept as operators of ONNX: {}", list.join(", ")));
    }
    let given = |name: &str| args.dim.iter().any(|(n, _)| n == name);
    let open: Vec<&str> = bindings.keys().map(String::as_str).filter(|name| !given(name)).collect();
    if !open.is_empty() {
        notes.push(format!(
            "sizes that the file leaves open are 1, --dim NAME=N sets them: {}",
            open.join(", ")
        ));
    }
    let sizes = bindings.iter().map(|(name, n)| format!("{name} = {n}")).collect::<Vec<_>>().join(", ");
    notes.insert(0, String::new());
    let extra = vec![
        ("written_out", json!(kinds)),
        ("folded", json!(found.folded)),
        ("kept", json!(found.left)),
        ("sizes", json!(bindings)),
    ];
    let of = if sizes.is_empty() { "for one run".to_owned() } else { format!("for {sizes}") };
    Report { graph, bindings, of, notes, extra }.tell(args, json)
}
