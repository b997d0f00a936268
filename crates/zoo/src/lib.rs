//! Architectures as graph builders, under mmcls' names, arguments and state-dict names.

mod act_cfg;
mod arch;
mod backbones;
mod conv_module;
mod error;
mod heads;
mod init;
mod init_cfg;
mod losses;
mod models;
pub mod names;
mod necks;
mod net;
mod padding;
mod pretrained;
mod se_layer;
mod task;
mod transformer;
mod width;

pub use backbones::{
    AlexNet, Backbone, ConvNeXt, DenseNet, EfficientNet, GoogLeNet, InceptionV3, MnasNet, MobileNetV2,
    MobileNetV3, RegNet, ResNet, ShuffleNetV1, ShuffleNetV2, SqueezeNet, SwinTransformer, Vgg,
    VisionTransformer, WideResNet,
};
pub use error::{Error, Result, is_absent};
pub use heads::{
    ClsHead, ClsTask, Head, LinearClsHead, MultiLabelClsHead, MultiLabelLinearClsHead, MultiLabelTask,
    StackedLinearClsHead, VisionTransformerClsHead,
};
pub use init::{Init, Inits, initialize};
pub use losses::{
    AsymmetricLoss, ClsLoss, CrossEntropyLoss, FocalLoss, LabelSmoothLoss, Reduction, SmoothMode,
};
pub use models::{Architecture, FromFile, ImageClassifier, OnnxClassifier, TaskModel};
pub use necks::{GeneralizedMeanPooling, GlobalAveragePooling, LinearReduction, Neck};
pub use net::{Net, NormCfg, Returned};
pub use task::{Losses, SiteCall, Sites, Task};

/// Makes all components of this crate known.
pub fn register(registry: &mut occam_config::Registry) {
    backbones::register(registry);
    necks::register(registry);
    heads::register(registry);
    losses::register(registry);
    models::register(registry);
}
