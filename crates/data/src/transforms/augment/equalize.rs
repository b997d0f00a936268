//! Equal frequencies of brightness.

use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Draws, augmentation};
use crate::{Image, Result, color};

augmentation! {
    /// Spreads each channel so that its samples are about equally frequent.
    pub struct Equalize {}
}

impl Augmentation for Equalize {
    const NAME: &'static str = "Equalize";
    const MAGNITUDE: Option<&'static str> = None;
    const SIGNED: bool = false;

    fn draws(&self) -> Draws<'_> {
        self.common()
    }

    fn given(&self) -> Option<f64> {
        None
    }

    fn change(&self, mut image: Image, _: f64, _: &mut ChaCha8Rng) -> Result<Image> {
        color::equalize(&mut image);
        Ok(image)
    }
}
