//! How long the steps of a model take, each in its place.
//!
//! A step alone does not take the time that it takes in a model: there its input lies in a cache and in the layout that the
//! runtime has chosen, and what follows is computed with it. So steps are timed where they are, by the runtime itself.

use std::time::{Duration, Instant};

use crate::Result;

/// A step of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The runtime's name of it: that of a node or of a value with what the runtime adds.
    pub name: String,
    /// Seconds of its fastest run: what other processes do to a step only adds.
    pub seconds: f64,
}

/// How long a model is run to time its steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Runs before it counts.
    pub warmup: usize,
    /// Runs at least.
    pub least: usize,
    /// Runs at most.
    pub most: usize,
    /// No run is begun later than this.
    pub time: Duration,
}

impl Default for Budget {
    /// 1 run of warmup, then as many as 0.3 s have room for, 8 to 60.
    fn default() -> Self {
        Self { warmup: 1, least: 8, most: 60, time: Duration::from_millis(300) }
    }
}

impl Budget {
    /// Calls `run` as often as it allows.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn spend<T>(&self, mut run: impl FnMut() -> Result<T>) -> Result<()> {
        for _ in 0..self.warmup {
            run()?;
        }
        let started = Instant::now();
        let mut done = 0;
        while done < self.least.max(1) || (done < self.most && started.elapsed() < self.time) {
            run()?;
            done += 1;
        }
        Ok(())
    }
}

/// The fastest of the times of each name, in order of the first.
pub fn fastest(times: impl IntoIterator<Item = (String, f64)>) -> Vec<Step> {
    let mut steps = indexmap::IndexMap::new();
    for (name, seconds) in times {
        let least = steps.entry(name).or_insert(seconds);
        if seconds < *least {
            *least = seconds;
        }
    }
    steps.into_iter().map(|(name, seconds)| Step { name, seconds }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_run_counts() {
        let times = [("b", 3.0), ("a", 1.0), ("b", 2.0), ("a", 4.0)];
        let steps = fastest(times.map(|(name, t)| (name.to_owned(), t)));
        let found: Vec<(&str, f64)> = steps.iter().map(|s| (s.name.as_str(), s.seconds)).collect();
        assert_eq!(found, [("b", 2.0), ("a", 1.0)]);
    }

    #[test]
    fn budgets_hold() {
        let runs = |budget: Budget| {
            let mut runs = 0;
            let run = || {
                runs += 1;
                Ok(())
            };
            budget.spend(run).unwrap();
            runs
        };
        let hour = Duration::from_secs(3600);
        assert_eq!(runs(Budget { warmup: 2, least: 3, most: 5, time: hour }), 7);
        assert_eq!(runs(Budget { warmup: 2, least: 3, most: 5, time: Duration::ZERO }), 5);
    }
}
