//! Reading the image of a sample.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::decode::{self, ColorType, DecodeBackend};
use crate::{Error, Result, Sample, Transform};

/// Decodes the file of the sample; a sample whose image is in memory stays as it is.
///
/// Pixels are blue-green-red, as OpenCV has them: `to_rgb` of the preprocessor turns them.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadImageFromFile {
    /// Only `False` is supported: images have 8 bits until the preprocessor normalizes them, which gives the same
    /// numbers.
    pub to_float32: bool,
    /// Which samples the image has. Color by default.
    pub color_type: ColorType,
    /// Whose habits decoding follows. OpenCV's by default.
    pub imdecode_backend: DecodeBackend,
    /// Only `False` is supported: a file that cannot be read is an error.
    pub ignore_empty: bool,
    /// Where files are: only the local disk is supported, `None` or `dict(backend='disk')` or `'local'`.
    pub file_client_args: Option<Backend>,
    /// The newer name of `file_client_args`.
    pub backend_args: Option<Backend>,
}

/// Where files are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// The name of a store of files.
    pub backend: Option<String>,
}

const NAME: &str = "LoadImageFromFile";

impl Transform for LoadImageFromFile {
    fn apply(&self, mut sample: Sample, _: &mut ChaCha8Rng) -> Result<Sample> {
        if let Some(path) = &sample.path {
            sample.image = decode::read(path, self.color_type, self.imdecode_backend)?;
            sample.ori_shape = sample.image.shape();
        }
        Ok(sample)
    }

    fn check(&self) -> Result<()> {
        let wrong = |detail: String| Err(Error::argument(NAME, detail));
        if self.to_float32 {
            return wrong(
                "`to_float32` must be False; the preprocessor makes floats of the same values".into(),
            );
        }
        if self.ignore_empty {
            return wrong(
                "`ignore_empty` must be False; remove files that cannot be read from the data".into(),
            );
        }
        for backend in [&self.file_client_args, &self.backend_args].into_iter().flatten() {
            if let Some(name) = backend.backend.as_deref().filter(|name| !["disk", "local"].contains(name)) {
                return wrong(format!("files are read from the local disk, not from {name:?}"));
            }
        }
        Ok(())
    }

    fn loads(&self) -> bool {
        true
    }
}
