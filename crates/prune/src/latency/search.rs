//! Which units become narrower, so that a model becomes fast enough and loses little.

use super::forecast::Forecast;
use crate::solve::{Solver, Unit, set};
use crate::{Result, Scope, TargetKind};

/// When a search has arrived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// A run takes at most so many microseconds.
    Time(f64),
    /// The model needs at most so much of something, and no step on the way makes it slower.
    Need(TargetKind, u64),
}

/// Widths that a unit may go on with, each by steps of its multiple; more than one, since a runtime may compute several as
/// the same.
const REACH: usize = 8;

/// A change that is less than this part of the time is none.
const NOTHING: f64 = 1e-5;

/// The part of a limit that may be left over.
const SETTLED: f64 = 0.002;

/// Steps that a unit of a pair goes at most.
const PAIRED: usize = 4;

/// Pairs whose time is computed.
const LOOKED_AT: usize = 64;

/// The price of a channel whose score is no number.
const DEAREST: f64 = 1e100;

/// What narrower units cost.
///
/// The price of a channel is its share of what is left of the scores of its unit, itself included (as in LAMP), times the
/// number of layers that compute the unit: removing a channel of a residual stream takes it from all of them. So a unit
/// becomes dearer as it becomes narrower, and scores of different units need not be comparable. Channels go from the least
/// important one.
pub struct Prices {
    /// By unit of the solver: the price of the first `k` channels that go.
    sums: Vec<Vec<f64>>,
}

impl Prices {
    /// The prices of all channels that compete.
    pub fn new(solver: &Solver<'_>) -> Self {
        let unit = |unit: &Unit| {
            let own = solver.scores.get(unit.index).map(Vec::as_slice).unwrap_or_default();
            let score = |c: &usize| own.get(*c).copied().unwrap_or(0.0).max(0.0);
            let layers = solver.trace.units.get(unit.index).map_or(1, |u| u.output_related.len().max(1));
            let (mut left, mut dear) = (0.0, Vec::with_capacity(unit.channels));
            for (rank, c) in unit.order.iter().rev().enumerate() {
                left += score(c);
                // Where nothing that is left matters, all of it is alike.
                let share = if left > 0.0 { score(c) / left } else { 1.0 / (rank + 1) as f64 };
                dear.push(if share.is_finite() { share * layers as f64 } else { DEAREST });
            }
            let mut sums = vec![0.0];
            let mut sum = 0.0;
            for price in dear.into_iter().rev() {
                sum += price;
                sums.push(sum);
            }
            sums
        };
        Self { sums: solver.units.iter().map(unit).collect() }
    }

    /// What it costs to go from one width of the unit at `index` to a lesser one.
    fn of(&self, index: usize, channels: usize, from: usize, to: usize) -> f64 {
        let sums = self.sums.get(index).map(Vec::as_slice).unwrap_or_default();
        let at = |width: usize| sums.get(channels.saturating_sub(width)).copied().unwrap_or(DEAREST);
        at(to) - at(from)
    }
}

/// A change of one unit.
#[derive(Debug, Clone, Copy)]
struct Move {
    width: usize,
    /// Microseconds that it saves or, where the unit grows, takes.
    us: f64,
    /// What is gained for the price, or the price for the time.
    worth: f64,
}

/// A search and where it stands.
pub struct Search<'s, 'a> {
    solver: &'s Solver<'a>,
    forecast: &'s Forecast<'s>,
    prices: Prices,
    widths: Vec<usize>,
    times: Vec<f64>,
}

impl<'s, 'a> Search<'s, 'a> {
    /// Starts with all channels.
    pub fn new(solver: &'s Solver<'a>, forecast: &'s Forecast<'s>) -> Self {
        let widths = solver.full();
        let times = forecast.all(&forecast.blocks().gone(&widths));
        Self { solver, forecast, prices: Prices::new(solver), widths, times }
    }

    /// Microseconds of the widths it stands at.
    pub fn total(&self) -> f64 {
        self.times.iter().sum()
    }

