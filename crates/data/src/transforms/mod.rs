//! Changes to single samples, before they are batched.

mod argument;
mod augment;
mod auto_augment;
mod center_crop;
mod color_jitter;
mod efficient_net_center_crop;
mod efficient_net_random_crop;
mod lighting;
mod load_image;
mod pack_inputs;
mod pad;
mod padding;
mod rand_augment;
mod random_apply;
mod random_choice;
mod random_crop;
mod random_erasing;
mod random_flip;
mod random_grayscale;
mod random_resized_crop;
mod resize;
mod resize_edge;
mod sizes;

use occam_config::{Build, Error as ConfigError, Registry, Value};
use rand_chacha::ChaCha8Rng;
use serde::de::DeserializeOwned;

pub use argument::{OneOrMany, OneOrPair};
pub use augment::{
    AutoContrast, Brightness, ColorTransform, Contrast, Cutout, Deviation, Direction, Equalize, Invert,
    Posterize, Rotate, Sharpness, Shear, Solarize, SolarizeAdd, Translate,
};
#[cfg(test)]
pub(crate) use augment::{posterized, solarized};
pub use center_crop::CenterCrop;
pub use color_jitter::{ColorJitter, Jitter};
pub use efficient_net_center_crop::EfficientNetCenterCrop;
pub use efficient_net_random_crop::EfficientNetRandomCrop;
pub use lighting::Lighting;
pub use load_image::{Backend, LoadImageFromFile};
pub use pack_inputs::PackInputs;
pub use pad::{Pad, PadVal};
pub use padding::{PadValue, Padding, PaddingMode};
pub use rand_augment::RandAugment;
pub use random_apply::RandomApply;
pub use random_choice::RandomChoice;
pub use random_crop::RandomCrop;
pub use random_erasing::{Aspect, Mode, Numbers, RandomErasing};
pub use random_flip::RandomFlip;
pub use random_grayscale::RandomGrayscale;
pub use random_resized_crop::RandomResizedCrop;
pub use resize::{Factor, Resize};
pub use resize_edge::{Edge, ResizeEdge};

use crate::{Error, Result, Sample};

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

    /// Whether it takes samples whose image is still in a file, and decodes it.
    fn loads(&self) -> bool {
        false
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
        self.0.iter().try_fold(sample, |sample, transform| {
            if !sample.image.is_loaded() && !transform.loads() {
                let detail = format!(
                    "{transform:?} meets an image that is still in its file; begin the pipeline with \
                                      LoadImageFromFile"
                );
                return Err(Error::argument("pipeline", detail));
            }
            transform.apply(sample, rng)
        })
    }

    fn check(&self) -> Result<()> {
        self.0.iter().try_for_each(|transform| (**transform).check())
    }

    fn loads(&self) -> bool {
        self.0.first().is_some_and(|first| first.loads())
    }
}

pub(crate) fn register(registry: &mut Registry) {
    let table: [(&str, Build<dyn Transform>); 34] = [
        ("AutoAugment", auto_augment::build),
        ("AutoContrast", build::<AutoContrast>),
        ("Brightness", build::<Brightness>),
        ("CenterCrop", build::<CenterCrop>),
        ("ColorJitter", build::<ColorJitter>),
        ("ColorTransform", build::<ColorTransform>),
        ("Contrast", build::<Contrast>),
        ("Cutout", build::<Cutout>),
        ("EfficientNetCenterCrop", build::<EfficientNetCenterCrop>),
        ("EfficientNetRandomCrop", build::<EfficientNetRandomCrop>),
        ("Equalize", build::<Equalize>),
        ("Invert", build::<Invert>),
        ("Lighting", build::<Lighting>),
        ("LoadImageFromFile", build::<LoadImageFromFile>),
        ("PackClsInputs", build::<PackInputs>),
        ("PackInputs", build::<PackInputs>),
        ("Pad", build::<Pad>),
        ("Posterize", build::<Posterize>),
        ("RandAugment", RandAugment::build),
        ("RandomApply", RandomApply::build),
        ("RandomChoice", RandomChoice::build),
        ("RandomCrop", build::<RandomCrop>),
        ("RandomErasing", build::<RandomErasing>),
        ("RandomFlip", build::<RandomFlip>),
        ("RandomGrayscale", build::<RandomGrayscale>),
        ("RandomResizedCrop", build::<RandomResizedCrop>),
        ("Resize", build::<Resize>),
        ("ResizeEdge", build::<ResizeEdge>),
        ("Rotate", build::<Rotate>),
        ("Sharpness", build::<Sharpness>),
        ("Shear", build::<Shear>),
        ("Solarize", build::<Solarize>),
        ("SolarizeAdd", build::<SolarizeAdd>),
        ("Translate", build::<Translate>),
    ];
    registry.register_all("transform", &table);
}

type Built = Result<Box<dyn Transform>, ConfigError>;

fn build<T: Transform + DeserializeOwned + 'static>(value: &Value, _: &Registry) -> Built {
    let transform: T = value.parse()?;
    transform.check()?;
    Ok(Box::new(transform))
}

/// A transform, or a list of them that are applied one after the other.
fn transforms(value: &Value, registry: &Registry) -> Result<Compose, ConfigError> {
    match value.as_list() {
        Some(_) => Ok(Compose::from_config(value, registry)?),
        None => Ok(Compose::new(vec![registry.build::<dyn Transform>(value)?])),
    }
}
