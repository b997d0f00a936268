//! The augmentations that policies choose from.
//!
//! Each changes the image with probability `prob`, by a magnitude that is given or found from `magnitude_range`, and
//! whose sign some turn at random. They draw, in this order: whether to change, the magnitude, its sign.

mod auto_contrast;
mod brightness;
mod color_transform;
mod contrast;
mod cutout;
mod equalize;
mod invert;
mod posterize;
mod rotate;
mod sharpness;
mod shear;
mod solarize;
mod solarize_add;
mod translate;

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

pub use auto_contrast::AutoContrast;
pub use brightness::Brightness;
pub use color_transform::ColorTransform;
pub use contrast::Contrast;
pub use cutout::Cutout;
pub use equalize::Equalize;
pub use invert::Invert;
pub use posterize::Posterize;
pub use rotate::Rotate;
pub use sharpness::Sharpness;
pub use shear::Shear;
pub use solarize::Solarize;
pub use solarize_add::SolarizeAdd;
pub use translate::Translate;

#[cfg(test)]
pub(crate) use posterize::posterized;
#[cfg(test)]
pub(crate) use solarize::solarized;

use super::sizes::probability;
use crate::streams::Draw;
use crate::{Error, Image, Result, Sample, Transform};

/// The deviation of a magnitude's level.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a number or 'inf'")]
pub enum Deviation {
    /// Normal with this deviation, where it is above 0; clipped to 0 and `total_level`.
    Normal(f64),
    /// `inf`: uniform from 0 to the level.
    Uniform(String),
}

/// An edge along which an image is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Left and right.
    #[default]
    Horizontal,
    /// Up and down.
    Vertical,
}

/// What all augmentations have.
pub(crate) struct Draws<'a> {
    pub(crate) magnitude_level: f64,
    pub(crate) magnitude_range: Option<(f64, f64)>,
    pub(crate) magnitude_std: &'a Deviation,
    pub(crate) total_level: f64,
    pub(crate) prob: f64,
    pub(crate) random_negative_prob: f64,
}

impl Draws<'_> {
    /// `level / total_level` of the way from the start of the range to its end.
    fn magnitude(&self, (start, end): (f64, f64), rng: &mut ChaCha8Rng) -> f64 {
        let level = match self.magnitude_std {
            Deviation::Uniform(_) => rng.uniform_in((0.0, self.magnitude_level)),
            Deviation::Normal(std) if *std > 0.0 => {
                let level = self.magnitude_level + f64::from(rng.normal()) * std;
                level.clamp(0.0, self.total_level)
            }
            Deviation::Normal(_) => self.magnitude_level,
        };
        (level / self.total_level) * (end - start) + start
    }

    fn check(&self, name: &'static str) -> Result<()> {
        let wrong = |detail: &str| Err(Error::argument(name, detail));
        probability(name, "prob", self.prob)?;
        probability(name, "random_negative_prob", self.random_negative_prob)?;
        if !(self.total_level.is_finite() && self.total_level > 0.0) {
            return wrong("`total_level` must be above 0");
        }
        if !(self.magnitude_level.is_finite() && self.magnitude_level >= 0.0) {
            return wrong("`magnitude_level` must be 0 or above");
        }
        match self.magnitude_std {
            Deviation::Uniform(text) if text != "inf" => {
                return wrong("`magnitude_std` must be a number or 'inf'");
            }
            Deviation::Normal(std) if !std.is_finite() => return wrong("`magnitude_std` must be finite"),
            _ => {}
        }
        match self.magnitude_range {
            Some((start, end)) if !(start.is_finite() && end.is_finite()) => {
                wrong("`magnitude_range` must be finite")
            }
            _ => Ok(()),
        }
    }
}

/// One augmentation. The macro [`augmentation`] writes its struct.
pub(crate) trait Augmentation: std::fmt::Debug + Send + Sync {
    /// The name in configs.
    const NAME: &'static str;
    /// How configs call the magnitude; `None` where there is none.
    const MAGNITUDE: Option<&'static str>;
    /// Whether the sign of the magnitude is turned with `random_negative_prob`.
    const SIGNED: bool;

