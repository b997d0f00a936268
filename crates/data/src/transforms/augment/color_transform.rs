//! Changing saturation.

use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Draws, augmentation};
use crate::{Image, Result, color};

augmentation! {
    /// Multiplies the difference to the grey image by `1 + magnitude`.
    pub struct ColorTransform {
        /// Above 0 for more, below for less.
        #[serde(default)]
        pub magnitude: Option<f64>,
    }
}

impl Augmentation for ColorTransform {
    const NAME: &'static str = "ColorTransform";
    const MAGNITUDE: Option<&'static str> = Some("magnitude");
    const SIGNED: bool = true;

    fn draws(&self) -> Draws<'_> {
        self.common()
    }

    fn given(&self) -> Option<f64> {
        self.magnitude
    }

    fn change(&self, mut image: Image, magnitude: f64, _: &mut ChaCha8Rng) -> Result<Image> {
        color::saturation(&mut image, 1.0 + magnitude);
        Ok(image)
    }
}
