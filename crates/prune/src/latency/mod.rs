//! Pruning to a measured time.
//!
//! Fewer multiply-accumulates are not less time: runtimes compute channels in blocks, in layouts that suit some widths, and
//! spend much of a run on memory. So models of several widths are run in the runtime that will be used, which tells how long
//! each step takes in its place; steps are gathered in blocks ([`Blocks`]), whose times are kept in a [`Table`] by what they
//! compute and their sizes, and are fitted between the sizes that were measured ([`Fit`]). A [`Search`] goes by these times.
//! What it finds is made, measured block by block and searched again where that says otherwise, and at last measured as a whole
//! against the original by turns; what the whole says corrects the target.

mod blocks;
mod clock;
mod fit;
mod forecast;
mod search;
mod steps;
mod table;

pub use blocks::{Block, Blocks};
pub use clock::{Clock, Comparison, Measured, Subject};
pub use fit::Fit;
pub use forecast::Forecast;
pub use search::{Goal, Prices, Search};
pub use table::{Place, Points, Table, cpu, default_file};

use crate::solve::{Solver, gcd, set};
use crate::{Error, Outcome, Result, Target};

/// How near to the target a measured time must be, as a part of it; from below.
pub const NEAR: f64 = 0.01;

/// Models that are found and measured as wholes at most.
const ROUNDS: usize = 6;

/// A whole that takes less than this part of what its blocks say is more likely a disturbed measurement of the original than
/// a reason to give channels back.
const FASTER: f64 = 0.8;

/// Models that are measured block by block at most before one is measured as a whole.
const REFINEMENTS: usize = 4;

/// What was found and how fast it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// Which channels stay.
    pub outcome: Outcome,
    /// The whole model against the original.
    pub comparison: Comparison,
    /// The part of the time that the table says is left; none where no table was needed.
    pub predicted: Option<f64>,
    /// By unit of the trace what its widths are multiples of; none where no table was needed.
    pub steps: Option<Vec<usize>>,
    /// Models that were measured block by block; others were in the table.
    pub profiled: usize,
    /// Models that were measured as wholes.
    pub compared: usize,
    /// Why the target is not met as nearly as it should be.
    pub missed: Option<String>,
}

/// Finds widths by measured times.
pub struct Tuner<'t, 'a, C> {
    /// What knows units and scores.
    pub solver: &'t mut Solver<'a>,
    /// The blocks of the model.
    pub blocks: &'t Blocks,
    /// Times of blocks, which is added to.
    pub table: &'t mut Table,
    /// What measures.
    pub clock: C,
    /// What sizes of layers are multiples of; none where it is found by measuring.
    pub multiple: Option<usize>,
    /// Is told of every model that is measured: how many were.
    pub progress: &'t mut dyn FnMut(usize),
}

