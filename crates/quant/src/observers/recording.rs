//! All that passes, kept.

use serde::Deserialize;

use super::{Follows, Observer, ObserverConfig};
use crate::{QParams, QScheme, Result};

/// `RecordingObserver`: keeps all tensors, to look into a model. No grid follows from it, and memory grows with what passes.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingObserver {}

impl ObserverConfig for RecordingObserver {
    fn observer(&self, _: QScheme) -> Box<dyn Observer> {
        Box::new(Recording::default())
    }

    fn follows(&self) -> Follows {
        Follows::Nothing
    }
}

/// The observer of [`RecordingObserver`].
#[derive(Debug, Clone, Default)]
pub struct Recording {
    tensors: Vec<(Vec<usize>, Vec<f32>)>,
}

impl Recording {
    /// Shapes and elements of all tensors, in the order in which they passed.
    pub fn tensors(&self) -> &[(Vec<usize>, Vec<f32>)] {
        &self.tensors
    }
}

impl Observer for Recording {
    fn observe(&mut self, x: &[f32], shape: &[usize]) -> Result<()> {
        self.tensors.push((shape.to_vec(), x.to_vec()));
        Ok(())
    }

    fn qparams(&self) -> Option<QParams> {
        None
    }

    fn range(&self) -> (&[f32], &[f32]) {
        (&[], &[])
    }

    fn reset(&mut self) {
        self.tensors.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_kept() {
        let mut o = Recording::default();
        o.observe(&[1.0, 2.0], &[1, 2]).unwrap();
        o.observe(&[f32::NAN], &[1]).unwrap();
        assert_eq!(o.tensors()[0], (vec![1, 2], vec![1.0, 2.0]));
        assert_eq!(o.tensors().len(), 2);
        assert!(o.qparams().is_none());
        o.reset();
        assert!(o.tensors().is_empty());
    }
}