    /// The widths that meet `goal`; in the error are those at which no step makes it faster any more.
    ///
    /// Step by step one unit becomes narrower: the one that gains most for the price. Where time is the goal, what it gains is
    /// time; else it is what the goal is of, and every step must save time. Then units become wider again for which there is
    /// room; where some is left, one becomes wider and another narrower for it.
    ///
    /// # Errors
    /// A symbol is not bound.
    pub fn run(mut self, goal: Goal) -> Result<Result<Vec<usize>, Vec<usize>>> {
        if self.solver.scope == Scope::Uniform {
            self.alike(goal)?;
        } else {
            self.shrink(goal)?;
        }
        if !self.met(goal)? {
            return Ok(Err(self.widths));
        }
        self.grow(goal)?;
        if let (Goal::Time(limit), Scope::Global) = (goal, self.solver.scope) {
            self.settle(limit);
        }
        Ok(Ok(self.widths))
    }

    fn met(&self, goal: Goal) -> Result<bool> {
        Ok(match goal {
            Goal::Time(limit) => self.total() <= limit,
            Goal::Need(kind, limit) => kind.of(&self.solver.estimator.at(&self.widths)?) <= limit,
        })
    }

    /// Every unit loses the same part.
    fn alike(&mut self, goal: Goal) -> Result<()> {
        let (full, queue) = (self.solver.full(), self.solver.queue());
        let (mut low, mut high) = (0, queue.len());
        while low < high {
            let middle = low + (high - low) / 2;
            self.go(self.solver.widths(&full, &queue, middle));
            if self.met(goal)? {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        self.go(self.solver.widths(&full, &queue, high));
        Ok(())
    }

    fn go(&mut self, widths: Vec<usize>) {
        self.times = self.forecast.all(&self.forecast.blocks().gone(&widths));
        self.widths = widths;
    }

    fn shrink(&mut self, goal: Goal) -> Result<()> {
        let mut moves: Vec<Option<Option<Move>>> = vec![None; self.solver.units.len()];
        while !self.met(goal)? {
            for (i, unit) in self.solver.units.iter().enumerate() {
                if let Some(slot) = moves.get_mut(i).filter(|m| m.is_none()) {
                    *slot = Some(self.narrower(i, unit, goal)?);
                }
            }
            let best = moves.iter().enumerate().filter_map(|(i, m)| Some((i, (*m)??)));
            let Some((i, best)) = best.max_by(|a, b| a.1.worth.total_cmp(&b.1.worth).then(b.0.cmp(&a.0)))
            else {
                return Ok(());
            };
            let Some(unit) = self.solver.units.get(i) else { return Ok(()) };
            self.take(unit, best.width);
            // Units that share a block with this one save another time now.
            let blocks =
                self.forecast.blocks().of_unit.get(unit.index).map(Vec::as_slice).unwrap_or_default();
            for (slot, other) in moves.iter_mut().zip(&self.solver.units) {
                let own =
                    self.forecast.blocks().of_unit.get(other.index).map(Vec::as_slice).unwrap_or_default();
                if other.index == unit.index || own.iter().any(|b| blocks.contains(b)) {
                    *slot = None;
                }
            }
        }
        Ok(())
    }

    /// The time that a unit of another width saves, and the times of its blocks.
    fn saved(&self, unit: &Unit, width: usize) -> f64 {
        let mut widths = self.widths.clone();
        set(&mut widths, unit.index, width);
        let gone = self.forecast.blocks().gone(&widths);
        let blocks = self.forecast.blocks().of_unit.get(unit.index).map(Vec::as_slice).unwrap_or_default();
        blocks
            .iter()
            .map(|&b| self.times.get(b).copied().unwrap_or(0.0) - self.forecast.block(b, &gone))
            .sum()
    }

    fn take(&mut self, unit: &Unit, width: usize) {
        set(&mut self.widths, unit.index, width);
        let gone = self.forecast.blocks().gone(&self.widths);
        for &b in self.forecast.blocks().of_unit.get(unit.index).map(Vec::as_slice).unwrap_or_default() {
            if let Some(time) = self.times.get_mut(b) {
                *time = self.forecast.block(b, &gone);
            }
        }
    }

    fn width(&self, unit: &Unit) -> usize {
        self.widths.get(unit.index).copied().unwrap_or(unit.channels)
    }

    /// The best narrower width of a unit.
    fn narrower(&self, i: usize, unit: &Unit, goal: Goal) -> Result<Option<Move>> {
        let width = self.width(unit);
        let below = width.saturating_sub(1) / unit.step * unit.step;
        let mut best: Option<Move> = None;
        let nothing = NOTHING * self.total();
        let before = match goal {
            Goal::Time(_) => 0,
            Goal::Need(kind, _) => kind.of(&self.solver.estimator.at(&self.widths)?),
        };
        for jump in 0..REACH {
            let Some(to) = below.checked_sub(jump * unit.step).filter(|&to| to >= unit.least && to > 0)
            else {
                break;
            };
            let us = self.saved(unit, to);
            if us <= nothing {
                continue;
            }
            let gain = match goal {
                Goal::Time(_) => us,
                Goal::Need(kind, _) => {
                    let mut widths = self.widths.clone();
                    set(&mut widths, unit.index, to);
                    before.saturating_sub(kind.of(&self.solver.estimator.at(&widths)?)) as f64
                }
            };
            let worth = gain / self.prices.of(i, unit.channels, width, to).max(f64::MIN_POSITIVE);
            if gain > 0.0 && best.is_none_or(|b| worth > b.worth) {
                best = Some(Move { width: to, us, worth });
            }
        }
        Ok(best)
    }

    /// Gives back the channels that are dearest for their time, while there is room.
    fn grow(&mut self, goal: Goal) -> Result<()> {
        loop {
            let mut moves: Vec<(usize, Move)> = Vec::new();
            for (i, unit) in self.solver.units.iter().enumerate() {
                let width = self.width(unit);
                let above = width / unit.step * unit.step;
                for jump in 1..=REACH {
                    let to = (above + jump * unit.step).min(unit.most);
                    if to <= width {
                        break;
                    }
                    let us = -self.saved(unit, to);
                    let price = self.prices.of(i, unit.channels, to, width);
                    let fits = match goal {
                        Goal::Time(limit) => self.total() + us <= limit,
                        Goal::Need(kind, limit) => {
                            let mut widths = self.widths.clone();
                            set(&mut widths, unit.index, to);
                            kind.of(&self.solver.estimator.at(&widths)?) <= limit
                        }
                    };
                    if fits {
                        moves.push((i, Move { width: to, us, worth: price / us.max(NOTHING) }));
                    }
                }
            }
            let best = moves.into_iter().max_by(|a, b| a.1.worth.total_cmp(&b.1.worth).then(b.0.cmp(&a.0)));
            let Some((i, best)) = best else { return Ok(()) };
            let Some(unit) = self.solver.units.get(i) else { return Ok(()) };
            // What takes more time than all that was saved would make the whole pointless.
            if matches!(goal, Goal::Need(..)) && best.us > NOTHING * self.total() {
                let full: f64 = self.forecast.total(&self.solver.full());
                if self.total() + best.us >= full {
                    return Ok(());
                }
            }
            self.take(unit, best.width);
        }
    }

    /// Where much of the limit is left over, because no single unit has room for another step: the pair of a wider and a
    /// narrower unit that leaves least.
    fn settle(&mut self, limit: f64) {
        let total = self.total();
        if limit - total <= SETTLED * limit {
            return;
        }
        let (mut wider, mut narrower) = (Vec::new(), Vec::new());
        for (i, unit) in self.solver.units.iter().enumerate() {
            let width = self.width(unit);
            let floor = width / unit.step * unit.step;
            for jump in 1..=PAIRED {
                let up = (floor + jump * unit.step).min(unit.most);
                if up > width {
                    wider.push((i, up, -self.saved(unit, up)));
                }
                let below = width.saturating_sub(1) / unit.step * unit.step;
                let down = below.checked_sub((jump - 1) * unit.step).filter(|&w| w >= unit.least && w > 0);
                if let Some(down) = down {
                    narrower.push((i, down, self.saved(unit, down)));
                }
            }
        }
        let mut pairs: Vec<(f64, [(usize, usize); 2])> = Vec::new();
        for &(i, up, more) in &wider {
            for &(j, down, less) in narrower.iter().filter(|n| n.0 != i && n.2 > NOTHING * total) {
                let left = limit - (total + more - less);
                if left >= 0.0 && left < limit - total {
                    pairs.push((left, [(i, up), (j, down)]));
                }
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Units that share a block do not add up, so the most promising are looked at again.
        let before = self.widths.clone();
        let mut best = (total, before.clone());
        for (_, pair) in pairs.into_iter().take(LOOKED_AT) {
            let mut widths = before.clone();
            for (i, width) in pair {
                if let Some(unit) = self.solver.units.get(i) {
                    set(&mut widths, unit.index, width);
                }
            }
            let time = self.forecast.total(&widths);
            if time <= limit && time > best.0 {
                best = (time, widths);
            }
        }
        self.go(best.1);
    }
}
