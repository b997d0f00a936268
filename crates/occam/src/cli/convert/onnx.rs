//! ONNX files from ONNX files.

use std::path::Path;

use occam_graph::recognize::recognize;
use occam_io::onnx::{ImportOptions, Imported, OPSETS, export_imported, import, read_model, write_model};
use serde_json::json;

use crate::cli::Outcome;
use crate::console::{print_json, print_line};
use crate::diagnostic::Failure;
use crate::table;

/// Reads a file and writes what was read, with the names, texts and operator set of the original.
pub fn convert(
    input: &Path,
    output: &Path,
    dim: &[(String, usize)],
    opset: Option<i64>,
    json: bool,
) -> Outcome {
    let dims = dim.iter().cloned().collect();
    let mut imported = import(input, &ImportOptions { dims, ..ImportOptions::default() })?;
    let before = imported.graph.nodes().count();
    let found = recognize(&mut imported.graph, &mut imported.weights)?;
    if let Some(opset) = opset {
        raise(&mut imported, opset)?;
    }
    let model = export_imported(&imported.graph, &imported.weights, &imported.origin)?;
    let (after, kept) = model.graph.as_ref().map_or((0, &[][..]), |g| (g.node.len(), &g.input));
    let lost: Vec<&str> =
        imported.origin.optional_inputs().filter(|name| !kept.iter().any(|i| i.name() == *name)).collect();
    write_model(output, &model)?;
    let size = std::fs::metadata(output).map_or(0, |m| m.len());
    if json {
        print_json(&json!({
            "event": "convert", "output": output, "bytes": size, "nodes": after,
            "recognized": found.written_out.len(), "no_longer_inputs": lost,
        }));
        return Ok(());
    }
    print_line(&format!(
        "{}: {before} nodes read, {after} written, {}",
        output.display(),
        table::bytes(size)
    ));
    if !lost.is_empty() {
        print_line(&format!(
            "inputs with a default that are constants now, --as-is keeps them: {}",
            super::some(&lost.iter().map(|&n| n.to_owned()).collect::<Vec<_>>())
        ));
    }
    Ok(())
}

/// Takes a model to a newer operator set.
///
/// # Errors
/// It is older, not supported, or a node means something else there.
pub fn raise(model: &mut Imported, opset: i64) -> Outcome {
    let own = model.origin.opset();
    model.raise(opset).map_err(|e| {
        let message = match e {
            occam_io::Error::Option { message, .. } => format!("--opset {opset}: {message}"),
            other => other.to_string(),
        };
        Failure::new(message)
            .with_help(format!("the file is of operator set {own}; files are written up to {}", OPSETS.end()))
    })
}

/// Writes a file as it was read; elements of files beside it come in.
pub fn copy(input: &Path, output: &Path, json: bool) -> Outcome {
    let model = read_model(input)?;
    let count = model.graph.as_ref().map_or(0, |g| g.node.len());
    write_model(output, &model)?;
    let size = std::fs::metadata(output).map_or(0, |m| m.len());
    if json {
        print_json(&json!({
            "event": "convert", "output": output, "bytes": size, "nodes": count, "recognized": 0,
        }));
    } else {
        print_line(&format!(
            "{}: {count} nodes written as they were read, {}",
            output.display(),
            table::bytes(size)
        ));
    }
    Ok(())
}