impl<C: Clock> Tuner<'_, '_, C> {
    /// Widths such that a run takes `part` of the time that it takes now, and as much as that.
    ///
    /// # Errors
    /// `part` is none, no widths are fast enough, or the model cannot be measured.
    pub fn reach(&mut self, part: f64) -> Result<Tuned> {
        if !(part > 0.0 && part <= 1.0) {
            return Err(Error::Target { what: "latency", wanted: part });
        }
        let mut count = Count::default();
        let steps = self.learn(&mut count)?;
        // What the whole model takes over what its blocks say.
        let mut factor = 1.0;
        let mut best: Option<Tuned> = None;
        let mut tried: Vec<Vec<usize>> = Vec::new();
        let mut missed = None;
        for _ in 0..ROUNDS {
            let aim = part * (1.0 - NEAR / 3.0) / factor;
            let widths = match self.search(aim, &steps, &mut count)? {
                Ok(widths) => widths,
                // As fast as it gets: the whole may be faster than its blocks say.
                Err((widths, least)) => {
                    if best.is_some() || tried.contains(&widths) {
                        missed = Some("no narrower widths are faster by the times of the table".to_owned());
                        break;
                    }
                    if least > part * 1.1 {
                        let full = self.forecast_of(&self.solver.full(), &steps) * 1e-3;
                        return Err(Error::Slow { wanted: part, full, least, why: self.solver.stays() });
                    }
                    widths
                }
            };
            if tried.contains(&widths) {
                let why = if factor > FASTER {
                    "the multiples that widths have leave nothing nearer"
                } else {
                    "the whole model is much faster than its blocks say, for which no channels are given back"
                };
                missed = Some(why.to_owned());
                break;
            }
            let tuned = self.compare(&widths, &steps, &mut count)?;
            tried.push(widths);
            let found = tuned.comparison.part();
            let measured = found / tuned.predicted.unwrap_or(found).max(f64::MIN_POSITIVE);
            factor = measured.max(FASTER);
            let near = found <= part && found >= part * (1.0 - NEAR);
            if best.as_ref().is_none_or(|b| nearer(found, b.comparison.part(), part)) {
                best = Some(tuned);
            }
            if near {
                break;
            }
        }
        let Some(mut tuned) = best else {
            return Err(Error::Latency("no model was measured".into()));
        };
        let found = tuned.comparison.part();
        if !(found <= part && found >= part * (1.0 - NEAR)) {
            let scatter = || {
                "times of the same model differ by more than that from one measurement to the next".to_owned()
            };
            tuned.missed = Some(missed.unwrap_or_else(scatter));
        }
        tuned.profiled = count.profiled;
        tuned.compared = count.compared;
        Ok(tuned)
    }

    /// Measures what was found for `target`, and where less than half of what the target promises is gained in time, finds
    /// widths by the table: first the same with multiples that are found by measuring, then by steps of which each must make
    /// the model faster. The fastest of these is taken.
    ///
    /// # Errors
    /// The target cannot be reached, or the model cannot be measured.
    pub fn never_slower(&mut self, found: Outcome, target: Option<Target>) -> Result<Tuned> {
        let mut count = Count::default();
        let mut best = self.measured(found, &mut count)?;
        let Some(target) = target else { return Ok(best) };
        let enough = |t: &Tuned| 1.0 - t.comparison.part() >= 0.5 * (1.0 - target.part);
        if !enough(&best) {
            let steps = self.learn(&mut count)?;
            let mut tried = vec![best.outcome.selection.widths()];
            for round in 0..2 {
                let outcome = if round == 0 {
                    match self.solver.solve(target) {
                        Ok(outcome) => outcome,
                        // Coarser multiples may be too coarse.
                        Err(Error::Unreachable { .. }) => continue,
                        Err(e) => return Err(e),
                    }
                } else {
                    let limit = (target.kind.of(&best.outcome.before) as f64 * target.part).floor() as u64;
                    match self.found(Goal::Need(target.kind, limit), &steps, &mut count)? {
                        Ok(widths) => self.solver.at(&widths)?,
                        Err(_) => break,
                    }
                };
                let widths = outcome.selection.widths();
                if tried.contains(&widths) {
                    continue;
                }
                let tuned = self.compare(&widths, &steps, &mut count)?;
                tried.push(widths);
                if tuned.comparison.part() < best.comparison.part() {
                    best = tuned;
                }
                if enough(&best) {
                    break;
                }
            }
        }
        if best.comparison.part() > 1.0 {
            best.missed = Some("no widths that meet the target are faster than the original".into());
        }
        best.profiled = count.profiled;
        best.compared = count.compared;
        Ok(best)
    }

    /// Measures what the table must hold, and gives the multiples of units.
    fn learn(&mut self, count: &mut Count) -> Result<Vec<usize>> {
        let full = self.solver.full();
        self.profile(&full, count)?;
        let mut steps = vec![1; full.len()];
        match self.multiple {
            Some(multiple) => steps.fill(multiple),
            None => {
                for multiple in steps::MULTIPLES {
                    let widths = steps::exactly(self.solver, multiple);
                    self.profile(&widths, count)?;
                }
                steps = steps::choose(self.solver, self.blocks, self.table);
            }
        }
        for unit in &mut self.solver.units {
            unit.align(steps.get(unit.index).copied().unwrap_or(1));
            set(&mut steps, unit.index, unit.step);
        }
        for widths in steps::grid(self.solver) {
            self.profile(&widths, count)?;
        }
        self.table.save()?;
        Ok(steps)
    }

