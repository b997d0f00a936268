//! What was measured of files.

use std::path::PathBuf;

use occam_quant::simulate::Saturation;
use occam_runtime::latency::Times;
use serde_json::{Value, json};

use super::compare::{Seen, Tally};
use crate::table;

/// Layers in which something saturated that are told to people.
const LAYERS: usize = 10;

/// A file that was measured.
pub struct Measured {
    pub file: PathBuf,
    /// Name and version.
    pub runtime: String,
    /// Where the images have classes.
    pub tally: Option<Tally>,
    /// Milliseconds of a run.
    pub times: Option<Times>,
    /// Where a processor is simulated whose sums saturate.
    pub saturation: Option<Vec<Saturation>>,
}

/// One file, or two against each other.
pub struct Report {
    pub measured: Vec<Measured>,
    pub alike: Option<Seen>,
    pub images: u64,
    pub threads: usize,
    pub latency_batch: usize,
}

impl Report {
    /// For machines.
    pub fn to_json(&self) -> Value {
        let files: Vec<Value> = self.measured.iter().map(one).collect();
        let speedup =
            self.speedup().map(|r| json!({ "median": r.median, "least": r.least, "largest": r.largest }));
        let mut all = json!({
            "images": self.images, "threads": self.threads, "latency_batch": self.latency_batch, "speedup": speedup,
            "agreement": self.alike.as_ref().map(Seen::agreement),
            "cosine": self.alike.as_ref().map(Seen::mean),
            "cosine_least": self.alike.as_ref().map(|a| a.least),
            "largest_difference": self.alike.as_ref().map(|a| a.largest),
        });
        if let (Some(all), [first, rest @ ..]) = (all.as_object_mut(), files.as_slice()) {
            all.insert("model".into(), first.clone());
            if let Some(against) = rest.first() {
                all.insert("against".into(), against.clone());
            }
            all.retain(|_, v| !v.is_null());
        }
        all
    }

    /// How often the first file runs in the time of the second.
    fn speedup(&self) -> Option<occam_runtime::latency::Ratio> {
        match self.measured.as_slice() {
            [a, b] => Some(a.times.as_ref()?.speedup(b.times.as_ref()?)),
            _ => None,
        }
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut rows = Vec::new();
        let mut row = |name: &str, cell: &dyn Fn(&Measured) -> Option<String>| {
            let cells: Vec<Option<String>> = self.measured.iter().map(cell).collect();
            if cells.iter().any(Option::is_some) {
                let cells = cells.into_iter().map(|c| c.unwrap_or_else(|| "-".into()));
                rows.push(std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>());
            }
        };
        row("runtime", &|m| Some(m.runtime.clone()));
        row("size", &|m| Some(table::bytes(std::fs::metadata(&m.file).ok()?.len())));
        row("top 1", &|m| m.tally.as_ref().map(|t| format!("{:.2} %", t.top1())));
        row("top 5", &|m| m.tally.as_ref().and_then(Tally::top5).map(|x| format!("{x:.2} %")));
        row("median run", &|m| m.times.as_ref().map(|t| format!("{:.3} ms", t.median())));
        row("fastest run", &|m| m.times.as_ref().map(|t| format!("{:.3} ms", t.min())));
        let names: Vec<String> = self
            .measured
            .iter()
            .map(|m| m.file.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()))
            .collect();
        let header: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
        let mut text = table::render(&header, &rows);
        let mut notes = Vec::new();
        if self.images > 0 {
            notes.push(format!("{} images", self.images));
        }
        if self.measured.iter().any(|m| m.times.is_some()) {
            notes.push(format!("runs of {} with {} threads, in turns", self.latency_batch, self.threads));
        }
        if !notes.is_empty() {
            text.push_str(&format!("\n\n{}", notes.join("; ")));
        }
        if let Some(r) = self.speedup() {
            let line = format!(
                "\n{:.2}x as fast as the second ({:.2}x to {:.2}x by round)",
                r.median, r.least, r.largest
            );
            text.push_str(&line);
        }
        if let Some(alike) = &self.alike {
            text.push_str(&format!(
                "\nthe same class for {:.2} % of the images; cosine of the scores {:.6} on average, {:.6} at least",
                alike.agreement(),
                alike.mean(),
                alike.least
            ));
        }
        for m in &self.measured {
            text.push_str(&saturated(m));
        }
        text
    }
}

fn one(m: &Measured) -> Value {
    let times = m.times.as_ref().map(|t| {
        json!({ "median_ms": t.median(), "min_ms": t.min(), "quartiles_ms": t.quartiles(), "round_median_ms": t.medians() })
    });
    let layers = m.saturation.as_ref().map(|all| {
        let layer = |s: &Saturation| {
            json!({
                "node": s.node, "pairs": s.pairs, "saturated": s.saturated, "results": s.results,
                "changed": s.changed, "worst": s.worst,
            })
        };
        all.iter().map(layer).collect::<Vec<_>>()
    });
    let mut all = json!({
        "file": m.file, "runtime": m.runtime, "top1": m.tally.as_ref().map(Tally::top1),
        "top5": m.tally.as_ref().and_then(Tally::top5), "latency": times, "saturation": layers,
    });
    if let Some(all) = all.as_object_mut() {
        all.retain(|_, v| !v.is_null());
    }
    all
}

/// What saturated, for people.
fn saturated(m: &Measured) -> String {
    let Some(all) = &m.saturation else { return String::new() };
    let mut hit: Vec<&Saturation> = all.iter().filter(|s| s.changed > 0).collect();
    if hit.is_empty() {
        return format!(
            "\n\nnothing saturated on {}; the weights of {} layers are so large that it can",
            m.runtime,
            all.len()
        );
    }
    hit.sort_by(|a, b| (b.changed * a.results.max(1)).cmp(&(a.changed * b.results.max(1))));
    let part = |n: u64, of: u64| format!("{:.4} %", 100.0 * n as f64 / of.max(1) as f64);
    let rows: Vec<Vec<String>> = hit
        .iter()
        .take(LAYERS)
        .map(|s| {
            vec![
                s.node.clone(),
                part(s.changed, s.results),
                part(s.saturated, s.pairs),
                format!("{:.1} %", 100.0 * s.worst),
            ]
        })
        .collect();
    let header = ["layer", "wrong sums", "pairs", "largest error"];
    format!(
        "\n\nwarning: sums saturate on {} in {} layers, and can in {}; weights of 7 bits never do\n\n{}",
        m.runtime,
        hit.len(),
        all.len(),
        table::render(&header, &rows)
    )
}
