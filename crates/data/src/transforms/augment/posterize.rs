//! Fewer levels of brightness.

use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Draws, augmentation};
use crate::{Error, Image, Result, color};

augmentation! {
    /// Keeps the upper `bits` bits of each sample; a broken number of bits is rounded up.
    pub struct Posterize {
        /// From 0 to 8.
        #[serde(default)]
        pub bits: Option<f64>,
    }
}

/// The upper bits of a sample.
pub(crate) fn posterized(sample: u8, bits: f64) -> u8 {
    match 8 - bits.ceil().clamp(0.0, 8.0) as u32 {
        8 => 0,
        shift => sample >> shift << shift,
    }
}

impl Augmentation for Posterize {
    const NAME: &'static str = "Posterize";
    const MAGNITUDE: Option<&'static str> = Some("bits");
    const SIGNED: bool = false;

    fn draws(&self) -> Draws<'_> {
        self.common()
    }

    fn given(&self) -> Option<f64> {
        self.bits
    }

    fn change(&self, mut image: Image, magnitude: f64, _: &mut ChaCha8Rng) -> Result<Image> {
        color::replace(&mut image, &color::table(|sample| posterized(sample, magnitude)));
        Ok(image)
    }

    fn check_own(&self) -> Result<()> {
        match self.bits {
            Some(bits) if !(0.0..=8.0).contains(&bits) => {
                Err(Error::argument(Self::NAME, format!("`bits` is {bits}, it must be from 0 to 8")))
            }
            _ => Ok(()),
        }
    }
}
