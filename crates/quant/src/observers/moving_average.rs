//! Moving averages of the least and the largest element.

use serde::Deserialize;

use super::{Follows, Observer, ObserverConfig, extremes, restore};
use crate::{Error, QParams, QScheme, Result};

/// `MovingAverageMinMaxObserver` and `MovingAveragePerChannelMinMaxObserver(averaging_constant=0.01)`: `m += c · (m_batch − m)` of
/// the least and the largest element, which are those of the first tensor at first.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MovingAverageMinMaxObserver {
    /// `c`, above 0 and at most 1.
    pub averaging_constant: f32,
}

impl Default for MovingAverageMinMaxObserver {
    fn default() -> Self {
        Self { averaging_constant: 0.01 }
    }
}

impl ObserverConfig for MovingAverageMinMaxObserver {
    fn observer(&self, scheme: QScheme) -> Box<dyn Observer> {
        Box::new(MovingAverage::new(scheme, self.averaging_constant))
    }

    fn follows(&self) -> Follows {
        Follows::MovingAverage
    }

    fn check(&self, _: &QScheme) -> Result<()> {
        let c = self.averaging_constant;
        if c > 0.0 && c <= 1.0 {
            return Ok(());
        }
        Err(Error::Other(format!("`averaging_constant` is {c}, but must be above 0 and at most 1")))
    }
}

/// The observer of [`MovingAverageMinMaxObserver`].
#[derive(Debug, Clone)]
pub struct MovingAverage {
    scheme: QScheme,
    constant: f32,
    min: Vec<f32>,
    max: Vec<f32>,
}

impl MovingAverage {
    /// Nothing observed yet; each tensor then counts for the part `constant`.
    pub fn new(scheme: QScheme, constant: f32) -> Self {
        Self { scheme, constant, min: Vec::new(), max: Vec::new() }
    }
}

impl Observer for MovingAverage {
    fn observe(&mut self, x: &[f32], shape: &[usize]) -> Result<()> {
        if x.is_empty() {
            return Ok(());
        }
        let (min, max) = extremes(&self.scheme, x, shape)?;
        if self.min.len() != min.len() {
            (self.min, self.max) = (min, max);
            return Ok(());
        }
        let c = self.constant;
        self.min.iter_mut().zip(min).for_each(|(a, b)| *a += c * (b - *a));
        self.max.iter_mut().zip(max).for_each(|(a, b)| *a += c * (b - *a));
        Ok(())
    }

    fn qparams(&self) -> Option<QParams> {
        (!self.min.is_empty()).then(|| QParams::of(&self.scheme, &self.min, &self.max))
    }

    fn range(&self) -> (&[f32], &[f32]) {
        (&self.min, &self.max)
    }

    fn reset(&mut self) {
        *self = Self::new(self.scheme, self.constant);
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

    #[test]
    fn later_tensors_count_for_their_part() {
        let mut o = MovingAverage::new(QScheme::activations(8), 0.25);
        o.observe(&[-1.0, 1.0], &[2]).unwrap();
        o.observe(&[-3.0, 5.0], &[2]).unwrap();
        assert_eq!(o.range(), (&[-1.5][..], &[2.0][..]));
        let state: Vec<(String, Vec<f32>)> = o.state().into_iter().map(|(n, v)| (n.into(), v)).collect();
        let mut resumed = MovingAverage::new(QScheme::activations(8), 0.25);
        resumed.load_state(&state).unwrap();
        assert_eq!(resumed.range(), o.range());
        assert!(resumed.load_state(&[("tensor_norm".into(), vec![1.0])]).is_err());
    }

    #[test]
    fn constants_are_parts() {
        for (c, good) in [(0.0, false), (0.01, true), (1.0, true), (1.5, false), (f32::NAN, false)] {
            let config = MovingAverageMinMaxObserver { averaging_constant: c };
            assert_eq!(config.check(&QScheme::activations(8)).is_ok(), good, "{c}");
        }
    }
}