    /// Measures the blocks of a model, where one of them is not in the table. Says whether it did.
    fn profile(&mut self, widths: &[usize], count: &mut Count) -> Result<bool> {
        let gone = self.blocks.gone(widths);
        let known = |b: &Block| self.table.get(&b.op, &b.sizes(&gone)).is_some();
        if self.blocks.all.iter().all(known) {
            return Ok(false);
        }
        let times = self.clock.profile(&self.solver.select(widths)?)?;
        for (block, us) in self.blocks.all.iter().zip(times) {
            self.table.put(&block.op, block.sizes(&gone), us);
        }
        count.profiled += 1;
        (self.progress)(count.profiled + count.compared);
        Ok(true)
    }

    fn forecast_of(&self, widths: &[usize], steps: &[usize]) -> f64 {
        Forecast::new(self.blocks, self.table, steps).total(widths)
    }

    /// Widths that leave `aim` of the time by the table, where the blocks of the last are measured, not fitted. In the inner
    /// error are the fastest that were found, and the part that they leave.
    fn search(
        &mut self,
        aim: f64,
        steps: &[usize],
        count: &mut Count,
    ) -> Result<Result<Vec<usize>, Fastest>> {
        let limit = aim * self.forecast_of(&self.solver.full(), steps);
        let found = self.found(Goal::Time(limit), steps, count)?;
        Ok(found.map_err(|widths| {
            let part = self.forecast_of(&widths, steps) / self.forecast_of(&self.solver.full(), steps);
            (widths, part)
        }))
    }

    fn found(
        &mut self,
        goal: Goal,
        steps: &[usize],
        count: &mut Count,
    ) -> Result<Result<Vec<usize>, Vec<usize>>> {
        for refinement in 0.. {
            let forecast = Forecast::new(self.blocks, self.table, steps);
            let found = Search::new(self.solver, &forecast).run(goal)?;
            let (Ok(widths) | Err(widths)) = &found;
            let widths = widths.clone();
            if refinement == REFINEMENTS || !self.profile(&widths, count)? {
                self.table.save()?;
                return Ok(found);
            }
        }
        Err(Error::Latency("no model was found".into()))
    }

    fn measured(&mut self, outcome: Outcome, count: &mut Count) -> Result<Tuned> {
        let comparison = self.clock.compare(&outcome.selection)?;
        count.compared += 1;
        (self.progress)(count.profiled + count.compared);
        Ok(Tuned {
            outcome,
            comparison,
            predicted: None,
            steps: None,
            profiled: count.profiled,
            compared: count.compared,
            missed: None,
        })
    }

    fn compare(&mut self, widths: &[usize], steps: &[usize], count: &mut Count) -> Result<Tuned> {
        let outcome = self.solver.at(widths)?;
        let mut tuned = self.measured(outcome, count)?;
        let full = self.forecast_of(&self.solver.full(), steps);
        tuned.predicted = Some(self.forecast_of(widths, steps) / full.max(f64::MIN_POSITIVE));
        tuned.steps = Some(steps.to_vec());
        Ok(tuned)
    }
}

/// Widths that are as fast as it gets, and the part of the time that they leave.
type Fastest = (Vec<usize>, f64);

/// What was measured.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    profiled: usize,
    compared: usize,
}

/// Whether `a` meets a target of `part` better than `b`: from below rather than from above, and more nearly.
fn nearer(a: f64, b: f64, part: f64) -> bool {
    match (a <= part, b <= part) {
        (true, false) => true,
        (false, true) => false,
        _ => (a - part).abs() < (b - part).abs(),
    }
}

#[cfg(test)]
mod tests;
