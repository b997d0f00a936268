//! When filters are compared anew.

use occam_config::Error as ConfigError;
use occam_engine::schedule::Length;
use occam_train::{Error, Result};

use super::fuse::temperature;

/// When the filters of a training are compared, from the first step on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Schedule {
    /// Iterations from one time to the next.
    every: u64,
    /// How often.
    times: u64,
    /// Iterations of what temperatures count, and how many of these the training has.
    unit: u64,
    end: f64,
}

/// What is due before an iteration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Due {
    /// The number of this time, from 1.
    pub time: u64,
    /// How often it will be due in all.
    pub times: u64,
    pub temperature: f64,
}

impl Schedule {
    /// By `step_freq` or by `prune_times`, of which the other is 0.
    ///
    /// # Errors
    /// The training is too short.
    pub fn new(step_freq: u64, prune_times: u64, length: Length, by_epoch: bool) -> Result<Self> {
        let unit = if by_epoch { length.epoch.max(1) } else { 1 };
        let (every, times) = match prune_times {
            0 => {
                let every = step_freq.saturating_mul(unit).max(1);
                (every, length.max_iters / every)
            }
            times => (length.max_iters / times, times),
        };
        if times == 0 || every == 0 {
            let message = format!(
                "the training has {} iterations, fewer than filters are to be compared by `step_freq` and `prune_times`",
                length.max_iters
            );
            return Err(Error::Config(ConfigError::new(message).with_help("train longer, or lower them")));
        }
        Ok(Self { every, times, unit, end: length.max_iters as f64 / unit as f64 })
    }

    /// What is due before iteration `iter`.
    pub fn due(&self, iter: u64) -> Option<Due> {
        let due = iter.is_multiple_of(self.every) && iter / self.every < self.times;
        due.then(|| Due {
            time: iter / self.every + 1,
            times: self.times,
            temperature: temperature(iter as f64 / self.unit as f64, self.end),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Length = Length { epoch: 10, max_epochs: 4, max_iters: 40 };

    fn times(schedule: Schedule) -> Vec<u64> {
        (0..LENGTH.max_iters).filter(|&i| schedule.due(i).is_some()).collect()
    }

    #[test]
    fn epochs_iterations_and_numbers_of_times_are_counted() {
        assert_eq!(times(Schedule::new(1, 0, LENGTH, true).unwrap()), [0, 10, 20, 30]);
        assert_eq!(times(Schedule::new(3, 0, LENGTH, true).unwrap()), [0]);
        assert_eq!(times(Schedule::new(15, 0, LENGTH, false).unwrap()), [0, 15]);
        assert_eq!(times(Schedule::new(0, 8, LENGTH, true).unwrap()), [0, 5, 10, 15, 20, 25, 30, 35]);
        for (freq, number) in [(5, 0), (0, 41)] {
            let error = Schedule::new(freq, number, LENGTH, true).unwrap_err().to_string();
            assert!(error.contains("40 iterations"), "{error}");
        }
        let schedule = Schedule::new(1, 0, LENGTH, true).unwrap();
        let temperatures: Vec<f64> = [0, 10, 30].map(|i| schedule.due(i).unwrap().temperature).to_vec();
        assert_eq!(temperatures, [0.0, 1.0, 3.0].map(|epoch| temperature(epoch, 4.0)));
    }
}
