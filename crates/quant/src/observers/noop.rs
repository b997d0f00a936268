//! Observers that look at nothing.

use serde::Deserialize;

use super::{Follows, Observer, ObserverConfig};
use crate::{QParams, QScheme, Result};

/// `NoopObserver`, `PlaceholderObserver` and `ReuseInputObserver`: no grid follows from them, so that configs that round by them
/// are refused. They stand where others decide.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoopObserver {}

impl ObserverConfig for NoopObserver {
    fn observer(&self, _: QScheme) -> Box<dyn Observer> {
        Box::new(Noop)
    }

    fn follows(&self) -> Follows {
        Follows::Nothing
    }
}

/// The observer of [`NoopObserver`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Noop;

impl Observer for Noop {
    fn observe(&mut self, _: &[f32], _: &[usize]) -> Result<()> {
        Ok(())
    }

    fn qparams(&self) -> Option<QParams> {
        None
    }

    fn range(&self) -> (&[f32], &[f32]) {
        (&[], &[])
    }

    fn reset(&mut self) {}
}
