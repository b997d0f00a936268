//! What `occam quantize` tells.

use occam_graph::Op;
use occam_quant::Kind;
use occam_quant::analyze::Rounding;
use occam_quant::guard::Guarded;
use occam_quant::mixed::Kept;
use occam_quant::passes::Report as Chosen;
use occam_quant::ptq::{Quantized, bits};
use serde_json::json;

use super::Args;
use crate::cli::Outcome;
use crate::console::{print_json, print_line};
use crate::table;

/// What a run has done.
pub(super) struct Report<'a> {
    pub args: &'a Args,
    pub quantized: &'a Quantized,
    /// What was done to keep the accuracy.
    pub kept: Option<&'a Kept>,
    /// What was measured.
    pub guarded: Option<&'a Guarded>,
    /// What rounding does to each value.
    pub roundings: Option<&'a [Rounding]>,
    /// Layers whose rounding was chosen, and those where it was not.
    pub rounded: Option<&'a Chosen>,
    /// Images that ranges were observed on.
    pub used: usize,
    pub seconds: f64,
}

impl Report<'_> {
    pub(super) fn tell(&self, json: bool) -> Outcome {
        let Self { args, quantized, used, seconds, .. } = self;
        let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let (before, after) = (size(&args.model), size(&args.output));
        let placed = &quantized.placed;
        let points = &placed.placement.points;
        let mut layers = Vec::new();
        for layer in &placed.layers {
            let node = quantized.graph.node(layer.node)?;
            let rounding = quantized.quants.get(layer.weight).map(|q| quantized.graph.node(q.node));
            let width = match rounding.transpose()?.map(|n| &n.op) {
                Some(Op::FakeQuant(op)) => bits(op),
                _ => 0,
            };
            layers.push((node.name.clone(), node.op.family_name(), width));
        }
        let activations = points.iter().filter(|p| p.kind == Kind::Activation).count();
        if json {
            let list: Vec<_> = layers
                .iter()
                .map(|(name, op, bits)| json!({ "layer": name, "op": op, "weight_bits": bits }))
                .collect();
            let left: Vec<_> = placed.left.iter().map(|l| json!({ "node": l.name, "why": l.why })).collect();
            print_json(&json!({
                "event": "quantize", "output": args.output, "backend": quantized.backend.name, "images": used,
                "layers": list, "activations": activations, "left": left, "bias_corrected": quantized.corrected,
                "bytes": { "before": before, "after": after }, "seconds": seconds, "peak_memory": crate::memory::peak(),
                "kept": self.kept.map(|k| json!({ "floats": k.floats, "all": k.all, "score": k.score, "models": k.scored })),
                "latency": self.guarded.map(|g| json!({
                    "float_ms": g.float.median(), "ms": g.integers.median(),
                    "speedup": g.integers.speedup(&g.float).median, "threads": rayon::current_num_threads(),
                    "tried": g.tried.iter().map(|t| json!({
                        "what": t.what, "count": t.count, "gain_in_floats": t.gain, "float": t.float,
                    })).collect::<Vec<_>>(),
                })),
                "rounded": self.rounded.map(|r| json!({ "layers": r.done, "left": r.skipped })),
                "roundings": self.roundings.map(|list| list.iter().map(|r| json!({
                    "name": r.name, "weight": r.kind == Kind::Weight, "range": [r.range.0, r.range.1],
                    "sqnr": r.sqnr.is_finite().then_some(r.sqnr), "clipped": r.clipped,
                })).collect::<Vec<_>>()),
            }));
            return Ok(());
        }
        if !placed.left.is_empty() {
            let rows: Vec<Vec<String>> =
                placed.left.iter().map(|l| vec![l.name.clone(), l.why.clone()]).collect();
            print_line(&table::render(&["stays in floats", "why"], &rows));
            print_line("");
        }
        if let Some(kept) = self.kept {
            print_line(&format!(
                "accuracy of the simulation: {:.2} % with all layers in integers, {:.2} % with {} in floats\n",
                kept.all,
                kept.score,
                kept.floats.len()
            ));
        }
        if let Some(rounded) = self.rounded {
            print_line(&format!(
                "rounding chosen in {} layers, to nearest in {}\n",
                rounded.done.len(),
                rounded.skipped.len()
            ));
        }
        if let Some(guarded) = self.guarded {
            let rows: Vec<Vec<String>> = guarded
                .tried
                .iter()
                .map(|t| {
                    let verdict = if t.float { "stay in floats" } else { "integers" };
                    let what = format!("{} {}", t.count, t.what);
                    vec![what, format!("{:.3}x", t.gain), verdict.into()]
                })
                .collect();
            if !rows.is_empty() {
                print_line(&table::render(&["measured", "faster in floats", ""], &rows));
                print_line("");
            }
            let ratio = guarded.integers.speedup(&guarded.float);
            print_line(&format!(
                "latency: {:.2} ms -> {:.2} ms, {:.2}x ({:.2} to {:.2}), {} threads",
                guarded.float.median(),
                guarded.integers.median(),
                ratio.median,
                ratio.least,
                ratio.largest,
                rayon::current_num_threads()
            ));
            if ratio.median < 1.0 {
                print_line("warning: the integers are slower than the floats on this machine");
            }
        }
        if self.guarded.is_none() && args.measure.wanted(quantized) {
            print_line(
                "not measured: ONNX Runtime's library is not found (OCCAM_ONNXRUNTIME names it); integers may be slower than floats",
            );
        }
        let smaller = before as f64 / after.max(1) as f64;
        print_line(&format!(
            "{}: {} layers and {activations} activations are integers for {}; ranges of {used} images; {} -> {} \
             ({smaller:.2}x smaller); {seconds:.1} s",
            args.output.display(),
            layers.len(),
            quantized.backend.name,
            table::bytes(before),
            table::bytes(after),
        ));
        Ok(())
    }
}
