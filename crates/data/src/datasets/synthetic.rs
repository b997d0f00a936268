//! Images that nobody took.

use occam_config::{Error as ConfigError, Registry, Value};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Dataset;
use crate::streams::Draw;
use crate::{Compose, Error, Image, Result, Sample, Seed, Transform};

/// Images of random pixels with random labels, made when they are asked for; to try a config without its data.
///
/// ```python
/// dict(type='SyntheticDataset', length=50000, size=(32, 32), num_classes=10, pipeline=[dict(type='PackClsInputs')])
/// ```
///
/// | key | default | |
/// |---|---|---|
/// | `length` | | number of images |
/// | `size` | `(375, 500)` | height and width, as large as ImageNet's images are |
/// | `channels` | 3 | |
/// | `num_classes` | 1000 | labels are drawn below it, each as likely |
/// | `pipeline` | `[]` | transforms of images that are loaded already |
#[derive(Debug)]
pub struct SyntheticDataset {
    length: usize,
    size: [usize; 2],
    channels: usize,
    classes: Vec<String>,
    pipeline: Compose,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    length: usize,
    #[serde(default = "size")]
    size: [usize; 2],
    #[serde(default = "channels")]
    channels: usize,
    #[serde(default = "num_classes")]
    num_classes: usize,
    #[serde(default, rename = "pipeline")]
    _pipeline: IgnoredAny,
}

fn size() -> [usize; 2] {
    [375, 500]
}

fn channels() -> usize {
    3
}

fn num_classes() -> usize {
    1000
}

/// Most bytes of an image.
const MOST: usize = 1 << 28;

impl SyntheticDataset {
    pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn Dataset>, ConfigError> {
        let keys: Keys = value.parse()?;
        let fail = |key: &str, message: &str| {
            ConfigError::new(message.to_owned()).at(value.get(key).unwrap_or(value))
        };
        let [h, w] = keys.size;
        if !h
            .checked_mul(w)
            .and_then(|n| n.checked_mul(keys.channels))
            .is_some_and(|n| (1..=MOST).contains(&n))
        {
            return Err(fail("size", "an image has at least one byte and at most 256 MiB"));
        }
        if !(1..=1 << 24).contains(&keys.num_classes) {
            return Err(fail("num_classes", "there are between 1 and 2^24 classes"));
        }
        let pipeline = match value.get("pipeline") {
            Some(pipeline) => Compose::from_config(pipeline, registry)?,
            None => Compose::default(),
        };
        let classes = (0..keys.num_classes).map(|class| class.to_string()).collect();
        let Keys { length, size, channels, .. } = keys;
        Ok(Box::new(Self { length, size, channels, classes, pipeline }))
    }
}

impl Dataset for SyntheticDataset {
    fn len(&self) -> usize {
        self.length
    }

    fn get(&self, index: usize) -> Result<Sample> {
        if index >= self.length {
            return Err(Error::OutOfRange { index, len: self.length });
        }
        let [h, w] = self.size;
        let mut rng = Seed(0).stream("synthetic", &[index as u64]);
        let mut pixels = vec![0; h * w * self.channels];
        rng.fill_bytes(&mut pixels);
        let label = rng.below(self.classes.len());
        Ok(Sample::new(Image::new(h, w, self.channels, pixels)?, i64::try_from(label).unwrap_or(0), index))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn prepare(&self, index: usize, rng: &mut ChaCha8Rng) -> Result<Sample> {
        self.pipeline.apply(self.get(index)?, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use occam_config::Loader;

    fn built(text: &str) -> Result<Box<dyn Dataset>, ConfigError> {
        let value = Loader::new().load_str("d.py", &format!("d = dict(type='SyntheticDataset', {text})"))?;
        let mut registry = Registry::new();
        crate::register(&mut registry);
        registry.build::<dyn Dataset>(value.get("d").unwrap())
    }

    #[test]
    fn images_are_a_function_of_their_position() {
        let data = built("length=5, size=(4, 6), channels=1, num_classes=3").unwrap();
        let (a, b) = (data.get(4).unwrap(), data.get(4).unwrap());
        assert_eq!(a, b);
        assert_eq!((a.image.shape(), a.image.channels(), data.len()), ([4, 6], 1, 5));
        assert_ne!(a.image, data.get(3).unwrap().image);
        assert!(data.get(5).is_err());
    }

    #[test]
    fn refuses_what_cannot_be() {
        for text in [
            "size=(4, 6)",
            "length=1, size=(0, 6)",
            "length=1, size=(99999999, 99999999)",
            "length=1, num_classes=0",
            "length=1, lenght=2",
        ] {
            assert!(built(text).is_err(), "{text}");
        }
    }
}