    fn draws(&self) -> Draws<'_>;

    /// The magnitude that the config gives, in place of a range.
    fn given(&self) -> Option<f64>;

    /// The changed image.
    fn change(&self, image: Image, magnitude: f64, rng: &mut ChaCha8Rng) -> Result<Image>;

    /// Checks the arguments that are its own.
    fn check_own(&self) -> Result<()> {
        Ok(())
    }
}

impl<T: Augmentation> Transform for T {
    fn apply(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        let draws = self.draws();
        if rng.uniform_f64() >= draws.prob {
            return Ok(sample);
        }
        let mut magnitude = match (self.given(), draws.magnitude_range) {
            (Some(given), _) => given,
            (None, Some(range)) if T::MAGNITUDE.is_some() => draws.magnitude(range, rng),
            (None, _) => 0.0,
        };
        if T::SIGNED && rng.uniform_f64() < draws.random_negative_prob {
            magnitude = -magnitude;
        }
        let image = self.change(sample.image, magnitude, rng)?;
        Ok(Sample { image, ..sample })
    }

    fn check(&self) -> Result<()> {
        let draws = self.draws();
        draws.check(T::NAME)?;
        let given = self.given();
        if let Some(name) = T::MAGNITUDE
            && given.is_some() == draws.magnitude_range.is_some()
        {
            let detail = format!("one of `{name}` and `magnitude_range` must be given, and only one");
            return Err(Error::argument(T::NAME, detail));
        }
        if given.is_some_and(|given| !given.is_finite()) {
            return Err(Error::argument(T::NAME, "the magnitude must be finite"));
        }
        self.check_own()
    }
}

/// Writes an augmentation's struct: its own arguments and those that all have.
macro_rules! augmentation {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident { $($(#[$field_attribute:meta])* pub $field:ident: $type:ty,)* }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_attribute])* pub $field: $type,)*
            /// The level of the magnitude. 10 by default.
            #[serde(default = "crate::transforms::augment::ten")]
            pub magnitude_level: f64,
            /// The magnitude at level 0 and at `total_level`.
            #[serde(default)]
            pub magnitude_range: Option<(f64, f64)>,
            /// The deviation of the level. 0 by default.
            #[serde(default = "crate::transforms::augment::none")]
            pub magnitude_std: crate::transforms::augment::Deviation,
            /// The highest level. 10 by default.
            #[serde(default = "crate::transforms::augment::ten")]
            pub total_level: f64,
            /// The probability of changing the image. 0.5 by default.
            #[serde(default = "crate::transforms::augment::half")]
            pub prob: f64,
            /// The probability of turning the magnitude's sign, where it has one. 0.5 by default.
            #[serde(default = "crate::transforms::augment::half")]
            pub random_negative_prob: f64,
        }

        impl $name {
            fn common(&self) -> crate::transforms::augment::Draws<'_> {
                crate::transforms::augment::Draws {
                    magnitude_level: self.magnitude_level,
                    magnitude_range: self.magnitude_range,
                    magnitude_std: &self.magnitude_std,
                    total_level: self.total_level,
                    prob: self.prob,
                    random_negative_prob: self.random_negative_prob,
                }
            }
        }
    };
}
use augmentation;

fn ten() -> f64 {
    10.0
}

fn half() -> f64 {
    0.5
}

fn none() -> Deviation {
    Deviation::Normal(0.0)
}

fn nearest() -> crate::resize::Interpolation {
    crate::resize::Interpolation::Nearest
}

fn grey() -> crate::PadValue {
    crate::PadValue::One(128.0)
}

