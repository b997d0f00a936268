//! Stretching contrast.

use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Draws, augmentation};
use crate::{Image, Result, color};

augmentation! {
    /// Stretches each channel from 0 to 255.
    pub struct AutoContrast {}
}

impl Augmentation for AutoContrast {
    const NAME: &'static str = "AutoContrast";
    const MAGNITUDE: Option<&'static str> = None;
    const SIGNED: bool = false;

    fn draws(&self) -> Draws<'_> {
        self.common()
    }

    fn given(&self) -> Option<f64> {
        None
    }

    fn change(&self, mut image: Image, _: f64, _: &mut ChaCha8Rng) -> Result<Image> {
        color::auto_contrast(&mut image);
        Ok(image)
    }
}
