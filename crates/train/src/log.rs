//! Lines of the training log: `log_processor`.

use std::collections::VecDeque;

use indexmap::IndexMap;
use occam_config::{Error as ConfigError, Value};
use serde::Deserialize;

use crate::Result;

/// `LogProcessor`: over how many iterations a figure is taken, and how a line looks.
///
/// | key | default | |
/// |---|---|---|
/// | `window_size` | 10 | iterations over which losses, gradient norms and times are averaged; other figures are the last ones |
/// | `by_epoch` | True | whether lines count epochs |
/// | `custom_cfg` | `[]` | further figures: `dict(data_src='loss', method_name='mean', log_name='loss_slow', window_size=50)`; methods `mean`, `min`, `max`, `current`; `window_size` a number, `'epoch'` or `'global'`; without `log_name` the figure itself is taken so |
/// | `num_digits` | 4 | digits after the point |
/// | `log_with_hierarchy` | False | whether names of the logs begin with the stage; those of TensorBoard always do |
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogProcessor {
    window_size: usize,
    /// Whether lines count epochs.
    pub by_epoch: bool,
    custom_cfg: Option<Vec<Custom>>,
    num_digits: usize,
    /// Whether names of the logs begin with the stage.
    pub log_with_hierarchy: bool,
    mean_pattern: Option<String>,
    #[serde(skip)]
    history: IndexMap<String, VecDeque<f64>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Custom {
    data_src: String,
    #[serde(default)]
    log_name: Option<String>,
    #[serde(default = "mean")]
    method_name: Method,
    #[serde(default)]
    window_size: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Method {
    Mean,
    Min,
    Max,
    Current,
}

fn mean() -> Method {
    Method::Mean
}

/// Figures whose name has one of these are averaged: mmengine's default `mean_pattern`.
const AVERAGED: &[&str] = &["loss", "time", "grad_norm"];
/// That pattern as it is written.
const MEAN_PATTERN: &str = r".*(loss|time|data_time|grad_norm).*";
/// Values kept of a figure, for `'global'` windows.
const KEPT: usize = 1_000_000;

impl Default for LogProcessor {
    fn default() -> Self {
        Self {
            window_size: 10,
            by_epoch: true,
            custom_cfg: None,
            num_digits: 4,
            log_with_hierarchy: false,
            mean_pattern: None,
            history: IndexMap::new(),
        }
    }
}

/// Where a line of the training log stands.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Epochs finished before this one.
    pub epoch: u64,
    /// Epochs in all.
    pub max_epochs: u64,
    /// Iterations of this epoch.
    pub inner: u64,
    /// Iterations of an epoch.
    pub epoch_length: u64,
    /// Iterations in all so far.
    pub iter: u64,
    /// Iterations of the training.
    pub max_iters: u64,
}

impl LogProcessor {
    /// Reads `log_processor`.
    ///
    /// # Errors
    /// A key is unknown or of the wrong type.
    pub fn from_config(value: &Value) -> Result<Self> {
        if let Some(name) = value.type_name().filter(|n| *n != "LogProcessor") {
            let error = ConfigError::new(format!("there is no log_processor `{name}`"));
            return Err(error.at(value.get("type").unwrap_or(value)).into());
        }
        let parsed: Self = value.parse()?;
        let refuse = |key: &str, message: String| -> Result<Self> {
            Err(ConfigError::new(message).at(value.get(key).unwrap_or(value)).into())
        };
        if parsed.window_size == 0 {
            return refuse("window_size", "`window_size` must be at least 1".into());
        }
        if parsed.num_digits > 17 {
            return refuse("num_digits", "`num_digits` must be at most 17".into());
        }
        if parsed.mean_pattern.as_deref().is_some_and(|p| p != MEAN_PATTERN) {
            return refuse("mean_pattern", "another `mean_pattern` than the default is not supported".into());
        }
        let mut names = Vec::new();
        for custom in parsed.custom_cfg.iter().flatten() {
            let name = custom.log_name.as_ref().unwrap_or(&custom.data_src);
            if names.contains(&name) {
                return refuse("custom_cfg", format!("two figures of `custom_cfg` are called `{name}`"));
            }
            names.push(name);
            let Some(window) = &custom.window_size else { continue };
            match (window.as_str(), window.as_i64()) {
                (Some("epoch"), _) if !parsed.by_epoch => {
                    return refuse("custom_cfg", "a window of an 'epoch' needs `by_epoch=True`".into());
                }
                (Some("epoch" | "global"), _) => {}
                (_, Some(n)) if n > 0 => {}
                _ => {
                    let message = "`window_size` must be a number above 0, 'epoch' or 'global'";
                    return Err(ConfigError::new(message).at(window).into());
                }
            }
        }
        Ok(parsed)
    }

    /// Remembers figures of one iteration.
    pub fn record<'a>(&mut self, figures: impl Iterator<Item = (&'a str, f64)>) {
        for (name, value) in figures {
            let kept = match self.history.get_mut(name) {
                Some(kept) => kept,
                None => self.history.entry(name.to_owned()).or_default(),
            };
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(value);
        }
    }

    /// The figures of a line.
    pub fn figures(&self, place: &Place) -> IndexMap<String, f64> {
        let mut all = IndexMap::new();
        for (name, values) in &self.history {
            let averaged = AVERAGED.iter().any(|part| name.contains(part));
            let method = if averaged { Method::Mean } else { Method::Current };
            if let Some(value) = take(values, method, self.window_size) {
                all.insert(name.clone(), value);
            }
        }
        for custom in self.custom_cfg.iter().flatten() {
            let Some(values) = self.history.get(&custom.data_src) else { continue };
            let window = match custom.window_size.as_ref() {
                None => values.len(),
                Some(v) => match v.as_str() {
                    Some("epoch") => usize::try_from(place.inner).unwrap_or(usize::MAX),
                    Some(_) => values.len(),
                    None => v.as_i64().and_then(|n| usize::try_from(n).ok()).unwrap_or(values.len()),
                },
            };
            if let Some(value) = take(values, custom.method_name, window) {
                let name = custom.log_name.as_ref().unwrap_or(&custom.data_src);
                all.insert(name.clone(), value);
            }
        }
        all
    }

    /// A line of the training, as mmengine writes it.
    pub fn train_line(&self, place: &Place, figures: &IndexMap<String, f64>) -> String {
        let digits = self.num_digits;
        let mut line = if self.by_epoch {
            let width = place.max_epochs.to_string().len() + 3;
            let epoch = format!("[{}]", place.epoch + 1);
            let inner = place.epoch_length.to_string().len();
            format!("Epoch(train) {epoch:>width$}[{:>inner$}/{}]", place.inner, place.epoch_length)
        } else {
            let width = place.max_iters.to_string().len();
            format!("Iter(train) [{:>width$}/{}]", place.iter, place.max_iters)
        };
        for (name, value) in figures.iter().filter(|(n, _)| n.ends_with("lr")) {
            line.push_str(&format!("  {name}: {}", scientific(*value, digits)));
        }
        if let Some(eta) = figures.get("eta") {
            line.push_str(&format!("  eta: {}", duration(*eta)));
        }
        for (name, key) in [("time", "iter_time"), ("data_time", "data_time")] {
            if let Some(value) = figures.get(key) {
                line.push_str(&format!("  {name}: {value:.digits$}"));
            }
        }
        if let Some(memory) = figures.get("memory") {
            line.push_str(&format!("  memory: {memory:.0}"));
        }
        let told = |n: &str| n.ends_with("lr") || ["eta", "iter_time", "data_time", "memory"].contains(&n);
        for (name, value) in figures.iter().filter(|(n, _)| !told(n)) {
            line.push_str(&format!("  {name}: {value:.digits$}"));
        }
        line
    }

    /// A line of a validation or a test.
    pub fn eval_line(&self, stage: &str, place: &Place, figures: &IndexMap<String, f64>) -> String {
        let digits = self.num_digits;
        let mut line = match (self.by_epoch, stage) {
            (true, "test") => "Epoch(test)".to_owned(),
            (true, _) => format!("Epoch({stage}) [{}]", place.epoch),
            (false, _) => format!("Iter({stage}) [{}]", place.iter),
        };
        for (name, value) in figures {
            line.push_str(&format!("  {name}: {value:.digits$}"));
        }
        line
    }
}

