//! Prunes random channels of ONNX files, and writes beside each the same file with zeros in their place: `exact OUT FILE..`.
//!
//! Only units are pruned whose removal can be exact, or all with `ALL` in the environment.

use std::path::Path;

use occam_graph::recognize::recognize;
use occam_io::onnx;
use occam_space::{Selection, TraceOptions, shrink, trace, zeroed};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let out = args.next().ok_or("exact OUT FILE..")?;
    for path in args {
        if let Err(e) = one(Path::new(&out), &path) {
            println!("{path}: {e}");
        }
    }
    Ok(())
}

fn one(out: &Path, path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut imported = onnx::import(path, &Default::default())?;
    recognize(&mut imported.graph, &mut imported.weights)?;
    let units = trace(&imported.graph, &TraceOptions::default())?;
    let mut selection = Selection::all(&units);
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    let mut pruned = 0;
    for (i, unit) in units.units.iter().enumerate() {
        if unit.kept_by.is_none() && unit.channels > 1 && (unit.exact || std::env::var("ALL").is_ok()) {
            let mut keep: Vec<bool> = (0..unit.channels).map(|_| random() < 0.6).collect();
            if let Some(first) = keep.first_mut() {
                *first = true;
            }
            selection.set(&units, i, keep)?;
            pruned += 1;
        }
    }
    let (graph, weights) = shrink(&imported.graph, &imported.weights, &units, &selection)?;
    let stem = Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
    let model = onnx::export_imported(&graph, &weights, &imported.origin)?;
    onnx::write_model(out.join(format!("{stem}.small.onnx")), &model)?;
    let (graph, weights) = zeroed(&imported.graph, &imported.weights, &units, &selection)?;
    let model = onnx::export_imported(&graph, &weights, &imported.origin)?;
    onnx::write_model(out.join(format!("{stem}.zeros.onnx")), &model)?;
    let left_out = units.prunable().filter(|u| !u.exact).count();
    println!("{path}: {pruned} units pruned, {left_out} left out, which a layer takes statistics over");
    Ok(())
}
