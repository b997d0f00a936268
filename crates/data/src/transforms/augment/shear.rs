//! Shearing.

use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Direction, Draws, augmentation, grey};
use crate::resize::Interpolation;
use crate::transforms::efficient_net_random_crop::bicubic;
use crate::warp::warp;
use crate::{Image, PadValue, Result};

augmentation! {
    /// Moves each row sideways by `magnitude` times its number, or each column down.
    pub struct Shear {
        /// The shift from one row to the next.
        #[serde(default)]
        pub magnitude: Option<f64>,
        /// What comes in at the border, of all channels or of each. 128 by default.
        #[serde(default = "grey")]
        pub pad_val: PadValue,
        /// Along which edge. Horizontal by default.
        #[serde(default)]
        pub direction: Direction,
        /// Bicubic by default.
        #[serde(default = "bicubic")]
        pub interpolation: Interpolation,
    }
}

impl Augmentation for Shear {
    const NAME: &'static str = "Shear";
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
        let magnitude = f64::from(magnitude as f32);
        let map = match self.direction {
            Direction::Horizontal => [1.0, magnitude, 0.0, 0.0, 1.0, 0.0],
            Direction::Vertical => [1.0, 0.0, 0.0, magnitude, 1.0, 0.0],
        };
        warp(&image, map, self.interpolation, &self.pad_val.pixel(Self::NAME, image.channels())?)
    }

    fn check_own(&self) -> Result<()> {
        crate::resize::ResizeBackend::Cv2.check(Self::NAME, self.interpolation)
    }
}