/// A figure over the last `window` values.
fn take(values: &VecDeque<f64>, method: Method, window: usize) -> Option<f64> {
    let last = values.iter().skip(values.len().saturating_sub(window.max(1)));
    match method {
        Method::Mean => {
            let n = values.len().min(window.max(1));
            (n > 0).then(|| last.sum::<f64>() / n as f64)
        }
        Method::Min => last.copied().reduce(f64::min),
        Method::Max => last.copied().reduce(f64::max),
        Method::Current => values.back().copied(),
    }
}

/// `1.0000e-01`, as Python writes it.
fn scientific(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$e}");
    match text.split_once('e').and_then(|(m, e)| Some((m, e.parse::<i32>().ok()?))) {
        Some((mantissa, exponent)) => format!("{mantissa}e{exponent:+03}"),
        None => text,
    }
}

/// Seconds as `1 day, 2:03:04`.
fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    let clock = format!("{}:{:02}:{:02}", s / 3600 % 24, s / 60 % 60, s % 60);
    match s / 86_400 {
        0 => clock,
        1 => format!("1 day, {clock}"),
        days => format!("{days} days, {clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { epoch: 1, max_epochs: 20, inner: 5, epoch_length: 100, iter: 105, max_iters: 2000 }
    }

    fn processor(text: &str) -> Result<LogProcessor> {
        let config = occam_config::Loader::new().load_str("c.py", &format!("x = dict({text})"))?;
        LogProcessor::from_config(config.get("x").ok_or_else(|| ConfigError::new("no x"))?)
    }

    #[test]
    fn figures_are_taken_over_their_windows() {
        let mut log = processor(
            "window_size=2, custom_cfg=[dict(data_src='loss', log_name='slow', window_size='global'), \
             dict(data_src='loss', log_name='top', method_name='max', window_size=3)]",
        )
        .unwrap();
        for (loss, lr) in [(9.0, 0.1), (1.0, 0.2), (2.0, 0.3), (4.0, 0.4)] {
            log.record([("loss", loss), ("lr", lr)].into_iter());
        }
        let figures = log.figures(&place());
        let figures: Vec<(&str, f64)> = figures.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        assert_eq!(figures, [("loss", 3.0), ("lr", 0.4), ("slow", 4.0), ("top", 4.0)]);
    }

    #[test]
    fn lines_are_mmengines() {
        let log = LogProcessor::default();
        let figures =
            [("lr", 0.1), ("eta", 90_061.0), ("iter_time", 0.5), ("data_time", 0.01), ("loss", 2.3)];
        let figures = figures.map(|(n, v)| (n.to_owned(), v)).into_iter().collect();
        let line = log.train_line(&place(), &figures);
        let wanted = "Epoch(train)   [2][  5/100]  lr: 1.0000e-01  eta: 1 day, 1:01:01  time: 0.5000  \
                      data_time: 0.0100  loss: 2.3000";
        assert_eq!(line, wanted);
        let log = processor("by_epoch=False, num_digits=2").unwrap();
        assert_eq!(log.train_line(&place(), &IndexMap::new()), "Iter(train) [ 105/2000]");
        let metrics = IndexMap::from([("accuracy/top1".to_owned(), 91.5)]);
        assert_eq!(log.eval_line("val", &place(), &metrics), "Iter(val) [105]  accuracy/top1: 91.50");
    }

    #[test]
    fn impossible_ones_are_refused() {
        for (text, wanted) in [
            ("window_size=0", "at least 1"),
            ("by_epoch=False, custom_cfg=[dict(data_src='loss', window_size='epoch')]", "by_epoch"),
            ("custom_cfg=[dict(data_src='loss'), dict(data_src='loss')]", "two figures"),
            ("custom_cfg=[dict(data_src='loss', window_size='all')]", "'global'"),
            ("mean_pattern='x'", "mean_pattern"),
            ("windowsize=3", "window_size"),
            ("type='OtherProcessor'", "OtherProcessor"),
        ] {
            let error = processor(text).err().map(|e| e.to_string() + &format!("{e:?}")).unwrap_or_default();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
