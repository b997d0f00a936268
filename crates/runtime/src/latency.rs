//! How long files take, measured against each other.
//!
//! Machines change their speed while one measures: frequencies, other processes, temperature. So several files are measured
//! in alternation ([`measure`]), and compared within each round ([`Times::speedup`]): what slows a whole round down leaves its
//! ratios as they are.

use std::time::Duration;

use occam_graph::Array;

use crate::{Result, Session};

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Untimed runs of each file before the first round: the runtime allocates its memory in these.
    pub warmup: usize,
    /// Times that all files have their turn; at least 1.
    pub rounds: usize,
    /// Timed runs of a turn; at least 1.
    pub runs: usize,
}

impl Default for Options {
    /// 3 runs of warmup, 7 rounds of 10 runs.
    fn default() -> Self {
        Self { warmup: 3, rounds: 7, runs: 10 }
    }
}

/// A file to measure, with what it runs on.
pub struct Candidate<'a> {
    /// The file in a runtime.
    pub session: &'a mut dyn Session,
    /// Its inputs.
    pub inputs: &'a [(String, Array)],
}

/// Untimed time at the start of a turn, in which the threads of the file before stop to wait for more work.
const SETTLE: Duration = Duration::from_millis(5);

/// Times all candidates: in each round every one has a turn, in the given order in even rounds and in the reverse in odd
/// ones. A turn is untimed runs for 5 ms, at least one, and then [`Options::runs`] timed ones.
///
/// # Errors
/// A candidate cannot be run on its inputs.
pub fn measure(candidates: &mut [Candidate<'_>], options: &Options) -> Result<Vec<Times>> {
    measure_with(candidates, options, |_| Ok(()))
}

/// As [`measure`]; `turn` is called before every turn with the number of those done, of `rounds * candidates` in all.
///
/// # Errors
/// As [`measure`], and those of `turn`.
pub fn measure_with<E: From<crate::Error>>(
    candidates: &mut [Candidate<'_>],
    options: &Options,
    mut turn: impl FnMut(usize) -> Result<(), E>,
) -> Result<Vec<Times>, E> {
    for Candidate { session, inputs } in candidates.iter_mut() {
        for _ in 0..options.warmup {
            session.time(inputs)?;
        }
    }
    let mut rounds: Vec<Vec<Vec<f64>>> = vec![Vec::new(); candidates.len()];
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let mut done = 0;
    for _ in 0..options.rounds.max(1) {
        for &index in &order {
            turn(done)?;
            done += 1;
            let (Some(candidate), Some(rounds)) = (candidates.get_mut(index), rounds.get_mut(index)) else {
                continue;
            };
            let mut settled = Duration::ZERO;
            loop {
                settled += candidate.session.time(candidate.inputs)?;
                if settled >= SETTLE {
                    break;
                }
            }
            let mut times = Vec::with_capacity(options.runs);
            for _ in 0..options.runs.max(1) {
                times.push(candidate.session.time(candidate.inputs)?.as_secs_f64() * 1e3);
            }
            rounds.push(times);
        }
        order.reverse();
    }
    Ok(rounds.into_iter().map(Times::new).collect())
}

/// The times of a file, in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    sorted: Vec<f64>,
    medians: Vec<f64>,
}

impl Times {
    /// From the times of each round.
    pub fn new(rounds: Vec<Vec<f64>>) -> Self {
        let medians = rounds.iter().map(|r| quantile(&sorted(r.clone()), 0.5)).collect();
        Self { sorted: sorted(rounds.into_iter().flatten().collect()), medians }
    }

    /// Median of all runs.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The fastest run.
    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    /// First and third quartile of all runs.
    pub fn quartiles(&self) -> [f64; 2] {
        [self.quantile(0.25), self.quantile(0.75)]
    }

    /// The time that a share `q` of all runs does not exceed, interpolated between runs; not a number without any.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(&self.sorted, q)
    }

    /// Median of each round.
    pub fn medians(&self) -> &[f64] {
        &self.medians
    }

    /// How often this file runs in the time that `base` takes once: the median over rounds of the ratio of their medians,
    /// with its least and largest; above 1 where this file is faster. The two must come from one [`measure`].
    pub fn speedup(&self, base: &Times) -> Ratio {
        let ratios = sorted(base.medians.iter().zip(&self.medians).map(|(b, t)| b / t).collect());
        Ratio {
            median: quantile(&ratios, 0.5),
            least: quantile(&ratios, 0.0),
            largest: quantile(&ratios, 1.0),
        }
    }
}

