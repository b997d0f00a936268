//! `occam prune --sparsity`: single weights become 0, shapes stay.

use std::path::Path;

use occam_io::onnx::{ImportOptions, export_imported, import, write_model};
use occam_prune::Scope;
use occam_prune::sparsity::{Outcome as Layer, Pattern, sparsify};
use serde_json::json;

use super::Outcome;
use crate::console::{print_json, print_line};
use crate::table;

/// Makes the smallest weights of `model` 0 and writes the same file with them to `output`.
pub fn run(
    model: &Path,
    output: &Path,
    pattern: Pattern,
    uniform: bool,
    keep: &[String],
    json: bool,
) -> Outcome {
    let mut imported = import(model, &ImportOptions::default())?;
    let scope = if uniform { Scope::Uniform } else { Scope::Global };
    let layers = sparsify(&imported.graph, &mut imported.weights, pattern, scope, keep)?;
    write_model(output, &export_imported(&imported.graph, &imported.weights, &imported.origin)?)?;
    tell(output, pattern, &layers, json);
    Ok(())
}

fn tell(output: &Path, pattern: Pattern, layers: &[Layer], json: bool) {
    let elements = |l: &Layer| l.shape.iter().product::<usize>();
    let sums = layers
        .iter()
        .fold([0; 3], |[all, before, after], l| [all + elements(l), before + l.before, after + l.after]);
    if json {
        let list: Vec<_> = layers
            .iter()
            .map(|l| {
                json!({
                    "weight": l.name, "nodes": l.nodes, "shape": l.shape, "elements": elements(l),
                    "zeros_before": l.before, "zeros": l.after, "kept": l.kept,
                })
            })
            .collect();
        print_json(&json!({
            "event": "sparsity", "output": output, "sparsity": pattern.to_string(), "layers": list,
            "elements": sums[0], "zeros_before": sums[1], "zeros": sums[2],
        }));
        return;
    }
    let part = |zeros: usize, all: usize| format!("{:.1} %", 100.0 * zeros as f64 / all.max(1) as f64);
    let row = |l: &Layer| {
        let shape: Vec<String> = l.shape.iter().map(ToString::to_string).collect();
        let why = l.kept.clone().unwrap_or_default();
        vec![l.name.clone(), shape.join("x"), l.after.to_string(), part(l.after, elements(l)), why]
    };
    let rows: Vec<Vec<String>> = layers.iter().map(row).collect();
    print_line(&table::render(&["weight", "shape", "zeros", "part", "left as it was, since"], &rows));
    print_line(&format!(
        "\n{}: {} of {} weights of convolutions and linear layers are 0, {}; {} before",
        output.display(),
        sums[2],
        sums[0],
        part(sums[2], sums[0]),
        part(sums[1], sums[0]),
    ));
}
