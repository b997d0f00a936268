//! Changes to single samples, before they are batched.

mod argument;
mod center_crop;
mod pack_inputs;
mod padding;
mod random_crop;
mod random_flip;

use occam_config::{Build, Error as ConfigError, Registry, Value};
use rand_chacha::ChaCha8Rng;
use serde::de::DeserializeOwned;

pub use argument::{OneOrMany, OneOrPair};
pub use center_crop::CenterCrop;
pub use pack_inputs::PackInputs;
pub use padding::{PadValue, Padding, PaddingMode};
pub use random_crop::RandomCrop;
pub use random_flip::RandomFlip;

use crate::{Result, Sample};

/// A step of a pipeline.
///
/// Must depend on its arguments only: all that is random is drawn from `rng`, which is the sample's own stream.
pub trait Transform: std::fmt::Debug + Send + Sync {
    /// The transformed sample.
    ///
    /// # Errors
    /// The sample does not fit the transform.
    fn apply(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample>;

    /// Checks what can be checked of the arguments before any sample is seen; run when a config is read.
    ///
    /// # Errors
    /// An argument makes no sense.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Transforms one after the other: the `pipeline` of a data set.
#[derive(Debug, Default)]
pub struct Compose(Vec<Box<dyn Transform>>);

impl Compose {
    /// A pipeline of `transforms`.
    pub fn new(transforms: Vec<Box<dyn Transform>>) -> Self {
        Self(transforms)
    }

    /// Builds the pipeline that a list of transform configs describes.
    ///
    /// # Errors
    /// `value` is no list, or one of its transforms cannot be built.
    pub fn from_config(value: &Value, registry: &Registry) -> Result<Self> {
        let found = value.kind.python_name();
        let items = value.as_list().ok_or_else(|| {
            ConfigError::new(format!("a pipeline is a list of transforms, found {found}")).at(value)
        })?;
        let transforms = items.iter().map(|item| registry.build::<dyn Transform>(item));
        Ok(Self(transforms.collect::<Result<_, _>>()?))
    }
}

impl Transform for Compose {
    fn apply(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        self.0.iter().try_fold(sample, |sample, transform| transform.apply(sample, rng))
    }

    fn check(&self) -> Result<()> {
        self.0.iter().try_for_each(|transform| transform.check())
    }
}

pub(crate) fn register(registry: &mut Registry) {
    let table: [(&str, Build<dyn Transform>); 5] = [
        ("CenterCrop", build::<CenterCrop>),
        ("PackClsInputs", build::<PackInputs>),
        ("PackInputs", build::<PackInputs>),
        ("RandomCrop", build::<RandomCrop>),
        ("RandomFlip", build::<RandomFlip>),
    ];
    registry.register_all("transform", &table);
}

fn build<T: Transform + DeserializeOwned + 'static>(
    value: &Value,
    _: &Registry,
) -> Result<Box<dyn Transform>, ConfigError> {
    let transform: T = value.parse()?;
    transform.check()?;
    Ok(Box::new(transform))
}
