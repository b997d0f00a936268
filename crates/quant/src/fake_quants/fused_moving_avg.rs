//! Rounding by moving averages, as PyTorch's fused operator does.

use serde::Deserialize;

use super::FakeQuantConfig;
use crate::observers::{Follows, Observer};
use crate::{Error, QParams, QScheme, Result};

/// `FusedMovingAvgObsFakeQuantize`: its observer takes moving averages; scale and zero point follow from them by PyTorch's
/// `ChooseQuantizationParams`, which is not quite what its observers do:
///
/// - symmetric: `scale = max(−min / (⌊(high − low) / 2⌋ + 1), max / ⌊(high − low) / 2⌋)`, and the zero point is the middle,
///   `(low + high) / 2` with ties to even;
/// - else the zero point is computed from that end of the range which is nearer to 0;
/// - scales below `6.1e-5` become that.
///
/// A symmetric grid stays symmetric where all elements have one sign; PyTorch's operator gives it another zero point there.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FusedMovingAvgObsFakeQuantize {}

impl FakeQuantConfig for FusedMovingAvgObsFakeQuantize {
    fn qparams(&self, scheme: &QScheme, observer: &dyn Observer) -> Option<QParams> {
        let (min, max) = observer.range();
        let grids = min.iter().zip(max).map(|(&min, &max)| choose(scheme, min, max));
        let (scale, zero_point): (Vec<f32>, Vec<i32>) = grids.unzip();
        (!scale.is_empty()).then_some(QParams { scale, zero_point })
    }

    fn check(&self, follows: Follows) -> Result<()> {
        if follows == Follows::MovingAverage {
            return Ok(());
        }
        Err(Error::Other("FusedMovingAvgObsFakeQuantize only works with MovingAverageMinMaxObserver".into()))
    }
}

/// The least scale.
const SMALL: f32 = 6.1e-5;

fn choose(scheme: &QScheme, min: f32, max: f32) -> (f32, i32) {
    let (low, high) = (scheme.low(), scheme.high());
    let steps = high - low;
    let (mut min, mut max) = (min.min(0.0), max.max(0.0));
    if scheme.is_symmetry {
        let (below, above) = (f64::from(steps / 2 + 1), f64::from(steps / 2));
        let scale = (f64::from(min) / below).abs().max((f64::from(max) / above).abs());
        (min, max) = ((-scale * below) as f32, (scale * above) as f32);
    }
    let mut scale = (f64::from(max) - f64::from(min)) / f64::from(steps);
    if scale as f32 == 0.0 || (1.0 / scale as f32).is_infinite() {
        scale = 0.1;
    }
    if scale < f64::from(SMALL) {
        let amplifier = SMALL / scale as f32;
        (min, max) = match (min, max) {
            (0.0, _) => (min, SMALL * steps as f32),
            (_, 0.0) => (-SMALL * steps as f32, max),
            _ => (min * amplifier, max * amplifier),
        };
        scale = f64::from(SMALL);
    }
    let zero = if scheme.is_symmetry {
        f64::from(low + high) / 2.0
    } else {
        let (first, last) = (f64::from(min) / scale, f64::from(max) / scale);
        let is_first = f64::from(low.abs()) + first.abs() < f64::from(high.abs()) + last.abs();
        if is_first { f64::from(low) - first } else { f64::from(high) - last }
    };
    let zero = zero.clamp(low.into(), high.into()).round_ties_even() as i32;
    (scale as f32, zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symmetric_grids_stay_symmetric() {
        let weights = QScheme { is_symmetric_range: false, ..QScheme::weights(8, None) };
        assert_eq!(choose(&weights, 0.0, 1.27), (0.01, 0));
        assert_eq!(choose(&weights, -1.28, 0.0), (0.01, 0));
        assert_eq!(choose(&weights, 0.0, 0.0), (0.1, 0));
        assert_eq!(choose(&QScheme::activations(8), 0.0, 1e-6), (SMALL, 0));
    }
}
