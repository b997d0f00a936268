//! Which integers stand for floats, and which float one step of them is.

use occam_graph::ops::FakeQuant;

use crate::{Error, Result};

/// Least scale: the difference between 1 and the next `f32`, as PyTorch's observers have it.
pub const EPS: f32 = f32::EPSILON;

/// Whether integers have a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QDtype {
    /// `-2^(b-1) ..= 2^(b-1) - 1`
    Qint8,
    /// `0 ..= 2^b - 1`
    Quint8,
}

/// A kind of grid: its integers, whether 0 is its middle, and along which axis it differs. The original's
/// `QSchemeHandler`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QScheme {
    /// With or without sign.
    pub qdtype: QDtype,
    /// Bits of an integer, 1 to 16.
    pub bit: u32,
    /// Whether the range is symmetric around 0: the zero point is fixed.
    pub is_symmetry: bool,
    /// Whether the least integer is left out, so that as many lie above 0 as below. It is for signed integers.
    pub is_symmetric_range: bool,
    /// The axis with a grid for every index; one grid for the whole tensor where there is none.
    pub ch_axis: Option<usize>,
    /// Elements that share a grid within an index of `ch_axis`, which is the first axis then; all of it where there is none.
    pub group: Option<usize>,
}

impl QScheme {
    /// Signed, symmetric, without the least integer, a grid for each index of `ch_axis`: what weights have everywhere.
    pub fn weights(bit: u32, ch_axis: Option<usize>) -> Self {
        Self { qdtype: QDtype::Qint8, bit, is_symmetry: true, is_symmetric_range: true, ch_axis, group: None }
    }

    /// Unsigned with a zero point, one grid for the tensor: activations of runtimes on CPUs.
    pub fn activations(bit: u32) -> Self {
        Self {
            qdtype: QDtype::Quint8,
            bit,
            is_symmetry: false,
            is_symmetric_range: false,
            ch_axis: None,
            group: None,
        }
    }

    /// How many grids a tensor of `shape` has, and how many elements that follow each other share one; the `i`-th run has the
    /// grid `i` modulo their number.
    ///
    /// # Errors
    /// The tensor has no such axis or groups.
    pub fn runs(&self, shape: &[usize]) -> Result<(usize, usize)> {
        occam_graph::ops::runs(self.ch_axis, self.group, shape).ok_or_else(|| {
            let axis = self.ch_axis.map_or_else(|| "no axis".to_owned(), |axis| format!("axis {axis}"));
            Error::Shape(match self.group {
                None => format!("there is no {axis} in a tensor of shape {shape:?}"),
                Some(group) => {
                    format!("there are no groups of {group} along {axis} in a tensor of shape {shape:?}")
                }
            })
        })
    }

    /// The node that rounds so.
    pub fn fake_quant(&self) -> FakeQuant {
        FakeQuant { group: self.group, ..FakeQuant::new(self.low(), self.high(), self.ch_axis) }
    }

    /// Refuses bit widths that there are no integers of.
    ///
    /// # Errors
    /// `bit` is not in `1..=16`, or signed integers of one bit are to be symmetric.
    pub fn check(&self) -> Result<()> {
        let (low, high) = (self.low(), self.high());
        if !(1..=16).contains(&self.bit) || low >= high {
            return Err(Error::Bits { bit: self.bit });
        }
        Ok(())
    }

    /// The least integer: `-2^(b-1)`, one more where the range is symmetric, or 0.
    pub fn low(&self) -> i32 {
        match self.qdtype {
            QDtype::Qint8 => -(1 << self.bit.clamp(1, 30) >> 1) + i32::from(self.is_symmetric_range),
            QDtype::Quint8 => 0,
        }
    }

    /// The largest integer: `2^(b-1) - 1`, or `2^b - 1` without sign.
    pub fn high(&self) -> i32 {
        match self.qdtype {
            QDtype::Qint8 => (1 << self.bit.clamp(1, 30) >> 1) - 1,
            QDtype::Quint8 => (1 << self.bit.clamp(1, 30)) - 1,
        }
    }

    /// Scale and zero point of the range `min..=max`, which is widened to hold 0.
    ///
    /// Symmetric: `scale = max(-min, max) / ((high - low) / 2)`, and the zero point is 0, or `(low + high) / 2` rounded down
    /// without sign. Else `scale = (max - min) / (high - low)` and `zero_point = clamp(low - round(min / scale), low, high)`.
    /// A scale is at least [`EPS`]. As PyTorch's `UniformQuantizationObserverBase._calculate_qparams` with a range of
    /// integers that is given, in `f32`.
    pub fn qparams(&self, min: f32, max: f32) -> (f32, i32) {
        let (low, high) = (self.low(), self.high());
        let (min, max) = (min.min(0.0), max.max(0.0));
        if self.is_symmetry {
            let scale = (-min).max(max) / ((high - low) as f32 / 2.0);
            let zero = match self.qdtype {
                QDtype::Qint8 => 0,
                QDtype::Quint8 => (low + high).div_euclid(2),
            };
            (scale.max(EPS), zero)
        } else {
            let scale = ((max - min) / (high - low) as f32).max(EPS);
            let zero = low - (min / scale).round_ties_even() as i32;
            (scale, zero.clamp(low, high))
        }
    }
}

