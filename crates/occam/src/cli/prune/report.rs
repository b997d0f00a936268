//! What `occam prune` tells.

use std::path::Path;

use occam_prune::Outcome as Found;
use occam_space::Trace;
use serde_json::json;

use super::Args;
use super::finetune::Accuracy;
use crate::console::{print_json, print_line};
use crate::table;

impl Args {
    /// The widths before and after of units that have become narrower, and what the whole model needs.
    pub(super) fn tell(
        &self,
        output: &Path,
        units: &Trace,
        found: &Found,
        accuracy: Option<&Accuracy>,
        seconds: f64,
        json: bool,
    ) {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let bytes = [size(&self.model), size(output)];
        let (before, after) = (&found.before, &found.after);
        let changed: Vec<_> = (units.units.iter().enumerate())
            .filter(|(_, u)| u.kept_by.is_none())
            .map(|(i, u)| (u, found.selection.width(i)))
            .collect();
        if json {
            let list: Vec<_> = changed
                .iter()
                .map(|(u, width)| json!({ "unit": u.name, "before": u.channels, "after": width, "exact": u.exact }))
                .collect();
            let needs = |r: &occam_space::Resources, bytes: u64| json!({ "macs": r.macs, "params": r.params, "activations": r.activations, "bytes": bytes });
            print_json(&json!({
                "event": "prune", "output": output, "importance": self.importance, "units": list,
                "before": needs(before, bytes[0]), "after": needs(after, bytes[1]), "seconds": seconds,
                "accuracy": accuracy.map(|a| json!({ "before": a.before, "pruned": a.pruned, "tuned": a.tuned, "on": a.on })),
            }));
            return;
        }
        let rows: Vec<Vec<String>> = changed
            .iter()
            .filter(|(u, width)| *width < u.channels)
            .map(|(u, width)| {
                let part = 100.0 * *width as f64 / u.channels as f64;
                vec![u.name.clone(), u.channels.to_string(), width.to_string(), format!("{part:.0} %")]
            })
            .collect();
        print_line(&table::render(&["unit", "before", "after", "kept"], &rows));
        let times = |a: u64, b: u64| format!("{:.2}x", a as f64 / b.max(1) as f64);
        let row = |what: &str, a: u64, b: u64, show: fn(u64) -> String| {
            vec![what.to_owned(), show(a), show(b), times(a, b)]
        };
        let totals = vec![
            row("MACs", before.macs, after.macs, table::count),
            row("parameters", before.params, after.params, table::count),
            row("activations", before.activations, after.activations, table::count),
            row("file", bytes[0], bytes[1], table::bytes),
        ];
        print_line(&format!("\n{}", table::render(&["", "before", "after", "smaller"], &totals)));
        if let Some(a) = accuracy {
            let tuned = a.tuned.map(|t| format!(", {t:.2} % fine-tuned")).unwrap_or_default();
            print_line(&format!(
                "\naccuracy: {:.2} % before, {:.2} % pruned{tuned}; on {}",
                a.before, a.pruned, a.on
            ));
        }
        let kept = units.units.len() - changed.len();
        print_line(&format!(
            "\n{}: {} of {} units are narrower, {kept} must stay as they are; found in {seconds:.2} s",
            output.display(),
            rows.len(),
            units.units.len()
        ));
    }
}
