//! What `occam prune` tells.

use std::path::Path;

use occam_prune::Outcome as Found;
use occam_space::Trace;
use serde_json::json;

use super::Args;
use super::finetune::Accuracy;
use super::latency::Timing;
use super::stages::Stages;
use crate::console::{print_json, print_line};
use crate::table;

/// What a run has found.
pub(super) struct Report<'a> {
    pub units: &'a Trace,
    pub found: &'a Found,
    pub accuracy: Option<&'a Accuracy>,
    pub timing: Option<&'a Timing>,
    pub stages: &'a Stages,
}

impl Args {
    /// The widths before and after of units that have become narrower, and what the whole model needs.
    pub(super) fn tell(&self, report: &Report<'_>, json: bool) {
        let Report { units, found, stages, .. } = report;
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let bytes = [Some(size(&self.model)), self.output.as_deref().map(size)];
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
            let needs = |r: &occam_space::Resources, bytes: Option<u64>| json!({ "macs": r.macs, "params": r.params, "activations": r.activations, "bytes": bytes });
            print_json(&json!({
                "event": "prune", "output": self.output, "importance": self.importance, "units": list,
                "of": units.units.len(), "before": needs(before, bytes[0]), "after": needs(after, bytes[1]),
                "fixed": needs(&stages.fixed, None), "times": stages.to_json(), "seconds": stages.seconds(),
                "latency": report.timing.map(|t| t.to_json(units)),
                "accuracy": report.accuracy.map(|a| json!({ "before": a.before, "pruned": a.pruned, "tuned": a.tuned, "on": a.on })),
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
        let mut totals = vec![
            row("MACs", before.macs, after.macs, table::count),
            row("parameters", before.params, after.params, table::count),
            row("activations", before.activations, after.activations, table::count),
        ];
        if let [Some(before), Some(after)] = bytes {
            totals.push(row("file", before, after, table::bytes));
        }
        print_line(&format!("\n{}", table::render(&["", "before", "after", "smaller"], &totals)));
        if let Some(timing) = report.timing {
            print_line(&format!("\n{}", timing.to_text()));
        }
        if let Some(a) = report.accuracy {
            let tuned = a.tuned.map(|t| format!(", {t:.2} % fine-tuned")).unwrap_or_default();
            print_line(&format!(
                "\naccuracy: {:.2} % before, {:.2} % pruned{tuned}; on {}",
                a.before, a.pruned, a.on
            ));
        }
        let kept = units.units.len() - changed.len();
        if stages.inner > 0 {
            print_line(&format!(
                "\n{} sizes that only running tells are counted as 1 where --dim gives no other",
                stages.inner
            ));
        }
        let file =
            self.output.as_ref().map_or("no model is written".into(), |path| path.display().to_string());
        print_line(&format!(
            "\n{file}: {} of {} units are narrower, {kept} must stay as they are; {:.2} s",
            rows.len(),
            units.units.len(),
            stages.seconds()
        ));
    }
}