/// A ratio of times over rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Its median.
    pub median: f64,
    /// Its least.
    pub least: f64,
    /// Its largest.
    pub largest: f64,
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times
}

/// The `q`-quantile of sorted numbers, with linear interpolation (type 7 of Hyndman and Fan, 1996).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = q * sorted.len().saturating_sub(1) as f64;
    let at = |i: f64| sorted.get(i as usize).copied().unwrap_or(f64::NAN);
    let (low, high) = (at(rank.floor()), at(rank.ceil()));
    low + (high - low) * rank.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Port;

    /// Takes given times in turn, and notes who ran.
    struct Fake<'a> {
        name: char,
        ms: u64,
        log: &'a std::sync::Mutex<String>,
    }

    impl Session for Fake<'_> {
        fn inputs(&self) -> &[Port] {
            &[]
        }

        fn outputs(&self) -> &[Port] {
            &[]
        }

        fn run(&mut self, _: &[(String, Array)]) -> Result<Vec<(String, Array)>> {
            Ok(Vec::new())
        }

        fn time(&mut self, _: &[(String, Array)]) -> Result<Duration> {
            self.log.lock().unwrap().push(self.name);
            Ok(Duration::from_millis(self.ms))
        }
    }

    #[test]
    fn files_take_turns() {
        let log = std::sync::Mutex::new(String::new());
        let (mut a, mut b) = (Fake { name: 'a', ms: 4, log: &log }, Fake { name: 'b', ms: 6, log: &log });
        let mut both =
            [Candidate { session: &mut a, inputs: &[] }, Candidate { session: &mut b, inputs: &[] }];
        let options = Options { warmup: 1, rounds: 2, runs: 3 };
        let mut turns = Vec::new();
        let times = measure_with(&mut both, &options, |done| {
            turns.push(done);
            Ok::<_, crate::Error>(())
        });
        let times = times.unwrap();
        // Warmup, then turns of untimed runs (two of 4 ms, one of 6 ms) and three timed ones.
        assert_eq!(*log.lock().unwrap(), ["ab", "aaaaa", "bbbb", "bbbb", "aaaaa"].concat());
        assert_eq!(turns, [0, 1, 2, 3]);
        assert_eq!((times[0].median(), times[1].min()), (4.0, 6.0));
        assert_eq!(times[0].speedup(&times[1]).median, 1.5);
    }

    #[test]
    fn ratios_are_of_rounds() {
        // The machine halves its speed after the first round.
        let base = Times::new(vec![vec![10.0, 10.0], vec![20.0, 20.0], vec![20.0, 20.0]]);
        let half = Times::new(vec![vec![5.0, 5.0], vec![10.0, 10.0], vec![8.0, 8.0]]);
        assert_eq!(half.speedup(&base), Ratio { median: 2.0, least: 2.0, largest: 2.5 });
        assert_eq!(base.medians(), [10.0, 20.0, 20.0]);
    }

    #[test]
    fn quantiles_are_interpolated() {
        let times = Times::new(vec![vec![3.0, 1.0], vec![2.0, 4.0]]);
        assert_eq!((times.median(), times.min(), times.quartiles()), (2.5, 1.0, [1.75, 3.25]));
        assert!(Times::new(Vec::new()).median().is_nan());
    }
}
