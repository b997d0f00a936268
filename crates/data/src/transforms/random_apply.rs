//! Applying transforms at random.

use occam_config::{Error as ConfigError, Registry, Value};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::sizes::probability;
use super::{Built, transforms};
use crate::streams::Draw;
use crate::{Compose, Result, Sample, Transform};

/// Applies transforms, one after the other, with probability `prob`, and else none of them.
#[derive(Debug)]
pub struct RandomApply {
    transforms: Compose,
    prob: f64,
}

impl RandomApply {
    /// # Errors
    /// `prob` is no probability.
    pub fn new(transforms: Compose, prob: f64) -> Result<Self> {
        probability("RandomApply", "prob", prob)?;
        Ok(Self { transforms, prob })
    }

    pub(super) fn build(value: &Value, registry: &Registry) -> Built {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Keys {
            #[serde(rename = "transforms")]
            _transforms: IgnoredAny,
            #[serde(default = "half")]
            prob: f64,
        }
        fn half() -> f64 {
            0.5
        }
        let keys: Keys = value.parse()?;
        let missing = || ConfigError::new("`transforms` is missing").at(value);
        let transforms = transforms(value.get("transforms").ok_or_else(missing)?, registry)?;
        Ok(Box::new(Self::new(transforms, keys.prob)?))
    }
}

impl Transform for RandomApply {
    fn apply(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        if rng.uniform_f64() < self.prob { self.transforms.apply(sample, rng) } else { Ok(sample) }
    }
}
