//! What people and machines see while a command runs.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use miette::GraphicalReportHandler;
use occam_train::reporter::{Log, Progress, Reporter};
use serde_json::json;

use crate::diagnostic::Failure;

/// Shows an error: with the lines it is about on a terminal and when piped, as one JSON line for machines.
pub fn report_error(error: &Failure, json: bool) {
    if json {
        print_json(&error.to_json());
        return;
    }
    let theme = if std::io::stderr().is_terminal() {
        miette::GraphicalTheme::unicode()
    } else {
        miette::GraphicalTheme::unicode_nocolor()
    };
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
    if handler.render_report(&mut text, error).is_err() {
        text = format!("{error}\n");
    }
    let mut stderr = std::io::stderr().lock();
    // Where even stderr is gone there is nobody to tell.
    let _ = write!(stderr, "Error: {}", text.trim_start_matches('\n'));
}

/// Tells that a command was stopped, in lines that can be copied.
pub fn report_stop(stop: &Failure, json: bool) {
    if json {
        print_json(&stop.to_json());
        return;
    }
    eprintln!("{stop}");
    if let Some(help) = miette::Diagnostic::help(stop) {
        eprintln!("{help}");
    }
}

/// One line of JSON on standard output.
pub fn print_json(value: &serde_json::Value) {
    // JSON writes control characters out in its own way.
    put(&value.to_string());
}

/// One line on standard output. A closed pipe ends the program quietly, as of any filter; a line that cannot be written
/// otherwise is an error.
pub fn print_line(text: &str) {
    put(&harmless(text));
}

fn put(text: &str) {
    if let Err(e) = try_print(text) {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            // What a shell reports of a program that a broken pipe ended.
            std::process::exit(141);
        }
        eprintln!("Error: standard output cannot be written: {e}");
        std::process::exit(2);
    }
}

/// `text` with control characters written out: names come from files of others, and terminals obey them.
fn harmless(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if obeyed(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn try_print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// The reporter that fits where output goes.
pub fn reporter(json: bool) -> Box<dyn Reporter> {
    if json {
        Box::new(Json)
    } else if std::io::stderr().is_terminal() {
        Box::new(Bars { bar: None, stage: String::new() })
    } else {
        Box::new(Lines { last: None, stage: String::new(), started: Instant::now(), first: 0 })
    }
}

/// A reporter of what only somebody who waits at a terminal wants to know.
pub fn terminal(json: bool) -> Option<Box<dyn Reporter>> {
    (!json && std::io::stderr().is_terminal()).then(|| reporter(false))
}

/// A progress bar with rate, time left and loss; logs go above it.
struct Bars {
    bar: Option<ProgressBar>,
    stage: String,
}

impl Bars {
    fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }
}

/// Time over which a rate is worth telling.
const SETTLED: Duration = Duration::from_millis(300);

/// Steps a second, to one decimal.
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    // Text in memory cannot fail to be written.
    let _ = match state.elapsed() < SETTLED {
        true => write!(out, "-/s"),
        false => write!(out, "{:.1}/s", state.per_sec()),
    };
}

impl Reporter for Bars {
    fn progress(&mut self, p: &Progress<'_>) {
        if self.bar.is_none() || self.stage != p.stage {
            self.finished();
            let template = "{prefix:>6} [{bar:30}] {pos}/{len}  {rate}  {eta} left  {msg}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .with_key("rate", rate)
                .progress_chars("=> ");
            let bar = ProgressBar::new(p.total).with_style(style).with_prefix(p.stage.to_owned());
            // Steps of an earlier run must not count into the rate.
            bar.set_position(p.done.saturating_sub(1));
            bar.reset_eta();
            self.stage = p.stage.to_owned();
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(p.done);
            if let Some(loss) = p.loss {
                bar.set_message(format!("loss {loss:.4}"));
            }
        }
    }

    fn finished(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn log(&mut self, log: &Log<'_>) {
        self.print(log.line);
    }

    fn message(&mut self, text: &str) {
        self.print(text);
    }
}

/// Plain lines, at most one every few seconds.
struct Lines {
    last: Option<Instant>,
    stage: String,
    started: Instant,
    first: u64,
}

const QUIET: Duration = Duration::from_secs(10);

impl Reporter for Lines {
    fn progress(&mut self, p: &Progress<'_>) {
        let now = Instant::now();
        if self.stage != p.stage || p.done <= 1 {
            self.stage = p.stage.to_owned();
            self.started = now;
            self.first = p.done;
            self.last = Some(now);
            return;
        }
        if self.last.is_some_and(|last| now - last < QUIET) {
            return;
        }
        self.last = Some(now);
        let seconds = (now - self.started).as_secs_f64();
        let rate = p.done.saturating_sub(self.first) as f64 / seconds.max(1e-9);
        let left = p.total.saturating_sub(p.done) as f64 / rate.max(1e-9);
        let loss = p.loss.map(|l| format!(", loss {l:.4}")).unwrap_or_default();
        eprintln!("{}: {}/{}, {rate:.1}/s, {left:.0} s left{loss}", p.stage, p.done, p.total);
    }

    fn finished(&mut self) {
        self.last = None;
        self.stage.clear();
    }

    fn log(&mut self, log: &Log<'_>) {
        // A line of the log tells more than one of progress.
        self.last = self.last.map(|_| Instant::now());
        eprintln!("{}", log.line);
    }

    fn message(&mut self, text: &str) {
        eprintln!("{text}");
    }
}

/// One JSON object a line on standard output.
struct Json;

impl Reporter for Json {
    fn log(&mut self, log: &Log<'_>) {
        let Log { stage, epoch, iter, values, .. } = log;
        // A listener that went away must not end a training.
        let _ =
            try_print(&json!({ "event": stage, "epoch": epoch, "iter": iter, "values": values }).to_string());
    }

    fn message(&mut self, text: &str) {
        let _ = try_print(&json!({ "event": "message", "text": text }).to_string());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn terminals_obey_no_name() {
        assert_eq!(super::harmless("a\tb\nü"), "a\tb\nü");
        assert_eq!(super::harmless("\u{1b}[31mred\u{7}"), "\\u{1b}[31mred\\u{7}");
    }
}