/// The arguments of an augmentation that the `hparams` of a policy may set.
pub(crate) fn hyperparameters(name: &str) -> &'static [&'static str] {
    match name {
        "AutoContrast" | "Equalize" | "Invert" => &["prob"],
        "Brightness" | "ColorTransform" | "Contrast" | "Sharpness" => {
            &["magnitude", "prob", "random_negative_prob"]
        }
        "Cutout" => &["shape", "pad_val", "prob"],
        "Posterize" => &["bits", "prob"],
        "Rotate" => &["angle", "center", "scale", "pad_val", "prob", "random_negative_prob", "interpolation"],
        "Shear" | "Translate" => {
            &["magnitude", "pad_val", "prob", "direction", "random_negative_prob", "interpolation"]
        }
        "Solarize" => &["thr", "prob"],
        "SolarizeAdd" => &["magnitude", "thr", "prob"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Seed, golden};

    fn run<T: Transform + serde::de::DeserializeOwned>(json: &str, index: u64) -> Image {
        let transform: T = serde_json::from_str(json).unwrap();
        transform.check().unwrap();
        let sample = Sample::new(golden::image("color", 12, 10, 3), 0, 0);
        transform.apply(sample, &mut Seed(4).stream("test", &[index])).unwrap().image
    }

    #[test]
    fn magnitudes_come_from_levels() {
        let magnitude = |json: &str| {
            let shear: Shear = serde_json::from_str(json).unwrap();
            let mut rng = Seed(1).stream("test", &[]);
            let drawn: Vec<_> = (0..2000).map(|_| shear.draws().magnitude((0.0, 0.5), &mut rng)).collect();
            let mean = drawn.iter().sum::<f64>() / 2000.0;
            let range = drawn.iter().fold((f64::MAX, f64::MIN), |(a, b), &x| (a.min(x), b.max(x)));
            (mean, range)
        };
        assert_eq!(magnitude(r#"{"magnitude_level": 6}"#).1, (0.3, 0.3));
        let (mean, range) = magnitude(r#"{"magnitude_level": 6, "magnitude_std": "inf"}"#);
        assert!((mean - 0.15).abs() < 0.01 && range.0 >= 0.0 && range.1 < 0.3);
        let (mean, range) = magnitude(r#"{"magnitude_level": 9, "magnitude_std": 1.5}"#);
        assert!((0.42..0.45).contains(&mean) && range.1 == 0.5, "{mean} {range:?}");
    }

    #[test]
    fn probabilities_are_kept() {
        let image = golden::image("color", 12, 10, 3);
        let changed = (0..1000).filter(|&index| run::<Invert>(r#"{"prob": 0.3}"#, index) != image).count();
        assert!((250..350).contains(&changed), "{changed}");
        // Brightness by +1 or -1: twice as bright, or black.
        let json = r#"{"magnitude": 1, "prob": 1, "random_negative_prob": 0.2}"#;
        let black =
            (0..1000).filter(|&index| run::<Brightness>(json, index).pixels().iter().all(|&x| x == 0));
        let black = black.count();
        assert!((150..250).contains(&black), "{black}");
    }

    #[test]
    fn one_magnitude_is_needed() {
        assert!(serde_json::from_str::<Shear>("{}").unwrap().check().is_err());
        let both = r#"{"magnitude": 1, "magnitude_range": [0, 1]}"#;
        assert!(serde_json::from_str::<Shear>(both).unwrap().check().is_err());
        assert!(serde_json::from_str::<Equalize>(r#"{"magnitude_level": 3}"#).unwrap().check().is_ok());
        let wrong = r#"{"magnitude_range": [0, 1], "magnitude_std": "infinite"}"#;
        assert!(serde_json::from_str::<Shear>(wrong).unwrap().check().is_err());
        assert!(serde_json::from_str::<Posterize>(r#"{"bits": 9}"#).unwrap().check().is_err());
    }

    #[test]
    fn every_augmentation_takes_its_hyperparameters() {
        assert_eq!(run::<Translate>(r#"{"magnitude": 0, "prob": 1}"#, 0), golden::image("color", 12, 10, 3));
        let cut = run::<Cutout>(r#"{"shape": 4, "prob": 1, "pad_val": [1, 2, 3]}"#, 0);
        let count = cut.pixels().chunks(3).filter(|pixel| **pixel == [1, 2, 3]).count();
        assert!((4..=16).contains(&count), "{count}");
        let turned = run::<Rotate>(r#"{"angle": 90, "prob": 1, "center": [4.5, 4.5], "pad_val": 9}"#, 0);
        assert_eq!(turned.shape(), [12, 10]);
    }
}
