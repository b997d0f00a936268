//! `occam train --dry-run`

use occam_config::Value;
use occam_train::RunOptions;
use occam_train::dry_run::{DryRun, Length, Source, dry_run};
use serde_json::json;

use super::Outcome;
use crate::console::{print_json, print_line};
use crate::{memory, table};

/// Tries a config without its data and says what a run of it would take.
///
/// # Errors
/// The config is wrong, or a step failed.
pub fn run(config: &Value, options: RunOptions<'_>, json: bool) -> Outcome {
    let run = dry_run(config, options)?;
    let peak = memory::peak();
    let threads = rayon::current_num_threads();
    if json {
        print_json(&json!({ "event": "dry_run", "threads": threads, "peak_rss_bytes": peak, "result": run }));
        return Ok(());
    }
    for line in lines(&run, peak, threads) {
        print_line(&line);
    }
    Ok(())
}

fn lines(run: &DryRun, peak: Option<u64>, threads: usize) -> Vec<String> {
    let [c, h, w] = run.image;
    let mut rows =
        vec![row("model", format!("{} parameters, images of {c}x{h}x{w}", table::count(run.params as u64)))];
    for (name, length) in [("training data", run.train), ("validation data", run.val)] {
        rows.extend(length.map(|length| row(name, data(&length))));
    }
    if let Some(seconds) = run.iteration_seconds.last() {
        let data = run
            .data_seconds
            .map_or_else(String::new, |s| format!("; transforming its data takes a thread {}", span(s)));
        rows.push(row("an iteration", format!("{} on {threads} threads{data}", span(*seconds))));
    }
    rows.extend(run.val_seconds.map(|s| row("a validation batch", span(s))));
    rows.extend(peak.map(|bytes| row("peak memory", table::bytes(bytes))));
    let length = match (run.epochs, run.iterations) {
        (Some(epochs), Some(iterations)) => {
            format!("{epochs} epochs of {} iterations", iterations / epochs.max(1))
        }
        _ => "of unknown length, since the data are not here".into(),
    };
    let time = run.whole_seconds.map_or_else(String::new, |s| format!(": about {} on this machine", span(s)));
    if run.train.is_some() {
        rows.push(row("the whole run", format!("{length}{time}")));
    }
    let mut lines: Vec<String> = rows.into_iter().map(|(name, value)| format!("{name:20}{value}")).collect();
    lines.push(String::new());
    lines.push(
        "the config can be run: everything was built, trained twice and validated on synthetic images".into(),
    );
    lines
}

fn row(name: &'static str, value: String) -> (&'static str, String) {
    (name, value)
}

fn data(length: &Length) -> String {
    let images = match (length.images, length.source) {
        (Some(n), Source::Data) => format!("{n} images"),
        (Some(n), _) => format!("not here; {n} images usually"),
        (None, _) => "not here".into(),
    };
    format!("{images}, {} a batch", length.batch)
}

/// A span of time for people.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_have_fitting_units() {
        let spans = [0.0123, 5.0, 150.0, 7300.0, 1e6].map(span);
        assert_eq!(spans, ["12.3 ms", "5.0 s", "2.5 min", "2.0 h", "11.6 days"]);
    }
}
