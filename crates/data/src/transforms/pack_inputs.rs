//! The last step of a pipeline.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::{Error, Result, Sample, Transform};

/// Marks the end of a pipeline, as MMClassification's configs do (`PackClsInputs`, later `PackInputs`).
///
/// Samples are typed here, so nothing is left to pack: every [`DataSample`](crate::DataSample) carries the label and
/// all the facts that `meta_keys` can name, whichever it does name.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackInputs {
    /// Facts about the image to keep; checked against those known, otherwise without effect.
    pub meta_keys: Option<Vec<String>>,
}

/// What configs name; `scale_factor` is that of the sizes before and after the transforms.
const KNOWN: [&str; 8] = [
    "sample_idx",
    "img_path",
    "ori_shape",
    "img_shape",
    "scale_factor",
    "flip",
    "flip_direction",
    "gt_label_difficult",
];

impl Transform for PackInputs {
    fn apply(&self, sample: Sample, _: &mut ChaCha8Rng) -> Result<Sample> {
        Ok(sample)
    }

    fn only_moves(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        match self.meta_keys.iter().flatten().find(|key| !KNOWN.contains(&key.as_str())) {
            Some(key) => Err(Error::argument(
                "PackInputs",
                format!("`meta_keys` has {key:?}; known are {}", KNOWN.join(", ")),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_keys() {
        assert!(PackInputs::default().check().is_ok());
        let keys = |key: &str| PackInputs { meta_keys: Some(vec![key.to_owned()]) };
        assert!(keys("flip").check().is_ok());
        assert!(keys("flop").check().is_err());
    }
}
