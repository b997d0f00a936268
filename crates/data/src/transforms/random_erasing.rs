//! Covering a part of the image at random.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::sizes::{ordered, probability};
use crate::streams::Draw;
use crate::{Error, Image, Result, Sample, Transform};

/// Covers a random rectangle with a color or with noise (Zhong et al., 2017, arXiv:1708.04896).
///
/// The rectangle has a uniform share of the area and a ratio of height to width whose logarithm is uniform. It never
/// lies in the last row or column unless it is as long as the image: the original leaves out these places.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomErasing {
    /// 0.5 by default.
    pub erase_prob: f64,
    /// Least share of the area. 0.02 by default.
    pub min_area_ratio: f64,
    /// Largest share of the area. 0.4 by default.
    pub max_area_ratio: f64,
    /// Height divided by width: a range, or a number for it and its inverse. 3/10 to 10/3 by default.
    pub aspect_range: Aspect,
    /// What to cover with. A constant by default.
    pub mode: Mode,
    /// The color; of each channel, or of all. 128 by default.
    pub fill_color: Numbers,
    /// With it, `rand` noise is normal around `fill_color` with this deviation; without, uniform.
    pub fill_std: Option<Numbers>,
}

/// What covers the rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One color.
    #[default]
    Const,
    /// Noise.
    Rand,
}

/// A range of ratios.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a number or a pair (min, max)")]
pub enum Aspect {
    /// From the smaller to the larger of the number and its inverse.
    Symmetric(f64),
    /// From, to.
    Range(f64, f64),
}

impl Aspect {
    fn range(self) -> (f64, f64) {
        match self {
            Self::Symmetric(ratio) => (ratio.min(1.0 / ratio), ratio.max(1.0 / ratio)),
            Self::Range(low, high) => (low, high),
        }
    }
}

/// One number for all channels, or one for each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a number or a list with one for each channel")]
pub enum Numbers {
    /// For all channels.
    One(f64),
    /// For each.
    Each(Vec<f64>),
}

impl Numbers {
    fn of(&self, channels: usize) -> Result<Vec<f64>> {
        match self {
            Self::One(number) => Ok(vec![*number; channels]),
            Self::Each(numbers) if numbers.len() == channels => Ok(numbers.clone()),
            Self::Each(numbers) => {
                let detail = format!(
                    "`fill_color` or `fill_std` has {} numbers for {channels} channels",
                    numbers.len()
                );
                Err(Error::argument(NAME, detail))
            }
        }
    }

    fn finite(&self) -> bool {
        match self {
            Self::One(number) => number.is_finite(),
            Self::Each(numbers) => numbers.iter().all(|number| number.is_finite()),
        }
    }
}

impl Default for RandomErasing {
    fn default() -> Self {
        Self {
            erase_prob: 0.5,
            min_area_ratio: 0.02,
            max_area_ratio: 0.4,
            aspect_range: Aspect::Range(3.0 / 10.0, 10.0 / 3.0),
            mode: Mode::Const,
            fill_color: Numbers::One(128.0),
            fill_std: None,
        }
    }
}

const NAME: &str = "RandomErasing";

impl RandomErasing {
    /// Top, left, height and width.
    fn patch(&self, [height, width]: [usize; 2], rng: &mut ChaCha8Rng) -> [usize; 4] {
        let (low, high) = self.aspect_range.range();
        let ratio = rng.uniform_in((low.ln(), high.ln())).exp();
        let area = (height * width) as f64 * rng.uniform_in((self.min_area_ratio, self.max_area_ratio));
        let high = ((area * ratio).sqrt().round_ties_even() as usize).min(height);
        let wide = ((area / ratio).sqrt().round_ties_even() as usize).min(width);
        let mut place = |len: usize, side: usize| if len > side { rng.below(len - side) } else { 0 };
        let top = place(height, high);
        [top, place(width, wide), high, wide]
    }

