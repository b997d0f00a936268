//! The least and the largest element of all.

use serde::Deserialize;

use super::{Follows, Observer, ObserverConfig, extremes, restore};
use crate::{QParams, QScheme, Result};

/// `MinMaxObserver` and `PerChannelMinMaxObserver`: see [`MinMax`].
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinMaxObserver {}

impl ObserverConfig for MinMaxObserver {
    fn observer(&self, scheme: QScheme) -> Box<dyn Observer> {
        Box::new(MinMax::new(scheme))
    }

    fn follows(&self) -> Follows {
        Follows::Data
    }
}

/// `min = min(min, x.min())`, `max = max(max, x.max())` over all tensors: `MinMaxObserver`, and `PerChannelMinMaxObserver`
/// where the scheme has an axis.
#[derive(Debug, Clone)]
pub struct MinMax {
    scheme: QScheme,
    min: Vec<f32>,
    max: Vec<f32>,
}

impl MinMax {
    /// Nothing observed yet.
    pub fn new(scheme: QScheme) -> Self {
        Self { scheme, min: Vec::new(), max: Vec::new() }
    }
}

impl Observer for MinMax {
    fn observe(&mut self, x: &[f32], shape: &[usize]) -> Result<()> {
        if x.is_empty() {
            return Ok(());
        }
        let (min, max) = extremes(&self.scheme, x, shape)?;
        if self.min.len() != min.len() {
            (self.min, self.max) = (min, max);
            return Ok(());
        }
        self.min.iter_mut().zip(min).for_each(|(a, b)| *a = a.min(b));
        self.max.iter_mut().zip(max).for_each(|(a, b)| *a = a.max(b));
        Ok(())
    }

    fn observe_bounds(&mut self, least: f32, largest: f32) -> bool {
        if self.scheme.ch_axis.is_some() {
            return false;
        }
        let (min, max) = (self.min.first(), self.max.first());
        self.min = vec![min.map_or(least, |m| m.min(least))];
        self.max = vec![max.map_or(largest, |m| m.max(largest))];
        true
    }

    fn qparams(&self) -> Option<QParams> {
        (!self.min.is_empty()).then(|| QParams::of(&self.scheme, &self.min, &self.max))
    }

    fn range(&self) -> (&[f32], &[f32]) {
        (&self.min, &self.max)
    }

    fn reset(&mut self) {
        *self = Self::new(self.scheme);
    }

    fn load_state(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        let [min, max] = restore(state, ["min_val", "max_val"])?;
        (self.min, self.max) = (min, max);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn keeps_the_extremes_of_all_tensors() {
        let mut o = MinMax::new(QScheme::activations(8));
        assert!(o.qparams().is_none());
        o.observe(&[-1.0, 0.5], &[2]).unwrap();
        o.observe(&[0.25, 1.0], &[2]).unwrap();
        assert_eq!(o.range(), (&[-1.0][..], &[1.0][..]));
        assert_eq!(o.qparams().unwrap(), QParams { scale: vec![2.0 / 255.0], zero_point: vec![127] });
        o.reset();
        assert!(o.qparams().is_none());
    }

    #[test]
    fn channels_have_their_own() {
        let mut o = MinMax::new(QScheme::weights(8, Some(1)));
        let x: Vec<f32> = (0..2 * 3 * 20).map(|i| i as f32).collect();
        o.observe(&x, &[2, 3, 20]).unwrap();
        assert_eq!(o.range(), (&[0.0, 20.0, 40.0][..], &[79.0, 99.0, 119.0][..]));
        assert!(o.observe(&x, &[120]).is_err());
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 17, 39] {
                let mut x = vec![1.0f32; 40];
                x[at] = bad;
                let error = MinMax::new(QScheme::activations(8)).observe(&x, &[40]).unwrap_err();
                assert!(matches!(error, Error::NotFinite { .. }), "{error}");
            }
        }
    }
}
