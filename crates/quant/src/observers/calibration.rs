//! How ranges of activations are chosen, by name.

use super::{HistogramObserver, LeastNorm, MinMax, MovingAverage, Observer, Ranged, Rule};
use crate::QScheme;

/// A way of choosing ranges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Calibration {
    /// Least and largest element of all.
    MinMax,
    /// Moving averages of least and largest element, to which each batch adds this part.
    MovingAverage(f32),
    /// The range that loses least, as PyTorch's `HistogramObserver` finds it.
    Histogram,
    /// Ranges that leave outliers out.
    Ranged(Rule),
}

impl Calibration {
    /// All of them with their names and what they are.
    pub const ALL: &'static [(&'static str, Calibration, &'static str)] = &[
        ("minmax", Calibration::MinMax, "Least and largest element of all"),
        (
            "moving-average",
            Calibration::MovingAverage(0.1),
            "Moving averages of the least and the largest element of a batch",
        ),
        (
            "histogram",
            Calibration::Histogram,
            "The range of the least error, as PyTorch's HistogramObserver finds it",
        ),
        (
            "percentile",
            Calibration::Ranged(Rule::Percentile(99.99)),
            "All but the outermost hundredth of a percent of the elements (--percentile)",
        ),
        ("mse", Calibration::Ranged(Rule::Mse), "The range of the least squared error"),
        (
            "entropy",
            Calibration::Ranged(Rule::Entropy),
            "The range whose rounded distribution diverges least from that of the elements",
        ),
    ];

    /// The way called `name`.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, ..)| *n == name).map(|(_, c, _)| *c)
    }

    /// The observer of a value that becomes integers of `scheme`.
    pub fn observer(self, scheme: QScheme) -> Box<dyn Observer> {
        match self {
            Self::MinMax => Box::new(MinMax::new(scheme)),
            Self::MovingAverage(part) => Box::new(MovingAverage::new(scheme, part)),
            Self::Histogram => Box::new(LeastNorm::new(scheme, HistogramObserver::default())),
            Self::Ranged(rule) => Box::new(Ranged::new(scheme, rule)),
        }
    }
}
