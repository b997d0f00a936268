//! Policies of random augmentations.

use occam_config::{Dict, Error as ConfigError, Kind, Registry, Value};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Built;
use super::auto_augment::{hparams, with_defaults};
use crate::streams::Draw;
use crate::{Error, Result, Sample, Transform};

/// Applies `num_policies` of some augmentations, drawn with replacement (Cubuk et al., 2019, arXiv:1909.13719).
///
/// | argument | |
/// |---|---|
/// | `policies` | `'timm_increasing'`, or a list of transforms |
/// | `num_policies` | how many are applied |
/// | `magnitude_level`, `magnitude_std`, `total_level` | of all policies that have a `magnitude_range`; `magnitude_std` is 0 and `total_level` 10 by default |
/// | `hparams` | arguments for all augmentations that have them and do not set them; `dict(pad_val=128)` by default |
#[derive(Debug)]
pub struct RandAugment {
    policies: Vec<Box<dyn Transform>>,
    num_policies: usize,
}

const NAME: &str = "RandAugment";

impl RandAugment {
    /// # Errors
    /// There is nothing to choose, or nothing to choose from.
    pub fn new(policies: Vec<Box<dyn Transform>>, num_policies: usize) -> Result<Self> {
        if policies.is_empty() || num_policies == 0 {
            return Err(Error::argument(NAME, "`policies` and `num_policies` must be more than none"));
        }
        Ok(Self { policies, num_policies })
    }

    pub(super) fn build(value: &Value, registry: &Registry) -> Built {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Keys {
            #[serde(rename = "policies")]
            _policies: IgnoredAny,
            num_policies: usize,
            #[serde(rename = "magnitude_level")]
            _magnitude_level: f64,
            #[serde(default, rename = "magnitude_std")]
            _magnitude_std: Option<IgnoredAny>,
            #[serde(default, rename = "total_level")]
            _total_level: Option<IgnoredAny>,
            #[serde(default, rename = "hparams")]
            _hparams: Option<IgnoredAny>,
        }
        let keys: Keys = value.parse()?;
        let hparams = hparams(value)?;
        let policies = match value.get("policies") {
            Some(policies) if policies.as_str() == Some("timm_increasing") => timm_increasing(),
            Some(policies) if policies.as_list().is_some() => policies.clone(),
            other => {
                let message = "`policies` must be 'timm_increasing' or a list of transforms";
                return Err(ConfigError::new(message).at(other.unwrap_or(value)));
            }
        };
        let policies = policies.as_list().unwrap_or_default().iter().map(|policy| {
            let mut policy = with_defaults(policy, &hparams);
            if let Some(dict) = policy.as_dict_mut() {
                // An older spelling, which the original drops.
                dict.remove("magnitude_key");
                if dict.contains("magnitude_range") {
                    for key in ["magnitude_level", "magnitude_std", "total_level"] {
                        if let Some(given) = value.get(key) {
                            dict.insert(key, given.clone());
                        }
                    }
                }
            }
            registry.build::<dyn Transform>(&policy)
        });
        Ok(Box::new(Self::new(policies.collect::<Result<_, _>>()?, keys.num_policies)?))
    }
}

impl Transform for RandAugment {
    fn apply(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        let chosen: Vec<usize> = (0..self.num_policies).map(|_| rng.below(self.policies.len())).collect();
        chosen
            .iter()
            .filter_map(|&at| self.policies.get(at))
            .try_fold(sample, |sample, policy| policy.apply(sample, rng))
    }
}

/// The policies of pytorch-image-models whose strength grows with the level.
fn timm_increasing() -> Value {
    let policies: [(&str, Option<(f64, f64)>, Option<&str>); 15] = [
        ("AutoContrast", None, None),
        ("Equalize", None, None),
        ("Invert", None, None),
        ("Rotate", Some((0.0, 30.0)), None),
        ("Posterize", Some((4.0, 0.0)), None),
        ("Solarize", Some((256.0, 0.0)), None),
        ("SolarizeAdd", Some((0.0, 110.0)), None),
        ("ColorTransform", Some((0.0, 0.9)), None),
        ("Contrast", Some((0.0, 0.9)), None),
        ("Brightness", Some((0.0, 0.9)), None),
        ("Sharpness", Some((0.0, 0.9)), None),
        ("Shear", Some((0.0, 0.3)), Some("horizontal")),
        ("Shear", Some((0.0, 0.3)), Some("vertical")),
        ("Translate", Some((0.0, 0.45)), Some("horizontal")),
        ("Translate", Some((0.0, 0.45)), Some("vertical")),
    ];
    let policies = policies.map(|(name, range, direction)| {
        let mut dict = Dict::new();
        dict.insert("type", Value::from(name));
        if let Some((start, end)) = range {
            let range = vec![Value::from(start), Value::from(end)];
            dict.insert("magnitude_range", Value::new(Kind::List(range)));
        }
        if let Some(direction) = direction {
            dict.insert("direction", Value::from(direction));
        }
        Value::new(Kind::Dict(dict))
    });
    Value::new(Kind::List(policies.into_iter().collect()))
}
