//! Negatives of bright samples.

use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Draws, augmentation};
use crate::{Image, Result, color};

augmentation! {
    /// Inverts samples from `thr` on.
    pub struct Solarize {
        /// The threshold.
        #[serde(default)]
        pub thr: Option<f64>,
    }
}

/// The sample, inverted from the threshold on.
pub(crate) fn solarized(sample: u8, threshold: f64) -> u8 {
    if f64::from(sample) < threshold { sample } else { 255 - sample }
}

impl Augmentation for Solarize {
    const NAME: &'static str = "Solarize";
    const MAGNITUDE: Option<&'static str> = Some("thr");
    const SIGNED: bool = false;

    fn draws(&self) -> Draws<'_> {
        self.common()
    }

    fn given(&self) -> Option<f64> {
        self.thr
    }

    fn change(&self, mut image: Image, magnitude: f64, _: &mut ChaCha8Rng) -> Result<Image> {
        color::replace(&mut image, &color::table(|sample| solarized(sample, magnitude)));
        Ok(image)
    }
}
