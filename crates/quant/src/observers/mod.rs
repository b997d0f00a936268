//! Observers: what range of floats the integers should span, from the tensors that pass. One a file.
//!
//! | name | range | |
//! |---|---|---|
//! | `MinMaxObserver`, `PerChannelMinMaxObserver` | least and largest element of all | [`MinMax`] |
//! | `MovingAverageMinMaxObserver`, `MovingAveragePerChannelMinMaxObserver` | moving averages of those of a batch | [`MovingAverage`] |
//! | `HistogramObserver` | the least squared error, searched as PyTorch does | [`LeastNorm`] |
//! | `PercentileObserver`, `MSEObserver`, `EntropyObserver` | without outliers | [`Ranged`] |
//! | `LSQObserver`, `LSQPerChannelObserver` | twice the mean size over the root of the largest integer | [`Lsq`] |
//! | `FixedQParamsObserver` | given | [`FixedQParams`] |
//! | `RecordingObserver` | none: keeps what passes | [`Recording`] |
//! | `NoopObserver`, `PlaceholderObserver`, `ReuseInputObserver` | none | [`Noop`] |

mod calibration;
mod count;
mod extremes;
mod fixed_qparams;
mod histogram;
mod lsq;
mod min_max;
mod moving_average;
mod noop;
mod ranges;
mod recording;
mod streaming;
#[cfg(test)]
mod tests;

pub use calibration::Calibration;
pub(crate) use extremes::{extremes, is_finite};
pub use fixed_qparams::{FixedQParams, FixedQParamsObserver};
pub use histogram::{HistogramObserver, LeastNorm};
pub use lsq::{LSQObserver, Lsq};
pub use min_max::{MinMax, MinMaxObserver};
pub use moving_average::{MovingAverage, MovingAverageMinMaxObserver};
pub use noop::{Noop, NoopObserver};
pub use ranges::{EntropyObserver, MSEObserver, PercentileObserver, Ranged, Rule};
pub use recording::{Recording, RecordingObserver};

use occam_config::{Build, Registry, Value};
use serde::de::DeserializeOwned;

use crate::{Error, QParams, QScheme, Result};

/// Collects statistics of tensors, and makes scale and zero point of them.
///
/// Memory does not grow with the number of tensors, but that of [`Recording`].
pub trait Observer: std::fmt::Debug + Send + Sync {
    /// Takes a tensor of `shape`, in row-major order, into account.
    ///
    /// # Errors
    /// An element is not finite, or the axis of the scheme is not one of the tensor's.
    fn observe(&mut self, x: &[f32], shape: &[usize]) -> Result<()>;

    /// Takes a tensor into account of which only the least and the largest element are known, where it needs no more: says
    /// whether it did.
    fn observe_bounds(&mut self, least: f32, largest: f32) -> bool {
        let _ = (least, largest);
        false
    }

    /// Scale and zero point of what was observed; none where nothing was.
    fn qparams(&self) -> Option<QParams>;

    /// Least and largest element of what was observed, by channel where the scheme has an axis; empty where nothing was.
    fn range(&self) -> (&[f32], &[f32]);

    /// Forgets everything.
    fn reset(&mut self);

    /// What it remembers, as lists of numbers by PyTorch's names, for a run that goes on later: least and largest elements where
    /// it needs nothing else.
    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        let (min, max) = self.range();
        if min.is_empty() { Vec::new() } else { vec![("min_val", min.to_vec()), ("max_val", max.to_vec())] }
    }

    /// Goes on from what [`Observer::state`] gave; from nothing where that is empty.
    ///
    /// # Errors
    /// It is that of another kind of observer.
    fn load_state(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        match state.first() {
            None => Ok(()),
            Some((name, _)) => Err(Error::Other(format!("`{name}` is of another observer"))),
        }
    }
}

/// What a grid follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// What passes.
    Data,
    /// Moving averages of what passes.
    MovingAverage,
    /// The config alone.
    Config,
    /// There is none.
    Nothing,
}

/// What a config says of an observer, before it is known which integers its values become.
pub trait ObserverConfig: std::fmt::Debug + Send + Sync {
    /// A new observer of a value that becomes integers of `scheme`.
    fn observer(&self, scheme: QScheme) -> Box<dyn Observer>;

    /// What its grid follows.
    fn follows(&self) -> Follows;

    /// Refuses settings out of range, and integers that it has no grid of.
    ///
    /// # Errors
    /// Says which.
    fn check(&self, scheme: &QScheme) -> Result<()> {
        scheme.check()
    }
}

fn build<T: ObserverConfig + DeserializeOwned + 'static>(
    value: &Value,
    _: &Registry,
) -> Result<Box<dyn ObserverConfig>, occam_config::Error> {
    Ok(Box::new(value.parse::<T>()?))
}

const TABLE: &[(&str, Build<dyn ObserverConfig>)] = &[
    ("EntropyObserver", build::<EntropyObserver>),
    ("FixedQParamsObserver", build::<FixedQParamsObserver>),
    ("HistogramObserver", build::<HistogramObserver>),
    ("LSQObserver", build::<LSQObserver>),
    ("LSQPerChannelObserver", build::<LSQObserver>),
    ("MSEObserver", build::<MSEObserver>),
    ("MinMaxObserver", build::<MinMaxObserver>),
    ("MovingAverageMinMaxObserver", build::<MovingAverageMinMaxObserver>),
    ("MovingAveragePerChannelMinMaxObserver", build::<MovingAverageMinMaxObserver>),
    ("NoopObserver", build::<NoopObserver>),
    ("PerChannelMinMaxObserver", build::<MinMaxObserver>),
    ("PercentileObserver", build::<PercentileObserver>),
    ("PlaceholderObserver", build::<NoopObserver>),
    ("RecordingObserver", build::<RecordingObserver>),
    ("ReuseInputObserver", build::<NoopObserver>),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn ObserverConfig>("observer", TABLE);
}

/// Lists of a state by name; all empty where nothing was remembered.
///
/// # Errors
/// The state has other names: it is that of another observer.
fn restore<const N: usize>(state: &[(String, Vec<f32>)], names: [&str; N]) -> Result<[Vec<f32>; N]> {
    let mut lists: [Vec<f32>; N] = std::array::from_fn(|_| Vec::new());
    for (name, numbers) in state {
        let known = names.iter().position(|n| n == name).and_then(|i| lists.get_mut(i));
        let Some(list) = known else {
            return Err(Error::Other(format!("`{name}` is of another observer")));
        };
        list.clone_from(numbers);
    }
    Ok(lists)
}
