//! Cropping at a random place.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::padding::{Axis, gather};
use crate::streams::Draw;
use crate::{Error, Image, OneOrPair, PadValue, Padding, PaddingMode, Result, Sample, Transform};

/// Pads the image, then cuts a window of `crop_size` out of it, every place being equally likely.
///
/// An image smaller than the window (after padding) is cropped to what there is of it. Draws the row, then the
/// column; nothing where the image has the window's size.
///
/// MMClassification's own differs in two places. It ignores `padding_mode` for `padding` and always pads
/// with `pad_val`; here both paddings use it. And it limits the height of the window by the image's width.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    /// Side of the window, or its height and width.
    pub crop_size: OneOrPair,
    /// What to add around the image first: a number for all sides, (left and right, top and bottom), or (left, top,
    /// right, bottom). None by default.
    #[serde(default)]
    pub padding: Option<Padding>,
    /// Whether to pad an image that is then still smaller than the window, equally on both sides, until it is not.
    /// False by default.
    #[serde(default)]
    pub pad_if_needed: bool,
    /// The value of constant padding, for all channels or for each. 0 by default.
    #[serde(default = "zero")]
    pub pad_val: PadValue,
    /// What to pad with. Constant by default.
    #[serde(default)]
    pub padding_mode: PaddingMode,
}

const NAME: &str = "RandomCrop";

fn zero() -> PadValue {
    PadValue::One(0.0)
}

impl RandomCrop {
    /// Crops of `crop_size` by `crop_size` from the image with `padding` zeros on every side.
    pub fn new(crop_size: usize, padding: usize) -> Self {
        Self {
            crop_size: OneOrPair::One(crop_size),
            padding: Some(Padding::All(padding)),
            pad_if_needed: false,
            pad_val: zero(),
            padding_mode: PaddingMode::Constant,
        }
    }

    /// The rows and columns of the padded image.
    fn canvas(&self, image: &Image) -> Result<(Axis, Axis)> {
        let (height, width) = self.crop_size.pair();
        let [left, top, right, bottom] = self.padding.unwrap_or(Padding::All(0)).sides();
        let axis = |len, before, after, window: usize| {
            let axis = Axis::new(len).pad(NAME, before, after, self.padding_mode)?;
            let lacking = if self.pad_if_needed { window.saturating_sub(axis.len()).div_ceil(2) } else { 0 };
            axis.pad(NAME, lacking, lacking, self.padding_mode)
        };
        Ok((axis(image.height(), top, bottom, height)?, axis(image.width(), left, right, width)?))
    }

    /// The crop, with `place` choosing its first row and column among as many as given.
    fn crop(&self, image: &Image, mut place: impl FnMut(usize) -> usize) -> Result<Image> {
        self.check()?;
        let (rows, columns) = self.canvas(image)?;
        let (height, width) = self.crop_size.pair();
        let (height, width) = (height.min(rows.len()), width.min(columns.len()));
        let (top, left) = if (height, width) == (rows.len(), columns.len()) {
            (0, 0)
        } else {
            (place(rows.len() - height + 1), place(columns.len() - width + 1))
        };
        let pad = self.pad_val.pixel(NAME, image.channels())?;
        gather(image, &rows.crop(top, height), &columns.crop(left, width), &pad)
    }
}

impl Transform for RandomCrop {
    fn apply(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        let image = self.crop(&sample.image, |places| rng.below(places))?;
        Ok(Sample { image, ..sample })
    }

    fn only_moves(&self) -> bool {
        self.padding_mode != PaddingMode::Constant || (self.padding.is_none() && !self.pad_if_needed)
    }

