//! Changing colors at random.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::streams::Draw;
use crate::{Error, Image, Result, Sample, Transform, color};

/// Changes brightness, contrast, saturation and hue by random factors, in random order.
///
/// A number `x` stands for the range `[1 - x, 1 + x]`, for the hue `[-x, x]`; ranges are clipped to factors from 0 on
/// and to hues from -0.5 to 0.5. Without a range, which is the default, nothing changes. Draws the order, then a factor
/// for each change that has a range.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColorJitter {
    /// Factor of all samples.
    pub brightness: Jitter,
    /// Factor of the difference to the mean grey.
    pub contrast: Jitter,
    /// Factor of the difference to the grey image.
    pub saturation: Jitter,
    /// Turn of the hue in full circles.
    pub hue: Jitter,
}

/// How much to change.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a number or a pair (min, max)")]
pub enum Jitter {
    /// As much to both sides.
    Around(f64),
    /// From, to.
    Range(f64, f64),
}

impl Default for Jitter {
    fn default() -> Self {
        Self::Around(0.0)
    }
}

const NAME: &str = "ColorJitter";

impl Jitter {
    /// The range around `center`, clipped to `low` and `high`; `None` where nothing changes.
    fn range(self, center: f64, low: f64, high: f64) -> Option<(f64, f64)> {
        let (from, to) = match self {
            Self::Around(by) => (center - by, center + by),
            Self::Range(from, to) => (from, to),
        };
        let (from, to) = (from.clamp(low, high), to.clamp(low, high));
        (from != center || to != center).then_some((from, to))
    }
}

impl Transform for ColorJitter {
    fn apply(&self, mut sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        type Change = fn(&mut Image, f64);
        let factors: [(Option<(f64, f64)>, Change); 4] = [
            (self.brightness.range(1.0, 0.0, f64::MAX), color::brightness),
            (self.contrast.range(1.0, 0.0, f64::MAX), color::contrast),
            (self.saturation.range(1.0, 0.0, f64::MAX), color::saturation),
            (self.hue.range(0.0, -0.5, 0.5), color::hue),
        ];
        let mut order = [0, 1, 2, 3];
        rng.shuffle(&mut order);
        let drawn = factors.map(|(range, change)| (range.map(|range| rng.uniform_in(range)), change));
        for at in order {
            if let (Some(factor), change) = drawn[at] {
                change(&mut sample.image, factor);
            }
        }
        Ok(sample)
    }

    fn check(&self) -> Result<()> {
        let all = [
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
            ("hue", self.hue),
        ];
        for (name, jitter) in all {
            let fine = match jitter {
                Jitter::Around(by) => by.is_finite() && by >= 0.0,
                Jitter::Range(from, to) => from.is_finite() && to.is_finite() && from <= to,
            };
            if !fine {
                let detail = format!("`{name}` must be a number from 0 on, or a range (min, max)");
                return Err(Error::argument(NAME, detail));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Seed, golden};

    #[test]
    fn ranges_are_those_of_mmcls() {
        assert_eq!(Jitter::Around(0.4).range(1.0, 0.0, f64::MAX), Some((0.6, 1.4)));
        assert_eq!(Jitter::Around(2.0).range(1.0, 0.0, f64::MAX), Some((0.0, 3.0)));
        assert_eq!(Jitter::Around(0.0).range(1.0, 0.0, f64::MAX), None);
        assert_eq!(Jitter::Range(-0.9, 0.2).range(0.0, -0.5, 0.5), Some((-0.5, 0.2)));
    }

    #[test]
    fn changes_only_what_is_asked_for() {
        let image = golden::image("color", 5, 6, 3);
        let jitter = |json: &str| {
            let jitter: ColorJitter = serde_json::from_str(json).unwrap();
            jitter.check().unwrap();
            let sample = Sample::new(image.clone(), 0, 0);
            jitter.apply(sample, &mut Seed(1).stream("test", &[])).unwrap().image
        };
        assert_eq!(jitter("{}"), image);
        let mut darker = image.clone();
        color::brightness(&mut darker, 0.5);
        assert_eq!(jitter(r#"{"brightness": [0.5, 0.5]}"#), darker);
        assert_ne!(jitter(r#"{"hue": 0.3, "contrast": 0.4, "saturation": 0.4}"#), image);
        for json in [r#"{"hue": -1}"#, r#"{"contrast": [1.0, 0.5]}"#] {
            assert!(serde_json::from_str::<ColorJitter>(json).unwrap().check().is_err());
        }
    }
}
