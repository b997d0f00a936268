//! What a run tells people while it goes on.

use indexmap::IndexMap;

/// Progress within one stretch of work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress<'a> {
    /// What is going on, such as `train` or `val`.
    pub stage: &'a str,
    /// Steps done.
    pub done: u64,
    /// Steps in all.
    pub total: u64,
    /// Loss of the last step, where there is one.
    pub loss: Option<f32>,
}

/// Figures of one moment.
#[derive(Debug, Clone, Copy)]
pub struct Log<'a> {
    /// What is going on, such as `train` or `val`.
    pub stage: &'a str,
    /// Epochs finished.
    pub epoch: u64,
    /// Iterations finished.
    pub iter: u64,
    /// The figures.
    pub values: &'a IndexMap<String, f64>,
    /// All that for people.
    pub line: &'a str,
}

/// Shows people what happens; every call is optional to act on.
pub trait Reporter: Send {
    /// A step was done.
    fn progress(&mut self, progress: &Progress<'_>) {
        let _ = progress;
    }

    /// The stretch of work ended.
    fn finished(&mut self) {}

    /// Figures to remember: a training log, or a validation's results.
    fn log(&mut self, log: &Log<'_>) {
        let _ = log;
    }

    /// A sentence.
    fn message(&mut self, text: &str) {
        let _ = text;
    }
}

/// Tells nobody.
pub struct Silent;

impl Reporter for Silent {}
