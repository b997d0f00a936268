//! Backbones: from images to features. One architecture a file.

mod res_block;
mod resnet;

pub use resnet::ResNet;

use occam_config::{Build, Registry};
use occam_graph::ValueId;

use crate::{Net, Result};

/// A part that turns images into features.
pub trait Backbone: Send + Sync {
    /// Channels of the images.
    fn in_channels(&self) -> usize;

    /// Adds its layers to the open module and returns the features of the wanted stages.
    ///
    /// # Errors
    /// The images do not fit.
    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>>;
}

const TABLE: &[(&str, Build<dyn Backbone>)] =
    &[("ResNet", resnet::build), ("ResNet_CIFAR", resnet::build_cifar)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Backbone>("backbone", TABLE);
}
