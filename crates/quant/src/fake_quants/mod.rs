//! Fake quantization: an observer, and by what a value is rounded from what it saw. One a file, under PyTorch's and the original's
//! names.
//!
//! | name | grid |
//! |---|---|
//! | `FakeQuantize` | that of its observer |
//! | `FixedQParamsFakeQuantize` | given by its `FixedQParamsObserver` |
//! | `FusedMovingAvgObsFakeQuantize` | that of the moving averages of its observer, as PyTorch's fused operator has it |
//! | `LearnableFakeQuantize` | that of its observer at first, learned from then on |
//!
//! What rounds is the graph's operator, [`FakeQuant`](occam_graph::ops::FakeQuant); a [`FakeQuantizer`] says by what.

mod fake_quantize;
mod fixed_qparams;
mod fused_moving_avg;
mod learnable;
mod quantizer;
#[cfg(test)]
mod tests;

pub use fake_quantize::FakeQuantize;
pub use fixed_qparams::FixedQParamsFakeQuantize;
pub use fused_moving_avg::FusedMovingAvgObsFakeQuantize;
pub use learnable::LearnableFakeQuantize;
pub use quantizer::FakeQuantizer;

use occam_config::{Build, Registry, Value};
use occam_graph::ops::GridLearning;
use serde::de::DeserializeOwned;

use crate::observers::{Follows, Observer};
use crate::{Error, QParams, QScheme, Result};

/// A kind of fake quantization.
pub trait FakeQuantConfig: std::fmt::Debug + Send + Sync {
    /// How scale and zero point learn.
    fn learning(&self) -> GridLearning {
        GridLearning::Fixed
    }

    /// Whether the zero point learns where the scale does.
    fn zero_point_trainable(&self) -> bool {
        false
    }

    /// Scale and zero point that follow from what an observer saw; none where it saw nothing.
    fn qparams(&self, _: &QScheme, observer: &dyn Observer) -> Option<QParams> {
        observer.qparams()
    }

    /// Refuses observers that it cannot round by.
    ///
    /// # Errors
    /// No grid follows from such an observer, or not one that this kind rounds by.
    fn check(&self, follows: Follows) -> Result<()> {
        if follows == Follows::Nothing {
            return Err(Error::Other("no grid follows from this observer: it observes nothing".into()));
        }
        Ok(())
    }
}

fn build<T: FakeQuantConfig + DeserializeOwned + 'static>(
    value: &Value,
    _: &Registry,
) -> Result<Box<dyn FakeQuantConfig>, occam_config::Error> {
    Ok(Box::new(value.parse::<T>()?))
}

const TABLE: &[(&str, Build<dyn FakeQuantConfig>)] = &[
    ("FakeQuantize", build::<FakeQuantize>),
    ("FixedQParamsFakeQuantize", build::<FixedQParamsFakeQuantize>),
    ("FusedMovingAvgObsFakeQuantize", build::<FusedMovingAvgObsFakeQuantize>),
    ("LearnableFakeQuantize", build::<LearnableFakeQuantize>),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn FakeQuantConfig>("fake quantization", TABLE);
}
