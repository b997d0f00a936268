//! Which channels go, so that a target is met.

use occam_graph::{Bindings, Graph};
use occam_space::{Estimator, Resources, Selection, Trace};

use crate::importance::Scores;
use crate::{Error, Result};

/// What a target is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Multiply-accumulates of one run.
    Macs,
    /// Elements of trainable parameters.
    Params,
    /// Elements that nodes write.
    Activations,
}

impl TargetKind {
    /// Its name in errors and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Macs => "MACs",
            Self::Params => "parameters",
            Self::Activations => "activations",
        }
    }

    /// How much of it there is.
    pub fn of(self, resources: &Resources) -> u64 {
        match self {
            Self::Macs => resources.macs,
            Self::Params => resources.params,
            Self::Activations => resources.activations,
        }
    }
}

/// How much is to be left of what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Of what.
    pub kind: TargetKind,
    /// The part that may be left, above 0 and at most 1.
    pub part: f64,
}

/// Which channels compete with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// All of the model: units of little importance lose more.
    #[default]
    Global,
    /// Those of one unit: every unit loses the same part.
    Uniform,
}

/// What a solution must keep to.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Widths of layers are multiples of this; a unit too narrow for two multiples uses the half, and so on.
    pub round_to: usize,
    /// The part of a unit that may go at most.
    pub max_ratio: f64,
    /// By unit another such part: 0 protects it.
    pub of_unit: Vec<Option<f64>>,
    /// By unit how many channels it still has, where it has lost some already: no solution has more.
    pub left: Vec<Option<usize>>,
    /// Which channels compete.
    pub scope: Scope,
}

impl Default for Limits {
    fn default() -> Self {
        Self { round_to: 8, max_ratio: 0.9, of_unit: Vec::new(), left: Vec::new(), scope: Scope::Global }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Which channels stay.
    pub selection: Selection,
    /// What the model needs with all channels.
    pub before: Resources,
    /// What it needs with those that stay.
    pub after: Resources,
}

/// A unit that competes.
pub(crate) struct Unit {
    pub index: usize,
    pub channels: usize,
    /// The widths that it may have.
    pub least: usize,
    pub most: usize,
    /// Widths are multiples of this.
    pub step: usize,
    /// The part that may go at most.
    ratio: f64,
    /// What divides the numbers of elements that a channel has in layers.
    pub each: usize,
    /// Channels from the least important one.
    pub order: Vec<usize>,
}

impl Unit {
    /// Makes widths such that sizes of layers are multiples of `multiple`; a unit too narrow for two uses the half, and so on.
    pub fn align(&mut self, multiple: usize) {
        self.step = (multiple / gcd(multiple, self.each)).max(1);
        while self.step > 1 && self.channels < 2 * self.step {
            self.step /= 2;
        }
        let least = (self.channels as f64 * (1.0 - self.ratio.clamp(0.0, 1.0)) - 1e-9).ceil() as usize;
        self.least = least.next_multiple_of(self.step).clamp(1, self.most);
    }

    /// The width nearest to `width` that the limits allow.
    pub fn rounded(&self, width: usize) -> usize {
        let multiple = (width + self.step / 2) / self.step * self.step;
        multiple.clamp(self.least, self.most)
    }
}

/// Finds the channels that go.
pub struct Solver<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) estimator: Estimator<'a>,
    pub(crate) units: Vec<Unit>,
    pub(crate) scores: Scores,
    pub(crate) scope: Scope,
}

