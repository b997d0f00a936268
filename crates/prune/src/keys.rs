//! Keys that several components have.

use occam_config::{Error, Value};
use occam_engine::schedule::Length;

use crate::{Importance, Normalizer};

/// Refuses a number that is not above 0.
///
/// # Errors
/// It is not.
pub(crate) fn positive(value: &Value, key: &str, number: f64) -> Result<(), Error> {
    if number > 0.0 && number.is_finite() {
        return Ok(());
    }
    Err(Error::new(format!("`{key}` must be above 0")).at(value.get(key).unwrap_or(value)))
}

/// The criterion that `name`, the key `importance` of `value`, means; names are those of the command line.
///
/// # Errors
/// There is none.
pub(crate) fn importance(value: &Value, name: &str) -> Result<&'static Importance, Error> {
    let found = Importance::find(name).ok_or_else(|| {
        let known: Vec<&str> = Importance::all().iter().map(|i| i.name).collect();
        unknown(value, "importance", name, &known)
    })?;
    found.needs_no_images().map_err(|e| e.at(value.get("importance").unwrap_or(value)))?;
    Ok(found)
}

/// The normalizer that `name`, the key `normalizer` of `value`, means.
///
/// # Errors
/// There is none.
pub(crate) fn normalizer(value: &Value, name: &str) -> Result<Normalizer, Error> {
    Normalizer::ALL.iter().find(|(n, _)| *n == name).map(|(_, normalizer)| *normalizer).ok_or_else(|| {
        let known: Vec<&str> = Normalizer::ALL.iter().map(|(n, _)| *n).collect();
        unknown(value, "normalizer", name, &known)
    })
}

fn unknown(value: &Value, key: &str, name: &str, known: &[&str]) -> Error {
    let error = Error::new(format!("there is no {key} `{name}`")).at(value.get(key).unwrap_or(value));
    match occam_config::suggest(name, known.iter().copied()) {
        Some(meant) => error.with_help(format!("did you mean '{meant}'? known: {}", known.join(", "))),
        None => error.with_help(format!("known: {}", known.join(", "))),
    }
}

/// A time of a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Time {
    /// So many epochs, or iterations where the training counts these.
    Steps(u64),
    /// A part of the training.
    Part(f64),
}

impl Time {
    /// Reads the key `key` of `config`: an int is a number of epochs (or iterations), a float a part of the training.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn from_config(config: &Value, key: &str, default: Time) -> Result<Self, Error> {
        let Some(value) = config.get(key).filter(|v| !v.is_none()) else { return Ok(default) };
        let steps = value.as_i64().and_then(|n| u64::try_from(n).ok());
        let part = value.as_f64().filter(|p| value.as_i64().is_none() && (0.0..=1.0).contains(p));
        steps.map(Time::Steps).or(part.map(Time::Part)).ok_or_else(|| {
            Error::new(format!(
                "`{key}` must be a number of epochs (iterations where the training counts these) as an int, or a part of \
                 the training from 0.0 to 1.0"
            ))
            .at(value)
        })
    }

    /// In iterations.
    pub(crate) fn iterations(self, length: Length, by_epoch: bool) -> u64 {
        match self {
            Time::Steps(n) if by_epoch => length.epoch.saturating_mul(n),
            Time::Steps(n) => n,
            Time::Part(part) => (length.max_iters as f64 * part).round() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_steps_or_parts() {
        let length = Length { epoch: 10, max_epochs: 4, max_iters: 40 };
        assert_eq!(Time::Steps(3).iterations(length, true), 30);
        assert_eq!(Time::Steps(3).iterations(length, false), 3);
        assert_eq!(Time::Part(0.25).iterations(length, true), 10);
        let config = Value::from_json(&serde_json::json!({ "a": 1, "b": 1.0, "c": 1.5, "d": -1 }));
        let read = |key| Time::from_config(&config, key, Time::Steps(7));
        assert_eq!(read("a").unwrap(), Time::Steps(1));
        assert_eq!(read("b").unwrap(), Time::Part(1.0));
        assert_eq!(read("x").unwrap(), Time::Steps(7));
        assert!(read("c").is_err() && read("d").is_err());
    }
}
