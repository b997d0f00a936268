//! Brightening dark samples.

use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Draws, augmentation};
use crate::{Error, Image, Result, color};

augmentation! {
    /// Adds a value to samples below `thr`, up to 255; rounded down.
    pub struct SolarizeAdd {
        /// What to add.
        #[serde(default)]
        pub magnitude: Option<f64>,
        /// The threshold. 128 by default.
        #[serde(default = "middle")]
        pub thr: f64,
    }
}

fn middle() -> f64 {
    128.0
}

impl Augmentation for SolarizeAdd {
    const NAME: &'static str = "SolarizeAdd";
    const MAGNITUDE: Option<&'static str> = Some("magnitude");
    const SIGNED: bool = false;

    fn draws(&self) -> Draws<'_> {
        self.common()
    }

    fn given(&self) -> Option<f64> {
        self.magnitude
    }

    fn change(&self, mut image: Image, magnitude: f64, _: &mut ChaCha8Rng) -> Result<Image> {
        let added = |sample: u8| match f64::from(sample) {
            dark if dark < self.thr => (dark + magnitude).clamp(0.0, 255.0) as u8,
            _ => sample,
        };
        color::replace(&mut image, &color::table(added));
        Ok(image)
    }

    fn check_own(&self) -> Result<()> {
        match self.thr.is_finite() {
            true => Ok(()),
            false => Err(Error::argument(Self::NAME, "`thr` must be finite")),
        }
    }
}
