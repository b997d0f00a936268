//! Layers that leave out at random.

use occam_graph::ValueId;

use crate::error::refuse;
use crate::{Net, Result};

/// What a layer leaves out with its probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drop {
    /// Single elements.
    Elements,
    /// Whole examples of a batch (Huang et al., 2016, arXiv:1603.09382).
    Paths,
}

/// The module `name` that leaves out what `drop` says with probability `rate`; at rate 0 the value itself.
///
/// # Errors
/// The rate is not 0.
pub(crate) fn drop(_: &mut Net, name: &str, x: ValueId, drop: Drop, rate: f64) -> Result<ValueId> {
    if rate == 0.0 {
        return Ok(x);
    }
    let what = match drop {
        Drop::Elements => "dropout",
        Drop::Paths => "drop path",
    };
    refuse(format!("`{name}`: {what} with rate {rate} is not supported; set the rate to 0"))
}
