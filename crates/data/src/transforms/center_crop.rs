//! Cropping in the middle.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::padding::{Axis, gather};
use crate::{Error, OneOrPair, Pad, PadVal, PaddingMode, Result, Sample, Transform};

/// Cuts the window of `crop_size` out of the middle of the image.
///
/// The window starts at `(side - crop) / 2`, rounded half to even; an image smaller than the window keeps its size
/// on that side, or is padded first with `auto_pad`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CenterCrop {
    /// Side of the window, or its width and height: in this order, as MMCV has it, unlike `RandomCrop`.
    pub crop_size: OneOrPair,
    /// Whether to pad a smaller image at the right and bottom. False by default.
    #[serde(default)]
    pub auto_pad: bool,
    /// How to pad: the arguments of [`Pad`], whose sizes are without effect.
    #[serde(default)]
    pub pad_cfg: PadConfig,
    /// Accepted without effect: there are no objects with borders.
    #[serde(default, rename = "clip_object_border")]
    pub _clip_object_border: Option<bool>,
}

/// How [`CenterCrop`] pads: a config of [`Pad`].
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PadConfig {
    /// Only `Pad` is supported.
    pub r#type: Option<String>,
    /// See [`Pad`].
    pub pad_val: PadVal,
    /// See [`Pad`].
    pub padding_mode: PaddingMode,
}

impl CenterCrop {
    /// The window of `crop_size` in both directions, without padding.
    pub fn new(crop_size: usize) -> Self {
        Self {
            crop_size: OneOrPair::One(crop_size),
            auto_pad: false,
            pad_cfg: PadConfig::default(),
            _clip_object_border: None,
        }
    }
}

impl Transform for CenterCrop {
    fn apply(&self, mut sample: Sample, _: &mut ChaCha8Rng) -> Result<Sample> {
        self.check()?;
        let (width, height) = self.crop_size.pair();
        if self.auto_pad && (height > sample.image.height() || width > sample.image.width()) {
            let pad = Pad {
                size: Some((width, height)),
                pad_val: self.pad_cfg.pad_val.clone(),
                padding_mode: self.pad_cfg.padding_mode,
                ..Pad::default()
            };
            sample.image = pad.padded(&sample.image)?;
        }
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

    fn only_moves(&self) -> bool {
        !self.auto_pad
    }

    fn check(&self) -> Result<()> {
        match self.crop_size.pair() {
            (0, _) | (_, 0) => Err(Error::argument("CenterCrop", "`crop_size` must be above 0")),
            _ if self.pad_cfg.r#type.as_deref().is_some_and(|name| name != "Pad") => {
                Err(Error::argument("CenterCrop", "`pad_cfg` must be of type 'Pad'"))
            }
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
        let sample = CenterCrop { crop_size, ..CenterCrop::new(1) }
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

    #[test]
    fn pads_small_images_where_asked_to() {
        let crop: CenterCrop = serde_json::from_str(
            r#"{"crop_size": [3, 2], "auto_pad": true, "pad_cfg": {"type": "Pad", "pad_val": 9}}"#,
        )
        .unwrap();
        crop.check().unwrap();
        let sample = Sample::new(Image::new(3, 2, 1, (0..6).collect()).unwrap(), 0, 0);
        let image = crop.apply(sample, &mut Seed(0).stream("test", &[])).unwrap().image;
        assert_eq!((image.shape(), image.pixels()), ([2, 3], [0, 1, 9, 2, 3, 9].as_slice()));
    }
}
