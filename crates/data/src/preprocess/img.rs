//! MMEngine's preprocessor of images.

use occam_config::{Error as ConfigError, Registry, Value};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ClsDataPreprocessor, DataPreprocessor};

/// The config of `ImgDataPreprocessor`, which does what [`ClsDataPreprocessor`] does with its first five arguments; the
/// exchange of channels is called by its direction.
///
/// | key | default | |
/// |---|---|---|
/// | `mean`, `std` | None | of each channel, or of all |
/// | `pad_size_divisor`, `pad_value` | 1, 0 | padding at the right and bottom |
/// | `bgr_to_rgb`, `rgb_to_bgr` | False | exchange the first and third channel; not both |
/// | `non_blocking` | | accepted without effect |
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
    pad_size_divisor: Option<usize>,
    pad_value: f32,
    bgr_to_rgb: bool,
    rgb_to_bgr: bool,
    #[serde(rename = "non_blocking")]
    _non_blocking: IgnoredAny,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn DataPreprocessor>, ConfigError> {
    let keys: Keys = value.parse()?;
    if keys.bgr_to_rgb && keys.rgb_to_bgr {
        let error = ConfigError::new("`bgr_to_rgb` and `rgb_to_bgr` undo each other: set one of them");
        return Err(error.at(value.get("rgb_to_bgr").unwrap_or(value)));
    }
    let preprocessor = ClsDataPreprocessor {
        mean: keys.mean,
        std: keys.std,
        to_rgb: keys.bgr_to_rgb || keys.rgb_to_bgr,
        pad_size_divisor: keys.pad_size_divisor.unwrap_or(1),
        pad_value: keys.pad_value,
        ..ClsDataPreprocessor::default()
    };
    preprocessor.check()?;
    Ok(Box::new(preprocessor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Collate, Image, Sample};
    use occam_config::Loader;

    fn built(text: &str) -> Result<Box<dyn DataPreprocessor>, ConfigError> {
        let mut registry = Registry::new();
        crate::register(&mut registry);
        let config = Loader::new().load_str("p.py", &format!("p = dict({text})"))?;
        registry.build::<dyn DataPreprocessor>(config.get("p").unwrap())
    }

    #[test]
    fn does_what_that_of_classifiers_does() {
        let pixels = (0..36).map(|i| i * 7).collect();
        let sample = Sample::new(Image::new(3, 4, 3, pixels).unwrap(), 1, 0);
        let same = "mean=[1., 2., 3.], std=[4., 5., 6.], pad_size_divisor=2, pad_value=9";
        let batch = |text: &str| {
            built(text).unwrap().process(std::slice::from_ref(&sample), Collate::Pseudo, None).unwrap()
        };
        let wanted = batch(&format!("type='ClsDataPreprocessor', to_rgb=True, {same}"));
        assert_eq!(wanted.inputs.shape(), [1, 3, 4, 4]);
        for direction in ["bgr_to_rgb", "rgb_to_bgr"] {
            let found =
                batch(&format!("type='ImgDataPreprocessor', {direction}=True, non_blocking=True, {same}"));
            assert_eq!(found, wanted);
        }
        let plain = batch(&format!("type='ImgDataPreprocessor', {same}"));
        assert_ne!(plain, wanted);
        assert_eq!(plain, batch(&format!("type='ClsDataPreprocessor', {same}")));
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for text in ["bgr_to_rgb=True, rgb_to_bgr=True", "mean=[1.]", "to_rgb=True", "mean=[0.], std=[0.]"] {
            assert!(built(&format!("type='ImgDataPreprocessor', {text}")).is_err(), "{text}");
        }
    }
}