    fn check(&self) -> Result<()> {
        let (height, width) = self.crop_size.pair();
        if height == 0 || width == 0 {
            return Err(Error::argument(
                NAME,
                format!("`crop_size` is {height} x {width}, it must be above 0"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Seed;

    /// One pixel after the other of the padded image, with nothing shared with the implementation but the formula
    /// of the modes, which is written out here as walking to and fro.
    fn naive(image: &Image, sides: [usize; 4], mode: PaddingMode, pad: u8) -> Vec<Vec<Vec<u8>>> {
        let [left, top, right, bottom] = sides.map(|n| n as isize);
        let (height, width, channels) = (image.height(), image.width(), image.channels());
        let walk = |mut at: isize, len: isize| -> Option<usize> {
            while !(0..len).contains(&at) {
                at = match mode {
                    PaddingMode::Constant => return None,
                    PaddingMode::Edge if at < 0 => 0,
                    PaddingMode::Edge => len - 1,
                    PaddingMode::Reflect if len == 1 => 0,
                    PaddingMode::Reflect if at < 0 => -at,
                    PaddingMode::Reflect => 2 * (len - 1) - at,
                    PaddingMode::Symmetric if at < 0 => -at - 1,
                    PaddingMode::Symmetric => 2 * len - 1 - at,
                };
            }
            Some(at as usize)
        };
        let pixel = |y: isize, x: isize| match (walk(y, height as isize), walk(x, width as isize)) {
            (Some(y), Some(x)) => {
                let at = (y * width + x) * channels;
                image.pixels()[at..at + channels].to_vec()
            }
            _ => vec![pad; channels],
        };
        (-top..height as isize + bottom)
            .map(|y| (-left..width as isize + right).map(|x| pixel(y, x)).collect())
            .collect()
    }

    fn image(height: usize, width: usize, channels: usize) -> Image {
        let pixels = (0..height * width * channels).map(|i| ((i * 37 + 11) % 251) as u8).collect();
        Image::new(height, width, channels, pixels).unwrap()
    }

    fn mode() -> impl Strategy<Value = PaddingMode> {
        prop::sample::select(vec![
            PaddingMode::Constant,
            PaddingMode::Edge,
            PaddingMode::Reflect,
            PaddingMode::Symmetric,
        ])
    }

    proptest! {
        #[test]
        fn agrees_with_padding_then_cropping(
            (height, width, channels) in (1usize..6, 1usize..6, 1usize..4),
            sides in prop::array::uniform4(0usize..9),
            (crop_height, crop_width) in (1usize..9, 1usize..9),
            (top, left) in (0usize..9, 0usize..9),
            mode in mode(),
        ) {
            let image = image(height, width, channels);
            let crop = RandomCrop {
                crop_size: OneOrPair::Pair(crop_height, crop_width),
                padding: Some(Padding::Each(sides[0], sides[1], sides[2], sides[3])),
                pad_if_needed: false,
                pad_val: PadValue::One(77.0),
                padding_mode: mode,
            };
            let mut wanted = [top, left].into_iter();
            let mut taken = vec![];
            let result = crop.crop(&image, |places| {
                taken.push(wanted.next().unwrap() % places);
                taken[taken.len() - 1]
            }).unwrap();
            taken.resize(2, 0);
            let expected: Vec<u8> = naive(&image, sides, mode, 77)
                .into_iter()
                .skip(taken[0])
                .take(crop_height)
                .flat_map(|row| row.into_iter().skip(taken[1]).take(crop_width).flatten())
                .collect();
            prop_assert_eq!(result.pixels(), expected.as_slice());
        }

        #[test]
        fn padding_when_needed_reaches_the_window(
            (height, width) in (1usize..6, 1usize..6),
            size in 1usize..12,
            mode in mode(),
        ) {
            let crop = RandomCrop {
                crop_size: OneOrPair::One(size),
                padding: None,
                pad_if_needed: true,
                pad_val: zero(),
                padding_mode: mode,
            };
            let sample = Sample::new(image(height, width, 1), 0, 0);
            let result = crop.apply(sample, &mut Seed(1).stream("test", &[])).unwrap();
            prop_assert_eq!(result.image.shape(), [size, size]);
        }
    }

    #[test]
    fn reaches_every_place_equally_often() {
        let crop = RandomCrop::new(2, 0);
        let mut counts = std::collections::BTreeMap::new();
        for index in 0..6000 {
            let sample = Sample::new(image(3, 4, 1), 0, 0);
            let result = crop.apply(sample, &mut Seed(5).stream("test", &[index])).unwrap();
            *counts.entry(result.image.pixels()[0]).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|n| (850..1150).contains(n)), "{counts:?}");
    }

    #[test]
    fn crops_small_images_to_what_there_is() {
        let crop = RandomCrop { padding: None, ..RandomCrop::new(3, 0) };
        let sample = Sample::new(image(5, 2, 1), 0, 0);
        let result = crop.apply(sample, &mut Seed(5).stream("test", &[])).unwrap();
        assert_eq!(result.image.shape(), [3, 2]);
        assert!(RandomCrop::new(0, 0).check().is_err());
    }

    /// `tests/golden/make.py`: MMClassification's `RandomCrop` with its offsets fixed.
    #[test]
    fn agrees_with_mmcls() {
        #[derive(Deserialize)]
        struct Case {
            shape: [usize; 3],
            args: serde_json::Value,
            place: [usize; 2],
            result_shape: [usize; 2],
            result: Vec<u8>,
        }
        let golden = include_str!("../../tests/golden/random_crop.json");
        let cases: Vec<Case> = serde_json::from_str(golden).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let crop: RandomCrop = serde_json::from_value(case.args.clone()).unwrap();
            let [height, width, channels] = case.shape;
            let mut place = case.place.into_iter();
            let result = crop.crop(&image(height, width, channels), |_| place.next().unwrap()).unwrap();
            assert_eq!(result.shape(), case.result_shape, "{}", case.args);
            assert_eq!(result.pixels(), case.result, "{}", case.args);
        }
    }
}
