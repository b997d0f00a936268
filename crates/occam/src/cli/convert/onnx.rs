//! ONNX files from ONNX files.

use std::path::Path;

use occam_graph::recognize::recognize;
use occam_io::onnx::{ImportOptions, export_imported, import, write_model};
use serde_json::json;

use crate::cli::Outcome;
use crate::console::{print_json, print_line};
use crate::table;

/// Reads a file and writes what was read, with the names, texts and operator set of the original.
pub fn convert(input: &Path, output: &Path, as_is: bool, json: bool) -> Outcome {
    let mut imported = import(input, &ImportOptions { fold: !as_is })?;
    let before = imported.graph.nodes().count();
    let found = match as_is {
        true => None,
        false => Some(recognize(&mut imported.graph, &mut imported.weights)?),
    };
    let model = export_imported(&imported.graph, &imported.weights, &imported.origin)?;
    let after = model.graph.as_ref().map_or(0, |g| g.node.len());
    write_model(output, &model)?;
    let size = std::fs::metadata(output).map_or(0, |m| m.len());
    if json {
        let written_out = found.map_or(0, |f| f.written_out.len());
        print_json(&json!({
            "event": "convert", "output": output, "bytes": size, "nodes": after, "recognized": written_out,
        }));
    } else {
        print_line(&format!(
            "{}: {before} nodes read, {after} written, {}",
            output.display(),
            table::bytes(size)
        ));
    }
    Ok(())
}
