//! Times one global pruning decision on ONNX files: `prune PART FILE..`.

use std::time::Instant;

use occam_io::onnx;
use occam_prune::{Importance, Limits, Normalizer, Solver, Target, TargetKind, importance::Subject};
use occam_space::{TraceOptions, shrink, trace};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let part: f64 = args.next().ok_or("prune PART FILE..")?.parse()?;
    for path in args {
        if let Err(e) = one(part, &path) {
            println!("{path}: {e}");
        }
    }
    Ok(())
}

fn one(part: f64, path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let t0 = Instant::now();
    let imported = onnx::import(path, &Default::default())?;
    let t1 = Instant::now();
    let units = trace(&imported.graph, &TraceOptions::default())?;
    let t2 = Instant::now();
    let subject = Subject { graph: &imported.graph, weights: &imported.weights, trace: &units, seed: 0 };
    let importance = Importance::find("group-l2").ok_or("no importance")?;
    let mut scores = importance.score(&subject)?;
    Normalizer::Mean.apply(&mut scores);
    let t3 = Instant::now();
    let bindings =
        imported.graph.values().flat_map(|(_, v)| v.fact.shape.iter()).map(|d| (d.to_string(), 1)).collect();
    let solver = Solver::new(&imported.graph, &units, scores, &Limits::default(), &bindings)?;
    let outcome = solver.solve(Target { kind: TargetKind::Macs, part })?;
    let t4 = Instant::now();
    let (small, _) = shrink(&imported.graph, &imported.weights, &units, &outcome.selection)?;
    let t5 = Instant::now();
    let cost = small.cost(&bindings)?;
    println!(
        "{path}: {} units, {:.4} of MACs ({}), import {:?}, trace {:?}, score {:?}, solve {:?}, shrink {:?}",
        units.prunable().count(),
        outcome.after.macs as f64 / outcome.before.macs as f64,
        cost.total.macs == outcome.after.macs && cost.params == outcome.after.params,
        t1 - t0,
        t2 - t1,
        t3 - t2,
        t4 - t3,
        t5 - t4
    );
    Ok(())
}
