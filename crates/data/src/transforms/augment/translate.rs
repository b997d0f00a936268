//! Moving sideways or down.

use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Direction, Draws, augmentation, grey};
use crate::resize::Interpolation;
use crate::warp::warp;
use crate::{Image, PadValue, Result};

augmentation! {
    /// Moves the image by `magnitude` times its width, or its height.
    pub struct Translate {
        /// 1 moves the whole image out of sight.
        #[serde(default)]
        pub magnitude: Option<f64>,
        /// What comes in at the border, of all channels or of each. 128 by default.
        #[serde(default = "grey")]
        pub pad_val: PadValue,
        /// Along which edge. Horizontal by default.
        #[serde(default)]
        pub direction: Direction,
        /// Nearest by default.
        #[serde(default = "super::nearest")]
        pub interpolation: Interpolation,
    }
}

impl Augmentation for Translate {
    const NAME: &'static str = "Translate";
    const MAGNITUDE: Option<&'static str> = Some("magnitude");
    const SIGNED: bool = true;

    fn draws(&self) -> Draws<'_> {
        self.common()
    }

    fn given(&self) -> Option<f64> {
        self.magnitude
    }

    fn change(&self, image: Image, magnitude: f64, _: &mut ChaCha8Rng) -> Result<Image> {
        // The original's matrix is f32.
        let offset = |side: usize| f64::from((magnitude * side as f64) as f32);
        let map = match self.direction {
            Direction::Horizontal => [1.0, 0.0, offset(image.width()), 0.0, 1.0, 0.0],
            Direction::Vertical => [1.0, 0.0, 0.0, 0.0, 1.0, offset(image.height())],
        };
        warp(&image, map, self.interpolation, &self.pad_val.pixel(Self::NAME, image.channels())?)
    }

    fn check_own(&self) -> Result<()> {
        crate::resize::ResizeBackend::Cv2.check(Self::NAME, self.interpolation)
    }
}
