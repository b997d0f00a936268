//! Mirroring at random.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::OneOrMany;
use crate::streams::Draw;
use crate::{Error, FlipDirection, Result, Sample, Transform};

/// Mirrors the image in one of some directions, or not at all.
///
/// | `prob` | `direction` | |
/// |---|---|---|
/// | number | one | mirrored with this probability |
/// | number | list | in each direction with an equal part of this probability |
/// | list | list | in each direction with its own probability; both are equally long |
///
/// Draws one uniform number. As in MMCV, except that a list of probabilities also goes with a single direction.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomFlip {
    /// Probabilities; together at most 1.
    pub prob: OneOrMany<f64>,
    /// Horizontal by default.
    #[serde(default = "horizontal")]
    pub direction: OneOrMany<FlipDirection>,
}

const NAME: &str = "RandomFlip";

/// How far probabilities that were written as decimals may sum above 1.
const SLACK: f64 = 1e-9;

fn horizontal() -> OneOrMany<FlipDirection> {
    OneOrMany::One(FlipDirection::Horizontal)
}

impl RandomFlip {
    /// Mirrors horizontally with probability `prob`.
    pub fn new(prob: f64) -> Self {
        Self { prob: OneOrMany::One(prob), direction: horizontal() }
    }

    /// The direction for a number drawn from `[0, 1)`.
    fn choose(&self, drawn: f64) -> Option<FlipDirection> {
        let directions = self.direction.as_slice();
        let mut bound = 0.0;
        directions.iter().enumerate().find_map(|(i, &direction)| {
            bound += match &self.prob {
                OneOrMany::One(prob) => prob / directions.len() as f64,
                OneOrMany::Many(probs) => probs.get(i).copied().unwrap_or(0.0),
            };
            (drawn < bound).then_some(direction)
        })
    }
}

impl Transform for RandomFlip {
    fn apply(&self, mut sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        sample.flip = self.choose(rng.uniform_f64());
        if let Some(direction) = sample.flip {
            sample.image.flip(direction);
        }
        Ok(sample)
    }

    fn only_moves(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        let probs = self.prob.as_slice();
        let directions = self.direction.as_slice().len();
        if let Some(prob) = probs.iter().find(|prob| !(0.0..=1.0).contains(*prob)) {
            return Err(Error::argument(NAME, format!("`prob` is {prob}, it must be from 0 to 1")));
        }
        if probs.iter().sum::<f64>() > 1.0 + SLACK {
            return Err(Error::argument(NAME, format!("`prob` is {probs:?}, more than 1 together")));
        }
        if directions == 0 {
            return Err(Error::argument(NAME, "`direction` is empty"));
        }
        if matches!(self.prob, OneOrMany::Many(_)) && probs.len() != directions {
            let detail = format!("`prob` has {} numbers for {directions} directions", probs.len());
            return Err(Error::argument(NAME, detail));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Image, Seed};

    fn flip(json: &str) -> RandomFlip {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn shares_probability_among_directions() {
        use FlipDirection::{Diagonal, Horizontal, Vertical};
        let one = flip(r#"{"prob": 0.5}"#);
        assert_eq!(
            [0.0, 0.49, 0.5, 0.99].map(|p| one.choose(p)),
            [Some(Horizontal), Some(Horizontal), None, None]
        );
        let shared = flip(r#"{"prob": 0.5, "direction": ["vertical", "diagonal"]}"#);
        assert_eq!([0.24, 0.26, 0.51].map(|p| shared.choose(p)), [Some(Vertical), Some(Diagonal), None]);
        let own = flip(r#"{"prob": [0.3, 0.5], "direction": ["horizontal", "vertical"]}"#);
        assert_eq!(
            [0.29, 0.31, 0.79, 0.81].map(|p| own.choose(p)),
            [Some(Horizontal), Some(Vertical), Some(Vertical), None]
        );
        assert_eq!(flip(r#"{"prob": 1}"#).choose(0.999_999), Some(Horizontal));
    }

    #[test]
    fn records_what_it_did() {
        let image = Image::new(1, 3, 1, vec![1, 2, 3]).unwrap();
        let mut flipped = 0;
        for index in 0..1000 {
            let sample = Sample::new(image.clone(), 0, 0);
            let sample = RandomFlip::new(0.3).apply(sample, &mut Seed(0).stream("test", &[index])).unwrap();
            let expected: [u8; 3] = if sample.flip.is_some() { [3, 2, 1] } else { [1, 2, 3] };
            assert_eq!(sample.image.pixels(), expected);
            flipped += usize::from(sample.flip.is_some());
        }
        assert!((250..350).contains(&flipped), "{flipped}");
    }

    #[test]
    fn refuses_impossible_probabilities() {
        for json in [
            r#"{"prob": 1.5}"#,
            r#"{"prob": -0.1}"#,
            r#"{"prob": [0.6, 0.6], "direction": ["horizontal", "vertical"]}"#,
            r#"{"prob": [0.6], "direction": ["horizontal", "vertical"]}"#,
            r#"{"prob": 0.5, "direction": []}"#,
        ] {
            assert!(flip(json).check().is_err(), "{json}");
        }
        assert!(RandomFlip::new(f64::NAN).check().is_err());
        assert!(
            flip(r#"{"prob": [0.1, 0.2, 0.7], "direction": ["horizontal", "vertical", "diagonal"]}"#)
                .check()
                .is_ok()
        );
    }
}
