//! Mixing the images of a batch, and their labels with them.

mod cutmix;
mod mixup;
mod resizemix;

use std::sync::Arc;

use occam_config::{Build, Error as ConfigError, Registry, Value};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

pub use cutmix::CutMix;
pub use mixup::Mixup;
pub use resizemix::ResizeMix;

use crate::streams::Draw;
use crate::{Error, OneOrMany, Result};

/// A batch that is being mixed.
#[derive(Debug)]
pub struct Mixture<'a> {
    /// The images, batch x channels x height x width.
    pub inputs: &'a mut [f32],
    /// Their sizes.
    pub shape: [usize; 4],
    /// A weight for each class, of each image.
    pub scores: &'a mut [Vec<f32>],
}

impl Mixture<'_> {
    /// `lam` times each label and `1 - lam` times that of the image `partner` names.
    fn mix_scores(&mut self, lam: f64, partners: &[usize]) {
        let (lam, rest) = (lam as f32, (1.0 - lam) as f32);
        let before = self.scores.to_vec();
        for (scores, partner) in self.scores.iter_mut().zip(partners) {
            let others = before.get(*partner).map(Vec::as_slice).unwrap_or_default();
            scores.iter_mut().zip(others).for_each(|(score, other)| *score = lam * *score + rest * other);
        }
    }

    /// Samples an image.
    fn stride(&self) -> usize {
        let [_, channels, height, width] = self.shape;
        (channels * height * width).max(1)
    }
}

/// A way of mixing.
pub trait BatchAugment: std::fmt::Debug + Send + Sync {
    /// Mixes the batch in place. All that is random is drawn from `rng`.
    fn mix(&self, mixture: Mixture<'_>, rng: &mut ChaCha8Rng);

    /// Checks the arguments.
    ///
    /// # Errors
    /// An argument makes no sense.
    fn check(&self) -> Result<()>;
}

/// The partner of each image: a random permutation.
fn partners(count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut partners: Vec<usize> = (0..count).collect();
    rng.shuffle(&mut partners);
    partners
}

/// Refuses an `alpha` of no beta distribution.
fn check_alpha(component: &'static str, alpha: f64) -> Result<()> {
    match alpha.is_finite() && alpha > 0.0 {
        true => Ok(()),
        false => Err(Error::argument(component, format!("`alpha` is {alpha}, it must be above 0"))),
    }
}

/// One of several ways of mixing, or none: the `batch_augments` of a preprocessor.
///
/// ```python
/// batch_augments=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)], probs=[0.5, 0.3])
/// ```
///
/// With `probs`, each is chosen with its own probability and none with what is left; without, all are equally likely.
/// Draws the choice, then what the chosen one draws.
#[derive(Debug, Clone)]
pub struct RandomBatchAugment {
    augments: Vec<Arc<dyn BatchAugment>>,
    probs: Option<Vec<f64>>,
}

/// How far probabilities that were written as decimals may sum above 1.
const SLACK: f64 = 1e-9;

impl RandomBatchAugment {
    /// # Errors
    /// There is none to choose from, or `probs` has not a probability for each or exceeds 1.
    pub fn new(augments: Vec<Arc<dyn BatchAugment>>, probs: Option<Vec<f64>>) -> Result<Self> {
        let wrong = |detail: String| Err(Error::argument("batch_augments", detail));
        if augments.is_empty() {
            return wrong("`augments` is empty".to_owned());
        }
        if let Some(probs) = &probs {
            if probs.len() != augments.len() {
                return wrong(format!("`probs` has {} numbers for {} augments", probs.len(), augments.len()));
            }
            if probs.iter().any(|p| !(0.0..=1.0).contains(p)) || probs.iter().sum::<f64>() > 1.0 + SLACK {
                return wrong(format!(
                    "`probs` is {probs:?}; these must be probabilities, at most 1 together"
                ));
            }
        }
        Ok(Self { augments, probs })
    }

    /// Builds what the `batch_augments` of a config describe.
    ///
    /// # Errors
    /// A key is unknown, or an augment cannot be built.
    pub fn from_config(value: &Value, registry: &Registry) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Keys {
            #[serde(rename = "augments")]
            _augments: IgnoredAny,
            #[serde(default)]
            probs: Option<OneOrMany<f64>>,
        }
        let keys: Keys = value.parse()?;
        let missing = || ConfigError::new("`augments` is missing").at(value);
        let augments = value.get("augments").ok_or_else(missing)?;
        let items = augments.as_list().unwrap_or(std::slice::from_ref(augments));
        let augments = items.iter().map(|item| Ok(registry.build::<dyn BatchAugment>(item)?.into()));
        let augments = augments.collect::<Result<Vec<_>, ConfigError>>()?;
        Ok(Self::new(augments, keys.probs.map(|probs| probs.as_slice().to_vec()))?)
    }

    /// Mixes the batch in place, or leaves it as it is.
    pub fn apply(&self, mixture: Mixture<'_>, rng: &mut ChaCha8Rng) {
        let chosen = match &self.probs {
            None => Some(rng.below(self.augments.len())),
            Some(probs) => {
                let drawn = rng.uniform_f64();
                let mut bound = 0.0;
                probs.iter().position(|prob| {
                    bound += prob;
                    drawn < bound
                })
            }
        };
        if let Some(augment) = chosen.and_then(|at| self.augments.get(at)) {
            augment.mix(mixture, rng);
        }
    }
}

pub(crate) fn register(registry: &mut Registry) {
    let table: [(&str, Build<dyn BatchAugment>); 3] =
        [("CutMix", build::<CutMix>), ("Mixup", build::<Mixup>), ("ResizeMix", build::<ResizeMix>)];
    registry.register_all("batch augment", &table);
}

fn build<T: BatchAugment + DeserializeOwned + 'static>(
    value: &Value,
    _: &Registry,
) -> Result<Box<dyn BatchAugment>, ConfigError> {
    let augment: T = value.parse()?;
    augment.check()?;
    Ok(Box::new(augment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn chooses_with_the_probabilities_given() {
        let mixed = |probs: Option<Vec<f64>>| {
            let augment = RandomBatchAugment::new(vec![Arc::new(Mixup { alpha: 1.0 })], probs).unwrap();
            let changed = |index| {
                let mut inputs = [0.0, 1.0];
                let mut scores = [vec![1.0, 0.0], vec![0.0, 1.0]];
                let mixture = Mixture { inputs: &mut inputs, shape: [2, 1, 1, 1], scores: &mut scores };
                augment.apply(mixture, &mut Seed(1).stream("test", &[index]));
                // Of two images, every other permutation leaves each with itself.
                assert_eq!(inputs[1], scores[1][1]);
                inputs[0] != 0.0
            };
            (0..2000).filter(|&index| changed(index)).count()
        };
        assert!((900..1100).contains(&mixed(None)));
        assert!((250..350).contains(&mixed(Some(vec![0.3]))));
        assert_eq!(mixed(Some(vec![0.0])), 0);
        let two = |probs| RandomBatchAugment::new(vec![Arc::new(Mixup { alpha: 1.0 })], Some(probs));
        assert!(two(vec![0.5, 0.5]).is_err() && two(vec![1.5]).is_err());
        assert!(RandomBatchAugment::new(vec![], None).is_err());
    }
}
