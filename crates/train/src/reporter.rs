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

/// Shows people what happens; every call is optional to act on.
pub trait Reporter: Send {
    /// A step was done.
    fn progress(&mut self, progress: &Progress<'_>) {
        let _ = progress;
    }

    /// The stretch of work ended.
    fn finished(&mut self) {}

    /// Figures to remember: a training log, or a validation's results.
    fn scalars(&mut self, stage: &str, at: &str, values: &IndexMap<String, f64>) {
        let _ = (stage, at, values);
    }

    /// A sentence.
    fn message(&mut self, text: &str) {
        let _ = text;
    }
}

/// Tells nobody.
pub struct Silent;

impl Reporter for Silent {}
