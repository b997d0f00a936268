//! Schedules of learning rate, momentum and weight decay with mmengine's semantics. One rule a file.
//!
//! A schedule counts its own steps within `[begin, end)` and turns the value of one step into the next's.
//! Rules multiply what they find, so that several over the same steps compose, as warm-up and decay do.

mod constant;
mod cosine;
mod cosine_restart;
mod exponential;
mod linear;
mod multi_step;
mod one_cycle;
mod plateau;
mod poly;
mod step;

pub use constant::Constant;
pub use cosine::CosineAnnealing;
pub use cosine_restart::CosineRestart;
pub use exponential::Exponential;
pub use linear::Linear;
pub use multi_step::MultiStep;
pub use one_cycle::{Anneal, OneCycle};
pub use plateau::{Improvement, Plateau, Seen};
pub use poly::Poly;
pub use step::Step;

use crate::{Error, Result};

/// How one step's value becomes the next's.
pub trait Rule: Send + Sync {
    /// The value of step `step` (0 is the first in range), from that of the step before and the value that the
    /// optimizer was configured with.
    fn next(&self, step: u64, value: f64, base: f64) -> f64;

    /// What the configured value becomes for this rule and those after it; none where it stays.
    fn base(&self) -> Option<f64> {
        None
    }
}

/// The lowest value of a rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Floor {
    /// As it is.
    Value(f64),
    /// A share of the configured value.
    Ratio(f64),
}

impl Floor {
    /// The lowest value where `base` is the configured one.
    pub fn of(self, base: f64) -> f64 {
        match self {
            Floor::Value(v) => v,
            Floor::Ratio(r) => base * r,
        }
    }
}

/// What a schedule moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The learning rate.
    Lr,
    /// The momentum, or the first of `betas`.
    Momentum,
    /// The weight decay.
    WeightDecay,
}

/// The steps over which a rule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First step.
    pub begin: u64,
    /// Step after the last.
    pub end: u64,
    /// Whether a step is an epoch; an iteration else.
    pub by_epoch: bool,
}

/// How long the training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Iterations of an epoch.
    pub epoch: u64,
    /// Epochs in all, rounded up.
    pub max_epochs: u64,
    /// Iterations in all.
    pub max_iters: u64,
}

/// The keys that all schedules share in a config: `begin`, `end`, `by_epoch`, `convert_to_iter_based`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First step; default 0.
    pub begin: u64,
    /// Step after the last; default the end of the training.
    pub end: Option<u64>,
    /// Whether steps are epochs; default true.
    pub by_epoch: bool,
    /// Whether epochs are turned into iterations; default false.
    pub convert_to_iter_based: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self { begin: 0, end: None, by_epoch: true, convert_to_iter_based: false }
    }
}

impl Window {
    /// The steps meant, and the factor by which a rule's own step counts grow with them.
    ///
    /// # Errors
    /// `begin` is not before `end`, or iterations should be converted to iterations.
    pub fn resolve(self, length: Length) -> Result<(Span, u64)> {
        let default = if self.by_epoch { length.max_epochs } else { length.max_iters };
        let end = self.end.unwrap_or(default);
        if self.begin >= end {
            let message =
                format!("a schedule must begin before it ends, not run from {} to {end}", self.begin);
            return Err(Error::Optim(message));
        }
        if !self.convert_to_iter_based {
            return Ok((Span { begin: self.begin, end, by_epoch: self.by_epoch }, 1));
        }
        if !self.by_epoch {
            return Err(Error::Optim("`convert_to_iter_based` needs `by_epoch=True`".into()));
        }
        let factor = length.epoch.max(1);
        let (begin, end) = (self.begin.saturating_mul(factor), end.saturating_mul(factor));
        Ok((Span { begin, end, by_epoch: false }, factor))
    }
}

/// Where a schedule stands; all that resuming needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// Steps taken so far, in range or not.
    pub global: u64,
    /// Steps taken in range.
    pub in_range: u64,
    /// What a schedule by a figure has seen.
    #[serde(default)]
    pub seen: Option<Seen>,
}

/// A number that schedules move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scheduled {
    /// What it is for the next step of the training.
    pub value: f64,
    /// What it was configured as.
    pub base: f64,
}

impl Scheduled {
    /// A number that no schedule moved yet.
    pub fn new(value: f64) -> Self {
        Self { value, base: value }
    }

    /// The same number, configured as another where there is one.
    fn based_on(&mut self, base: Option<f64>) -> &mut Self {
        self.base = base.unwrap_or(self.base);
        self
    }
}

/// What decides on a schedule's values.
enum Law {
    Rule(Box<dyn Rule>),
    Plateau(Plateau),
}

/// A rule, what it moves, its steps and where it stands.
pub struct Schedule {
    law: Law,
    target: Target,
    span: Span,
    progress: Progress,
}

impl Schedule {
    /// A schedule of `rule` over `span`.
    pub fn new(rule: Box<dyn Rule>, target: Target, span: Span) -> Self {
        Self { law: Law::Rule(rule), target, span, progress: Progress::default() }
    }

    /// A schedule that follows a figure over `span`.
    pub fn by_figure(plateau: Plateau, target: Target, span: Span) -> Self {
        Self { law: Law::Plateau(plateau), target, span, progress: Progress::default() }
    }

    /// The figure that it follows, if it does.
    pub fn monitor(&self) -> Option<&str> {
        match &self.law {
            Law::Rule(_) => None,
            Law::Plateau(plateau) => Some(&plateau.monitor),
        }
    }

    /// What it moves.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Whether its steps are epochs.
    pub fn by_epoch(&self) -> bool {
        self.span.by_epoch
    }

    /// Takes the first step, before training.
    pub fn start<'a>(&mut self, numbers: impl Iterator<Item = &'a mut Scheduled>) {
        if let Law::Rule(rule) = &self.law {
            let base = rule.base();
            self.step(numbers.map(|n| n.based_on(base)));
        }
    }

    /// Takes a step.
    pub fn step<'a>(&mut self, numbers: impl Iterator<Item = &'a mut Scheduled>) {
        let p = &mut self.progress;
        let inside = (self.span.begin..self.span.end).contains(&p.global);
        p.global += 1;
        match &self.law {
            Law::Rule(rule) if inside => {
                p.in_range += 1;
                let step = p.in_range - 1;
                numbers.for_each(|n| n.value = rule.next(step, n.value, n.base));
            }
            _ => numbers.for_each(drop),
        }
    }

    /// Takes in the figure that it follows.
    pub fn observe<'a>(&mut self, figure: f64, numbers: impl Iterator<Item = &'a mut Scheduled>) {
        let inside = (self.span.begin..self.span.end).contains(&self.progress.global);
        if let (Law::Plateau(plateau), true) = (&self.law, inside) {
            self.progress.in_range += 1;
            let seen = self.progress.seen.get_or_insert_with(|| plateau.unseen());
            if plateau.observe(figure, seen) {
                numbers.for_each(|n| n.value = plateau.decayed(n.value));
            }
        }
    }

    /// Where it stands.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Continues from where another stood.
    pub fn resume(&mut self, progress: Progress) {
        self.progress = progress;
    }
}