pub(crate) fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl<'a> Solver<'a> {
    /// Prepares to prune `graph` by `scores`; sizes with symbols are those of `bindings`.
    ///
    /// # Errors
    /// No unit can lose a channel, or a symbol is not bound.
    pub fn new(
        graph: &'a Graph,
        trace: &'a Trace,
        scores: Scores,
        limits: &Limits,
        bindings: &'a Bindings,
    ) -> Result<Self> {
        let mut units = Vec::new();
        for (index, unit) in trace.units.iter().enumerate() {
            let own = scores.get(index).map(Vec::as_slice).unwrap_or_default();
            if unit.kept_by.is_some() || own.len() != unit.channels {
                continue;
            }
            let ratio = limits.of_unit.get(index).copied().flatten().unwrap_or(limits.max_ratio);
            // A channel of the unit may be several of a layer.
            let each = unit.members.iter().map(|m| m.per_channel).fold(0, gcd).max(1);
            let most = limits.left.get(index).copied().flatten().unwrap_or(unit.channels);
            let most = most.clamp(1, unit.channels);
            let mut order: Vec<usize> = (0..unit.channels).collect();
            let score = |c: usize| own.get(c).copied().unwrap_or(f64::INFINITY);
            // Among equals the last goes first.
            order.sort_by(|&a, &b| score(a).total_cmp(&score(b)).then(b.cmp(&a)));
            let mut unit =
                Unit { index, channels: unit.channels, least: 1, most, step: 1, ratio, each, order };
            unit.align(limits.round_to);
            units.push(unit);
        }
        if units.iter().all(|u| u.least >= u.most) {
            let limited = units.iter().find(|u| u.channels > 1).and_then(|u| trace.units.get(u.index));
            let limited = limited.map(|u| {
                format!("the limits let `{}` lose none, nor any other unit that could lose some", u.name)
            });
            let kept =
                || trace.units.iter().find_map(|u| u.kept_by.as_ref().map(|r| format!("`{}`: {r}", u.name)));
            let why = limited.or_else(kept);
            return Err(Error::Nothing(why.unwrap_or_else(|| "it has no layers with channels".into())));
        }
        let mut scores = scores;
        if limits.scope == Scope::Uniform {
            for unit in &units {
                if let Some(own) = scores.get_mut(unit.index) {
                    for (rank, &c) in unit.order.iter().enumerate() {
                        if let Some(s) = own.get_mut(c) {
                            *s = (rank as f64 + 0.5) / unit.channels as f64;
                        }
                    }
                }
            }
        }
        let estimator = Estimator::new(graph, trace, bindings)?;
        Ok(Self { trace, estimator, units, scores, scope: limits.scope })
    }

    /// The selection that leaves no more than `target` says, and as near to it as the widths allow.
    ///
    /// # Errors
    /// The target is no part, or cannot be reached; the message says what keeps the rest.
    pub fn solve(&self, target: Target) -> Result<Outcome> {
        let kind = target.kind;
        if !(target.part > 0.0 && target.part <= 1.0) {
            return Err(Error::Target { what: kind.name(), wanted: target.part });
        }
        let full = self.full();
        let before = self.estimator.at(&full)?;
        let limit = (kind.of(&before) as f64 * target.part).floor() as u64;
        let mut least = full.clone();
        self.units.iter().for_each(|u| set(&mut least, u.index, u.least));
        let smallest = kind.of(&self.estimator.at(&least)?);
        if smallest > limit {
            return Err(self.unreachable(target, kind.of(&before), smallest));
        }
        let queue = self.queue();
        let (mut low, mut high) = (0, queue.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if kind.of(&self.estimator.at(&self.widths(&full, &queue, middle))?) <= limit {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let mut widths = self.widths(&full, &queue, high);
        self.regrow(&mut widths, kind, limit)?;
        let after = self.estimator.at(&widths)?;
        Ok(Outcome { selection: self.select(&widths)?, before, after })
    }

    /// The selection that keeps so many channels of each unit, the most important ones.
    ///
    /// # Errors
    /// A unit that must stay would lose channels, or keep none.
    pub fn at(&self, widths: &[usize]) -> Result<Outcome> {
        let full = self.full();
        for ((unit, &full), &width) in self.trace.units.iter().zip(&full).zip(widths) {
            if width != full && !self.units.iter().any(|u| self.trace.units.get(u.index) == Some(unit)) {
                let why =
                    unit.kept_by.as_ref().map_or_else(|| "it has no scores".into(), ToString::to_string);
                return Err(occam_space::Error::Fixed { name: unit.name.clone(), why }.into());
            }
        }
        let selection = self.select(widths)?;
        Ok(Outcome { selection, before: self.estimator.at(&full)?, after: self.estimator.at(widths)? })
    }

    /// What the model needs that no unit can make smaller.
    pub fn fixed(&self) -> Resources {
        self.estimator.fixed()
    }

    /// The widths of all units with all channels.
    pub(crate) fn full(&self) -> Vec<usize> {
        self.trace.units.iter().map(|u| u.channels).collect()
    }

    /// All channels that compete, the least important first: unit by position in [`Solver::units`].
    pub(crate) fn queue(&self) -> Vec<usize> {
        let mut all: Vec<(f64, usize)> = Vec::new();
        for (i, unit) in self.units.iter().enumerate() {
            let own = self.scores.get(unit.index).map(Vec::as_slice).unwrap_or_default();
            all.extend(unit.order.iter().map(|&c| (own.get(c).copied().unwrap_or(f64::INFINITY), i)));
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.into_iter().map(|(_, i)| i).collect()
    }

    /// The widths where the first `count` of the queue go.
    pub(crate) fn widths(&self, full: &[usize], queue: &[usize], count: usize) -> Vec<usize> {
        let mut gone = vec![0usize; self.units.len()];
        for &i in queue.iter().take(count) {
            if let Some(g) = gone.get_mut(i) {
                *g += 1;
            }
        }
        let mut widths = full.to_vec();
        for (unit, gone) in self.units.iter().zip(gone) {
            set(&mut widths, unit.index, unit.rounded(unit.channels - gone.min(unit.channels)));
        }
        widths
    }

    /// Gives back the most important channels for which there is room.
    fn regrow(&self, widths: &mut Vec<usize>, kind: TargetKind, limit: u64) -> Result<()> {
        loop {
            let mut next: Vec<(f64, usize, usize)> = Vec::new();
            for unit in &self.units {
                let width = widths.get(unit.index).copied().unwrap_or(0);
                if width < unit.most {
                    let wider = (width / unit.step * unit.step + unit.step).min(unit.most);
                    let own = self.scores.get(unit.index).map(Vec::as_slice).unwrap_or_default();
                    let back = unit.order.iter().rev().skip(width).take(wider - width);
                    let sum: f64 = back.filter_map(|&c| own.get(c)).sum();
                    next.push((sum / (wider - width).max(1) as f64, unit.index, wider));
                }
            }
            next.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut grew = false;
            for (_, index, wider) in next {
                let mut tried = widths.clone();
                set(&mut tried, index, wider);
                if kind.of(&self.estimator.at(&tried)?) <= limit {
                    *widths = tried;
                    grew = true;
                }
            }
            if !grew {
                return Ok(());
            }
        }
    }

    /// The most important channels of each unit, as many as its width.
    pub(crate) fn select(&self, widths: &[usize]) -> Result<Selection> {
        let mut selection = Selection::all(self.trace);
        for unit in &self.units {
            let width = widths.get(unit.index).copied().unwrap_or(unit.channels);
            let mut keep = vec![true; unit.channels];
            for &c in unit.order.iter().take(unit.channels.saturating_sub(width)) {
                if let Some(k) = keep.get_mut(c) {
                    *k = false;
                }
            }
            selection.set(self.trace, unit.index, keep)?;
        }
        Ok(selection)
    }

    /// The units that must stay, as the end of a message; empty where there are none.
    pub(crate) fn stays(&self) -> String {
        let mut kept: Vec<String> = self
            .trace
            .units
            .iter()
            .filter_map(|u| u.kept_by.as_ref().map(|r| format!("`{}`: {r}", u.name)))
            .collect();
        let more = kept.len().saturating_sub(3);
        kept.truncate(3);
        match (kept.is_empty(), more) {
            (true, _) => String::new(),
            (false, 0) => format!("; these must stay: {}", kept.join("; ")),
            (false, n) => format!("; these must stay: {}; and {n} more", kept.join("; ")),
        }
    }

    fn unreachable(&self, target: Target, full: u64, smallest: u64) -> Error {
        let why = self.stays();
        let part = |n: u64| n as f64 / full.max(1) as f64;
        let what = target.kind.name();
        Error::Unreachable { what, wanted: target.part, full, least: part(smallest), why }
    }
}

pub(crate) fn set(widths: &mut [usize], index: usize, width: usize) {
    if let Some(w) = widths.get_mut(index) {
        *w = width;
    }
}