    fn fill(
        &self,
        image: &mut Image,
        [top, left, high, wide]: [usize; 4],
        rng: &mut ChaCha8Rng,
    ) -> Result<()> {
        let channels = image.channels();
        let color = self.fill_color.of(channels)?;
        let deviation = self.fill_std.as_ref().map(|std| std.of(channels)).transpose()?;
        for row in image.rows_mut().skip(top).take(high) {
            let part = row.get_mut(left * channels..(left + wide) * channels).unwrap_or_default();
            for pixel in part.chunks_exact_mut(channels) {
                for (at, (sample, &color)) in pixel.iter_mut().zip(&color).enumerate() {
                    *sample = match (self.mode, deviation.as_ref().and_then(|std| std.get(at))) {
                        (Mode::Const, _) => color as u8,
                        (Mode::Rand, None) => rng.below(256) as u8,
                        (Mode::Rand, Some(std)) => (color + f64::from(rng.normal()) * std) as u8,
                    };
                }
            }
        }
        Ok(())
    }
}

impl Transform for RandomErasing {
    fn apply(&self, mut sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        if rng.uniform_f64() < self.erase_prob {
            let patch = self.patch(sample.image.shape(), rng);
            self.fill(&mut sample.image, patch, rng)?;
        }
        Ok(sample)
    }

    fn check(&self) -> Result<()> {
        probability(NAME, "erase_prob", self.erase_prob)?;
        probability(NAME, "max_area_ratio", self.max_area_ratio)?;
        ordered(NAME, "min_area_ratio, max_area_ratio", (self.min_area_ratio, self.max_area_ratio), 0.0)?;
        ordered(NAME, "aspect_range", self.aspect_range.range(), f64::MIN_POSITIVE)?;
        if !self.fill_color.finite() || !self.fill_std.as_ref().is_none_or(Numbers::finite) {
            return Err(Error::argument(NAME, "`fill_color` and `fill_std` must be finite"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    fn erased(json: &str, index: u64) -> Image {
        let erasing: RandomErasing = serde_json::from_str(json).unwrap();
        erasing.check().unwrap();
        let sample = Sample::new(Image::new(40, 50, 3, vec![7; 6000]).unwrap(), 0, 0);
        erasing.apply(sample, &mut Seed(2).stream("test", &[index])).unwrap().image
    }

    #[test]
    fn covers_the_share_asked_for() {
        let mut covered = 0;
        for index in 0..500 {
            let image = erased(r#"{"fill_color": [1, 2, 3]}"#, index);
            let changed = image.pixels().chunks(3).filter(|pixel| **pixel == [1, 2, 3]).count();
            let untouched = image.pixels().chunks(3).filter(|pixel| **pixel == [7, 7, 7]).count();
            assert_eq!(changed + untouched, 2000);
            assert!(changed == 0 || (30..=860).contains(&changed), "{changed}");
            covered += usize::from(changed > 0);
        }
        assert!((210..290).contains(&covered), "{covered}");
    }

    #[test]
    fn noise_has_the_distribution_asked_for() {
        let mean = |json: &str| {
            let image = erased(json, 0);
            image.pixels().iter().map(|&x| f64::from(x)).sum::<f64>() / 6000.0
        };
        let all = r#""erase_prob": 1, "min_area_ratio": 1, "max_area_ratio": 1, "aspect_range": [0.8, 0.8], "mode": "rand""#;
        assert!((mean(&format!("{{{all}}}")) - 127.5).abs() < 3.0);
        assert!((mean(&format!(r#"{{{all}, "fill_color": 60, "fill_std": 10}}"#)) - 59.5).abs() < 1.0);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for json in [
            r#"{"erase_prob": 2}"#,
            r#"{"min_area_ratio": 0.5}"#,
            r#"{"aspect_range": [2.0, 1.0]}"#,
            r#"{"aspect_range": 0.0}"#,
        ] {
            assert!(serde_json::from_str::<RandomErasing>(json).unwrap().check().is_err(), "{json}");
        }
        let erasing: RandomErasing =
            serde_json::from_str(r#"{"erase_prob": 1, "fill_color": [1, 2, 3]}"#).unwrap();
        let sample = Sample::new(Image::new(4, 4, 1, vec![0; 16]).unwrap(), 0, 0);
        assert!(erasing.apply(sample, &mut Seed(0).stream("test", &[])).is_err());
    }
}
