//! Cropping in the middle.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::padding::{Axis, gather};
use crate::{Error, OneOrPair, Result, Sample, Transform};

/// Cuts the window of `crop_size` out of the middle of the image.
///
/// The window starts at `(side - crop) / 2`, rounded half to even; an image smaller than the window keeps its size
/// on that side. MMCV's `auto_pad` is not supported.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CenterCrop {
    /// Side of the window, or its width and height: in this order, as MMCV has it, unlike `RandomCrop`.
    pub crop_size: OneOrPair,
}

impl Transform for CenterCrop {
    fn apply(&self, sample: Sample, _: &mut ChaCha8Rng) -> Result<Sample> {
        self.check()?;
        let (width, height) = self.crop_size.pair();
        let middle = |side: usize, crop: usize| {
            let crop = crop.min(side);
            let spare = side - crop;
            // Half to even: of an odd remainder's two halves, the even one.
            let start = spare / 2 + usize::from(spare % 4 == 3);
            Axis::new(side).crop(start, crop)
        };
        let rows = middle(sample.image.height(), height);
        let columns = middle(sample.image.width(), width);
        let image = gather(&sample.image, &rows, &columns, &vec![0; sample.image.channels()])?;
        Ok(Sample { image, ..sample })
    }

    fn check(&self) -> Result<()> {
        match self.crop_size.pair() {
            (0, _) | (_, 0) => Err(Error::argument("CenterCrop", "`crop_size` must be above 0")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Image, Seed};

    fn crop(height: u8, width: u8, crop_size: OneOrPair) -> ([usize; 2], u8) {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| 10 * y + x)).collect();
        let image = Image::new(height.into(), width.into(), 1, pixels).unwrap();
        let sample = CenterCrop { crop_size }
            .apply(Sample::new(image, 0, 0), &mut Seed(0).stream("test", &[]))
            .unwrap();
        (sample.image.shape(), sample.image.pixels()[0])
    }

    /// First pixels from `int(round((side - crop) / 2.))` in Python: 0.5 to 0, 1.5 to 2, 2.5 to 2.
    #[test]
    fn starts_where_mmcv_starts() {
        assert_eq!(crop(4, 6, OneOrPair::One(2)), ([2, 2], 12));
        assert_eq!(crop(3, 5, OneOrPair::One(2)), ([2, 2], 2));
        assert_eq!(crop(7, 7, OneOrPair::Pair(2, 4)), ([4, 2], 22));
        assert_eq!(crop(3, 3, OneOrPair::One(9)), ([3, 3], 0));
    }
}
