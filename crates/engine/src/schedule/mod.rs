//! Learning-rate schedules with mmengine's semantics. One rule a file.
//!
//! A schedule counts its own steps within `[begin, end)` and turns the learning rate of one step into the next's.
//! Rules multiply what they find, so that several over the same steps compose, as warm-up and decay do.

mod cosine;
mod linear;
mod multi_step;

pub use cosine::CosineAnnealing;
pub use linear::Linear;
pub use multi_step::MultiStep;

use crate::{Error, Result};

/// How one step's learning rate becomes the next's.
pub trait Rule: Send + Sync {
    /// The learning rate of step `step` (0 is the first in range), from that of the step before and the rate that
    /// the optimizer was configured with.
    fn next(&self, step: u64, lr: f64, base: f64) -> f64;
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
}

/// A rule, its steps and where it stands.
pub struct Schedule {
    rule: Box<dyn Rule>,
    span: Span,
    base: f64,
    progress: Progress,
}

impl Schedule {
    /// A schedule of `rule` over `span` for an optimizer configured with the rate `base`.
    pub fn new(rule: Box<dyn Rule>, span: Span, base: f64) -> Self {
        Self { rule, span, base, progress: Progress::default() }
    }

    /// Whether its steps are epochs.
    pub fn by_epoch(&self) -> bool {
        self.span.by_epoch
    }

    /// Takes a step: the learning rate after it. The first step is taken before training.
    pub fn step(&mut self, lr: f64) -> f64 {
        let p = &mut self.progress;
        let inside = (self.span.begin..self.span.end).contains(&p.global);
        p.global += 1;
        if !inside {
            return lr;
        }
        p.in_range += 1;
        self.rule.next(p.in_range - 1, lr, self.base)
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
