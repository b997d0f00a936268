//! Choosing among pipelines at random.

use occam_config::{Error as ConfigError, Registry, Value};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Built, transforms};
use crate::streams::Draw;
use crate::{Compose, Error, Result, Sample, Transform};

/// Applies one of several pipelines, with equal probabilities or with those of `prob`.
#[derive(Debug)]
pub struct RandomChoice {
    pipelines: Vec<Compose>,
    prob: Option<Vec<f64>>,
}

/// How far probabilities that were written as decimals may be from 1 together.
const SLACK: f64 = 1e-6;

impl RandomChoice {
    /// # Errors
    /// There is no pipeline, or `prob` has not a probability for each, which together are 1.
    pub fn new(pipelines: Vec<Compose>, prob: Option<Vec<f64>>) -> Result<Self> {
        let wrong = |detail: String| Err(Error::argument("RandomChoice", detail));
        if pipelines.is_empty() {
            return wrong("there is nothing to choose from".to_owned());
        }
        if let Some(prob) = &prob {
            if prob.len() != pipelines.len() {
                return wrong(format!("`prob` has {} numbers for {} choices", prob.len(), pipelines.len()));
            }
            let sum: f64 = prob.iter().sum();
            if prob.iter().any(|prob| !(0.0..=1.0).contains(prob)) || (sum - 1.0).abs() > SLACK {
                return wrong(format!("`prob` is {prob:?}; these must be probabilities that are 1 together"));
            }
        }
        Ok(Self { pipelines, prob })
    }

    pub(super) fn build(value: &Value, registry: &Registry) -> Built {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Keys {
            #[serde(rename = "transforms")]
            _transforms: IgnoredAny,
            #[serde(default)]
            prob: Option<Vec<f64>>,
        }
        let keys: Keys = value.parse()?;
        let list = value.get("transforms").and_then(Value::as_list).ok_or_else(|| {
            ConfigError::new("`transforms` must be a list of pipelines")
                .at(value.get("transforms").unwrap_or(value))
        })?;
        let pipelines = list.iter().map(|item| transforms(item, registry)).collect::<Result<_, _>>()?;
        Ok(Box::new(Self::new(pipelines, keys.prob)?))
    }

    fn choose(&self, rng: &mut ChaCha8Rng) -> usize {
        let Some(prob) = &self.prob else { return rng.below(self.pipelines.len()) };
        let drawn = rng.uniform_f64();
        let mut bound = 0.0;
        let chosen = prob.iter().position(|prob| {
            bound += prob;
            drawn < bound
        });
        // Rounding may leave the sum a little below 1; a choice of probability 0 is never the last resort.
        chosen.or_else(|| prob.iter().rposition(|&prob| prob > 0.0)).unwrap_or_default()
    }
}

impl Transform for RandomChoice {
    fn apply(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        match self.pipelines.get(self.choose(rng)) {
            Some(pipeline) => pipeline.apply(sample, rng),
            None => Ok(sample),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn chooses_with_the_probabilities_given() {
        let choice = |prob| RandomChoice::new((0..3).map(|_| Compose::default()).collect(), prob);
        let counts = |prob| {
            let choice = choice(prob).unwrap();
            let mut rng = Seed(1).stream("test", &[]);
            let mut counts = [0; 3];
            (0..3000).for_each(|_| counts[choice.choose(&mut rng)] += 1);
            counts
        };
        assert!(counts(None).iter().all(|n| (900..1100).contains(n)));
        let [first, second, third] = counts(Some(vec![0.7, 0.3, 0.0]));
        assert!((2000..2200).contains(&first) && (800..1000).contains(&second) && third == 0);
        assert!(choice(Some(vec![0.5, 0.5])).is_err());
        assert!(choice(Some(vec![0.5, 0.5, 0.5])).is_err());
        assert!(RandomChoice::new(vec![], None).is_err());
    }
}
