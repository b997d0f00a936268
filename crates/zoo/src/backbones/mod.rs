//! Backbones: from images to features. One architecture a file.

mod alexnet;
mod basic_conv;
mod convnext;
mod densenet;
mod efficientnet;
mod googlenet;
mod inception_v3;
mod inverted_residual;
mod max_pool;
mod mnasnet;
mod mobilenet_v2;
mod mobilenet_v3;
mod regnet;
mod res_block;
mod resnet;
mod shufflenet_v1;
mod shufflenet_v2;
mod squeezenet;
mod swin_transformer;
mod vgg;
mod vision_transformer;
mod wide_resnet;

pub use alexnet::AlexNet;
pub use convnext::ConvNeXt;
pub use densenet::DenseNet;
pub use efficientnet::EfficientNet;
pub use googlenet::GoogLeNet;
pub use inception_v3::InceptionV3;
pub use mnasnet::MnasNet;
pub use mobilenet_v2::MobileNetV2;
pub use mobilenet_v3::MobileNetV3;
pub use regnet::RegNet;
pub use resnet::ResNet;
pub use shufflenet_v1::ShuffleNetV1;
pub use shufflenet_v2::ShuffleNetV2;
pub use squeezenet::SqueezeNet;
pub use swin_transformer::SwinTransformer;
pub use vgg::Vgg;
pub use vision_transformer::VisionTransformer;
pub use wide_resnet::WideResNet;

use occam_config::{Build, Registry};
use occam_graph::ValueId;

use crate::{Net, Result};

/// A part that turns images into features.
pub trait Backbone: Send + Sync {
    /// Channels of the images.
    fn in_channels(&self) -> usize;

    /// Height and width of the images, where only one size fits.
    fn image_size(&self) -> Option<[usize; 2]> {
        None
    }

    /// Adds its layers to the open module and returns the features of the wanted stages.
    ///
    /// # Errors
    /// The images do not fit.
    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>>;
}

const TABLE: &[(&str, Build<dyn Backbone>)] = &[
    ("AlexNet", alexnet::build),
    ("ConvNeXt", convnext::build),
    ("DenseNet", densenet::build),
    ("DistilledVisionTransformer", vision_transformer::build_distilled),
    ("EfficientNet", efficientnet::build),
    ("GoogLeNet", googlenet::build),
    ("InceptionV3", inception_v3::build),
    ("MNASNet", mnasnet::build),
    ("MobileNetV2", mobilenet_v2::build),
    ("MobileNetV3", mobilenet_v3::build),
    ("RegNet", regnet::build),
    ("ResNeXt", resnet::build_next),
    ("ResNet", resnet::build),
    ("ResNetV1c", resnet::build_v1c),
    ("ResNetV1d", resnet::build_v1d),
    ("ResNet_CIFAR", resnet::build_cifar),
    ("SEResNeXt", resnet::build_se_next),
    ("SEResNet", resnet::build_se),
    ("ShuffleNetV1", shufflenet_v1::build),
    ("ShuffleNetV2", shufflenet_v2::build),
    ("SqueezeNet", squeezenet::build),
    ("SwinTransformer", swin_transformer::build),
    ("VGG", vgg::build),
    ("VisionTransformer", vision_transformer::build),
    ("WideResNet", wide_resnet::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Backbone>("backbone", TABLE);
}
