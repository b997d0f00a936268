//! Rounding by the grid of an observer.

use serde::Deserialize;

use super::FakeQuantConfig;

/// `FakeQuantize`: scale and zero point are the observer's while it observes, and stay when it stops.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FakeQuantize {}

impl FakeQuantConfig for FakeQuantize {}
