//! Rotating.

use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Draws, augmentation, grey};
use crate::resize::Interpolation;
use crate::warp::{rotation, warp};
use crate::{Error, Image, PadValue, Result};

augmentation! {
    /// Rotates the image within its size.
    ///
    /// A single `pad_val` is that of all channels; the original gives it to the first and 0 to the others.
    pub struct Rotate {
        /// Degrees, clockwise.
        #[serde(default)]
        pub angle: Option<f64>,
        /// What stays in its place, (x, y). The middle by default.
        #[serde(default)]
        pub center: Option<(f64, f64)>,
        /// Enlarges as well. 1 by default.
        #[serde(default = "one")]
        pub scale: f64,
        /// What comes in at the border, of all channels or of each. 128 by default.
        #[serde(default = "grey")]
        pub pad_val: PadValue,
        /// Nearest by default.
        #[serde(default = "super::nearest")]
        pub interpolation: Interpolation,
    }
}

fn one() -> f64 {
    1.0
}

impl Augmentation for Rotate {
    const NAME: &'static str = "Rotate";
    const MAGNITUDE: Option<&'static str> = Some("angle");
    const SIGNED: bool = true;

    fn draws(&self) -> Draws<'_> {
        self.common()
    }

    fn given(&self) -> Option<f64> {
        self.angle
    }

    fn change(&self, image: Image, magnitude: f64, _: &mut ChaCha8Rng) -> Result<Image> {
        let middle = |side: usize| (side as f64 - 1.0) * 0.5;
        let center = self.center.unwrap_or_else(|| (middle(image.width()), middle(image.height())));
        let map = rotation(center, magnitude, self.scale);
        warp(&image, map, self.interpolation, &self.pad_val.pixel(Self::NAME, image.channels())?)
    }

    fn check_own(&self) -> Result<()> {
        let finite = |x: f64| x.is_finite();
        if !finite(self.scale) || self.center.is_some_and(|(x, y)| !finite(x) || !finite(y)) {
            return Err(Error::argument(Self::NAME, "`center` and `scale` must be finite"));
        }
        crate::resize::ResizeBackend::Cv2.check(Self::NAME, self.interpolation)
    }
}