/// How far a zero point may be from the middle between two integers to count as that, in steps.
const HALFWAY: f32 = 1.0 / 64.0;

impl QScheme {
    /// `min..=max`, or about half a step more where 0 lies halfway between two of its integers, so that it is one.
    ///
    /// The 256 values of images normalized to `-1..=1` all lie halfway between the integers of that range: each is as wrong
    /// as can be, and which way it is rounded follows from the last bit of a quotient, which differs between runtimes. Of
    /// `-1..=128/127` or `-128/127..=1` they are not.
    pub fn off_ties(&self, min: f32, max: f32) -> (f32, f32) {
        let steps = (self.high() - self.low()) as f32;
        let zero = -min / ((max - min) / steps);
        let halfway = (zero - zero.floor() - 0.5).abs() <= HALFWAY;
        if self.is_symmetry || !(min < 0.0 && max > 0.0 && halfway) {
            return (min, max);
        }
        let (zero, scale) = if zero.ceil() < steps {
            (zero.ceil(), max / (steps - zero.ceil()))
        } else if zero.floor() > 0.0 {
            (zero.floor(), -min / zero.floor())
        } else {
            return (min, max);
        };
        (-zero * scale, (steps - zero) * scale)
    }
}

/// Scales and zero points: one each, or one for every index of an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct QParams {
    /// Sizes of a step, above 0.
    pub scale: Vec<f32>,
    /// The integers that 0 becomes.
    pub zero_point: Vec<i32>,
}

impl QParams {
    /// Those of the ranges `min[i]..=max[i]`.
    pub fn of(scheme: &QScheme, min: &[f32], max: &[f32]) -> Self {
        let (scale, zero_point) = min.iter().zip(max).map(|(&min, &max)| scheme.qparams(min, max)).unzip();
        Self { scale, zero_point }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The original's tests of `QSchemeHandler`.
    #[test]
    fn ranges_of_integers_are_the_originals() {
        let of = |qdtype, is_symmetric_range| {
            let q = QScheme { qdtype, is_symmetric_range, ..QScheme::weights(8, None) };
            (q.low(), q.high())
        };
        assert_eq!(of(QDtype::Qint8, false), (-128, 127));
        assert_eq!(of(QDtype::Qint8, true), (-127, 127));
        assert_eq!(of(QDtype::Quint8, false), (0, 255));
        assert!(QScheme::weights(0, None).check().is_err() && QScheme::weights(17, None).check().is_err());
        assert!(QScheme::weights(1, None).check().is_err(), "nothing but 0");
        assert!(QScheme::weights(16, None).check().is_ok() && QScheme::activations(1).check().is_ok());
    }

    #[test]
    fn ranges_become_scales() {
        let asymmetric = QScheme::activations(8);
        assert_eq!(asymmetric.qparams(0.0, 2.55), (2.55 / 255.0, 0));
        assert_eq!(asymmetric.qparams(1.0, 2.55), (2.55 / 255.0, 0), "0 is within");
        assert_eq!(asymmetric.qparams(-1.0, 1.0), (2.0 / 255.0, 127));
        assert_eq!(asymmetric.qparams(0.0, 0.0), (EPS, 0));
        let symmetric = QScheme { is_symmetry: true, ..asymmetric };
        assert_eq!(symmetric.qparams(0.0, 2.55), (2.55 / 127.5, 127));
        assert_eq!(QScheme::weights(8, None).qparams(-1.0, 0.5), (1.0 / 127.0, 0));
        let many = QParams::of(&QScheme::weights(8, Some(0)), &[-1.0, 0.0], &[0.0, 127.0]);
        assert_eq!(many, QParams { scale: vec![1.0 / 127.0, 1.0], zero_point: vec![0, 0] });
    }

    /// Of the 256 values between -1 and 1 each is halfway between integers of that range, and none of the widened one.
    #[test]
    fn images_are_not_halfway_between_integers() {
        let scheme = QScheme::activations(8);
        let ties = |(scale, zero): (f32, i32)| {
            let at = |v: i32| (v as f32 - 127.5) / 127.5 / scale + zero as f32;
            (0..256).filter(|&v| (at(v) - at(v).floor() - 0.5).abs() < 1e-3).count()
        };
        assert_eq!(ties(scheme.qparams(-1.0, 1.0)), 256);
        let (min, max) = scheme.off_ties(-1.0, 1.0);
        assert_eq!((min, max), (-128.0 / 127.0, 1.0));
        assert_eq!(scheme.qparams(min, max), (1.0 / 127.0, 128));
        assert_eq!(ties(scheme.qparams(min, max)), 0);
        for same in [(-1.0, 0.5), (0.0, 1.0), (-1.0, 0.0), (0.0, 0.0), (0.5, 1.0)] {
            assert_eq!(scheme.off_ties(same.0, same.1), same);
        }
        // The middle between the last two integers, and grids of two.
        let (min, max) = scheme.off_ties(-254.5, 0.5);
        assert_eq!(scheme.qparams(min, max).1, 254);
        assert!(min <= -254.5 && max >= 0.5);
        assert_eq!(QScheme::activations(1).off_ties(-1.0, 1.0), (-1.0, 1.0));
        let symmetric = QScheme { is_symmetry: true, ..scheme };
        assert_eq!(symmetric.off_ties(-1.0, 1.0), (-1.0, 1.0));
    }
}
