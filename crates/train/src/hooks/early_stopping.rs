//! Stops a training that does not get better.

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::Hook;
use super::rule::{GREATER, LESS, Rule};
use crate::Result;
use crate::error::refuse;
use crate::evaluate::Metrics;
use crate::runner::Runner;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    monitor: String,
    #[serde(default)]
    rule: Option<Rule>,
    #[serde(default = "tenth")]
    min_delta: f64,
    #[serde(default)]
    strict: bool,
    #[serde(default = "yes")]
    check_finite: bool,
    #[serde(default = "five")]
    patience: u64,
    #[serde(default)]
    stopping_threshold: Option<f64>,
}

fn tenth() -> f64 {
    0.1
}

fn yes() -> bool {
    true
}

fn five() -> u64 {
    5
}

/// `EarlyStoppingHook`: ends the training when a figure of the validation has not improved for a while.
///
/// | key | default | |
/// |---|---|---|
/// | `monitor` | | the figure |
/// | `rule` | by its name | `'greater'` or `'less'` |
/// | `min_delta` | 0.1 | how much better counts as better |
/// | `patience` | 5 | validations without an improvement that end the training |
/// | `stopping_threshold` | None | a figure better than this ends the training at once |
/// | `check_finite` | True | whether a figure that is not finite ends it |
/// | `strict` | False | whether a validation without the figure is an error |
///
/// What it counts is in checkpoints; the original forgets it when it resumes.
struct EarlyStoppingHook {
    config: Config,
    rule: Rule,
    key: String,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let config: Config = value.parse()?;
    let rule = match config.rule {
        Some(rule) => rule,
        None => Rule::of(&config.monitor, GREATER, LESS)
            .map_err(|e| e.at(value.get("monitor").unwrap_or(value)))?,
    };
    let key = format!("early_stopping_{}", config.monitor);
    Ok(Box::new(EarlyStoppingHook { config, rule, key }))
}

/// What counts so far.
#[derive(Clone, Copy, serde::Serialize, Deserialize)]
struct Count {
    waited: u64,
    best_bits: u64,
}

impl EarlyStoppingHook {
    /// Why the training should end, and what counts then.
    fn judge(&self, score: f64, count: Count) -> (Option<String>, Count) {
        let (c, best) = (&self.config, f64::from_bits(count.best_bits));
        let monitor = &c.monitor;
        if c.check_finite && !score.is_finite() {
            return (Some(format!("`{monitor}` is {score}; the best was {best:.4}")), count);
        }
        let improved = Count { waited: 0, best_bits: score.to_bits() };
        if let Some(threshold) = c.stopping_threshold
            && self.rule.better(score, threshold)
        {
            return (Some(format!("`{monitor}` is {score:.4}, better than {threshold}")), improved);
        }
        let wanted = match self.rule {
            Rule::Greater => best + c.min_delta,
            Rule::Less => best - c.min_delta,
        };
        if !self.rule.better(wanted, score) {
            return (None, improved);
        }
        let waited = count.waited + 1;
        let message = format!("`{monitor}` did not improve in {waited} validations; the best was {best:.4}");
        ((waited >= c.patience).then_some(message), Count { waited, ..count })
    }
}

impl Hook for EarlyStoppingHook {
    fn priority(&self) -> u32 {
        100
    }

    fn after_val(&mut self, runner: &mut Runner, metrics: &Metrics) -> Result<()> {
        let monitor = &self.config.monitor;
        let Some(&score) = metrics.get(monitor) else {
            let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
            let message =
                format!("EarlyStoppingHook: the validation gives no `{monitor}`, but {}", known.join(", "));
            if self.config.strict {
                return refuse(message);
            }
            runner.message(&format!("warning: {message}"));
            return Ok(());
        };
        let before = runner.info().get(&self.key).and_then(|v| Count::deserialize(v).ok());
        let none = Count { waited: 0, best_bits: self.rule.worst().to_bits() };
        let (reason, count) = self.judge(score, before.unwrap_or(none));
        let value = serde_json::to_value(count).map_err(|e| crate::Error::Other(e.to_string()))?;
        runner.info_mut().insert(self.key.clone(), value);
        if let Some(reason) = reason {
            runner.message(&format!("stopping early: {reason}"));
            runner.stop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(rule: Rule, stopping_threshold: Option<f64>) -> EarlyStoppingHook {
        let config = Config {
            monitor: "m".into(),
            rule: Some(rule),
            min_delta: 0.5,
            strict: false,
            check_finite: true,
            patience: 2,
            stopping_threshold,
        };
        EarlyStoppingHook { config, rule, key: String::new() }
    }

    fn stops_after(hook: &EarlyStoppingHook, scores: &[f64]) -> Option<usize> {
        let mut count = Count { waited: 0, best_bits: hook.rule.worst().to_bits() };
        scores.iter().position(|&score| {
            let (reason, next) = hook.judge(score, count);
            count = next;
            reason.is_some()
        })
    }

    #[test]
    fn waits_and_stops() {
        let greater = hook(Rule::Greater, None);
        assert_eq!(stops_after(&greater, &[1.0, 1.2, 1.5, 1.6, 2.0, 2.1, 2.2]), Some(6));
        assert_eq!(stops_after(&greater, &[1.0, f64::NAN]), Some(1));
        let less = hook(Rule::Less, Some(0.1));
        assert_eq!(stops_after(&less, &[3.0, 2.9, 2.5, 2.3, 2.4]), Some(4));
        assert_eq!(stops_after(&less, &[3.0, 0.05]), Some(1));
    }
}
