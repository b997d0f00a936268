//! Rounding by a grid that is given.

use serde::Deserialize;

use super::FakeQuantConfig;
use crate::observers::Follows;
use crate::{Error, Result};

/// `FixedQParamsFakeQuantize`: its observer is a `FixedQParamsObserver`, whose grid it has from the beginning.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedQParamsFakeQuantize {}

impl FakeQuantConfig for FixedQParamsFakeQuantize {
    fn check(&self, follows: Follows) -> Result<()> {
        if follows == Follows::Config {
            return Ok(());
        }
        Err(Error::Other("FixedQParamsFakeQuantize's observer must be a FixedQParamsObserver".into()))
    }
}
