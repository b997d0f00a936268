//! Negatives.

use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Draws, augmentation};
use crate::{Image, Result, color};

augmentation! {
    /// Makes the negative: `255 - x`.
    pub struct Invert {}
}

impl Augmentation for Invert {
    const NAME: &'static str = "Invert";
    const MAGNITUDE: Option<&'static str> = None;
    const SIGNED: bool = false;

    fn draws(&self) -> Draws<'_> {
        self.common()
    }

    fn given(&self) -> Option<f64> {
        None
    }

    fn change(&self, mut image: Image, _: f64, _: &mut ChaCha8Rng) -> Result<Image> {
        color::replace(&mut image, &color::table(|sample| 255 - sample));
        Ok(image)
    }
}
