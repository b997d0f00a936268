//! Where learned steps begin (Esser et al., 2020, arXiv:1902.08153).

use serde::Deserialize;

use super::extremes::mean_sizes;
use super::{Follows, MinMax, Observer, ObserverConfig};
use crate::{EPS, QParams, QScheme, Result};

/// `LSQObserver` and `LSQPerChannelObserver`: the scale is `2 · mean |x| / √high` of the last tensor, the zero point that of
/// [`MinMax`] over all.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LSQObserver {}

impl ObserverConfig for LSQObserver {
    fn observer(&self, scheme: QScheme) -> Box<dyn Observer> {
        Box::new(Lsq::new(scheme))
    }

    fn follows(&self) -> Follows {
        Follows::Data
    }
}

/// The observer of [`LSQObserver`]. A scale is at least [`EPS`], as that of a grid that learns.
#[derive(Debug, Clone)]
pub struct Lsq {
    scheme: QScheme,
    all: MinMax,
    norm: Vec<f32>,
}

impl Lsq {
    /// Nothing observed yet.
    pub fn new(scheme: QScheme) -> Self {
        Self { scheme, all: MinMax::new(scheme), norm: Vec::new() }
    }
}

impl Observer for Lsq {
    fn observe(&mut self, x: &[f32], shape: &[usize]) -> Result<()> {
        if x.is_empty() {
            return Ok(());
        }
        self.all.observe(x, shape)?;
        self.norm = mean_sizes(&self.scheme, x, shape)?;
        Ok(())
    }

    fn qparams(&self) -> Option<QParams> {
        let grid = self.all.qparams()?;
        let root = (self.scheme.high() as f32).sqrt();
        let scale = self.norm.iter().map(|n| (2.0 * n / root).max(EPS)).collect();
        Some(QParams { scale, ..grid })
    }

    fn range(&self) -> (&[f32], &[f32]) {
        self.all.range()
    }

    fn reset(&mut self) {
        *self = Self::new(self.scheme);
    }

    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        let mut state = self.all.state();
        if !state.is_empty() {
            state.push(("tensor_norm", self.norm.clone()));
        }
        state
    }

    fn load_state(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        let (own, all): (Vec<_>, Vec<_>) = state.iter().cloned().partition(|(name, _)| name == "tensor_norm");
        self.norm = own.into_iter().next().map_or_else(Vec::new, |(_, numbers)| numbers);
        self.all.load_state(&all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QDtype;

    /// The original's tests of its observers.
    #[test]
    fn ones_have_the_originals_scales() {
        let symmetric = QScheme { is_symmetry: true, ..QScheme::activations(8) };
        let mut o = Lsq::new(symmetric);
        o.observe(&[1.0; 120], &[2, 3, 20]).unwrap();
        assert_eq!(o.qparams().unwrap(), QParams { scale: vec![2.0 / 255f32.sqrt()], zero_point: vec![127] });
        let by_channel = QScheme { qdtype: QDtype::Qint8, ..QScheme::weights(8, Some(0)) };
        let mut o = Lsq::new(by_channel);
        o.observe(&[1.0; 120], &[2, 3, 20]).unwrap();
        let grid = o.qparams().unwrap();
        assert_eq!(grid, QParams { scale: vec![2.0 / 127f32.sqrt(); 2], zero_point: vec![0; 2] });
        let state: Vec<(String, Vec<f32>)> = o.state().into_iter().map(|(n, v)| (n.into(), v)).collect();
        let mut resumed = Lsq::new(by_channel);
        resumed.load_state(&state).unwrap();
        assert_eq!(resumed.qparams().unwrap(), grid);
    }
}
