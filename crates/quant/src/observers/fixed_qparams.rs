//! A grid that is given.

use serde::Deserialize;

use super::{Follows, Observer, ObserverConfig};
use crate::{Error, QParams, QScheme, Result};

/// `FixedQParamsObserver(scale, zero_point)`: this grid, whatever passes; one for a whole tensor.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedQParamsObserver {
    /// Size of a step, above 0.
    pub scale: f32,
    /// The integer that 0 becomes, one of the scheme's.
    pub zero_point: i32,
}

impl ObserverConfig for FixedQParamsObserver {
    fn observer(&self, _: QScheme) -> Box<dyn Observer> {
        Box::new(FixedQParams { scale: self.scale, zero_point: self.zero_point })
    }

    fn follows(&self) -> Follows {
        Follows::Config
    }

    fn check(&self, scheme: &QScheme) -> Result<()> {
        if !(self.scale > 0.0 && self.scale.is_finite()) {
            return Err(Error::Other(format!("`scale` is {}, but must be above 0", self.scale)));
        }
        let integers = scheme.low()..=scheme.high();
        if !integers.contains(&self.zero_point) {
            let zero = self.zero_point;
            return Err(Error::Other(format!(
                "`zero_point` is {zero}, which is not one of the integers {integers:?}"
            )));
        }
        Ok(())
    }
}

/// The observer of [`FixedQParamsObserver`]: nothing is remembered.
#[derive(Debug, Clone)]
pub struct FixedQParams {
    scale: f32,
    zero_point: i32,
}

impl FixedQParams {
    /// The grid with this step, in which 0 is the integer `zero_point`.
    pub fn new(scale: f32, zero_point: i32) -> Self {
        Self { scale, zero_point }
    }
}

impl Observer for FixedQParams {
    fn observe(&mut self, _: &[f32], _: &[usize]) -> Result<()> {
        Ok(())
    }

    fn qparams(&self) -> Option<QParams> {
        Some(QParams { scale: vec![self.scale], zero_point: vec![self.zero_point] })
    }

    fn range(&self) -> (&[f32], &[f32]) {
        (&[], &[])
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_change_nothing() {
        let config = FixedQParamsObserver { scale: 1.0 / 256.0, zero_point: 0 };
        let scheme = QScheme::activations(8);
        config.check(&scheme).unwrap();
        let mut o = config.observer(scheme);
        o.observe(&[f32::NAN, 7.0], &[2]).unwrap();
        assert_eq!(o.qparams().unwrap(), QParams { scale: vec![1.0 / 256.0], zero_point: vec![0] });
        assert!(FixedQParamsObserver { scale: 1.0, zero_point: 256 }.check(&scheme).is_err());
        assert!(FixedQParamsObserver { scale: 0.0, zero_point: 0 }.check(&scheme).is_err());
    }
}
