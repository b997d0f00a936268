//! When a training validates.

use occam_config::{Error, Value};

/// `val_begin`, `val_interval` and `dynamic_intervals` of a loop, in its own steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Intervals {
    begin: u64,
    interval: u64,
    /// From which step on another interval counts.
    dynamic: Vec<(u64, u64)>,
}

/// The keys of both loops beside their length, as written.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    pub val_begin: Option<u64>,
    pub val_interval: Option<u64>,
    pub dynamic_intervals: Option<Vec<(u64, u64)>>,
}

impl Intervals {
    /// Reads the keys of `value`; `interval` is the default.
    ///
    /// # Errors
    /// An interval is 0, or the dynamic ones do not follow each other.
    pub fn new(keys: Keys, interval: u64, value: &Value) -> Result<Self, Error> {
        let interval = keys.val_interval.unwrap_or(interval);
        let dynamic = keys.dynamic_intervals.unwrap_or_default();
        let at = |key: &str, message: &str| Err(Error::new(message).at(value.get(key).unwrap_or(value)));
        if interval == 0 {
            return at("val_interval", "`val_interval` must be at least 1");
        }
        if dynamic.iter().any(|(_, n)| *n == 0) {
            return at("dynamic_intervals", "an interval must be at least 1");
        }
        if dynamic.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a >= b)) {
            return at("dynamic_intervals", "`dynamic_intervals` must be in the order of their first steps");
        }
        Ok(Self { begin: keys.val_begin.unwrap_or(1), interval, dynamic })
    }

    /// Whether a validation is due when `done` steps of `max` are done.
    ///
    /// As in the original an interval of `dynamic_intervals` counts from one step before its own.
    pub fn due(&self, done: u64, max: u64) -> bool {
        let dynamic = self.dynamic.iter().rev().find(|(from, _)| *from <= done + 1);
        let interval = dynamic.map_or(self.interval, |(_, n)| *n).max(1);
        done > 0 && done >= self.begin && (done.is_multiple_of(interval) || done == max)
    }

    /// How many validations `max` steps have.
    pub fn count(&self, max: u64) -> u64 {
        (1..=max).filter(|&done| self.due(done, max)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(begin: u64, interval: u64, dynamic: &[(u64, u64)], max: u64) -> Vec<u64> {
        let intervals = Intervals { begin, interval, dynamic: dynamic.to_vec() };
        (0..=max).filter(|&done| intervals.due(done, max)).collect()
    }

    /// Numbers from mmengine's `EpochBasedTrainLoop`.
    #[test]
    fn validates_when_mmengine_does() {
        assert_eq!(due(1, 1, &[], 3), [1, 2, 3]);
        assert_eq!(due(4, 3, &[], 11), [6, 9, 11]);
        assert_eq!(due(20, 3, &[], 11), Vec::<u64>::new());
        assert_eq!(due(1, 5, &[(10, 2), (14, 1)], 16), [5, 10, 12, 13, 14, 15, 16]);
    }
}
