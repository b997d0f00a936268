//! Names of weights in other libraries' state dicts, and what they are here: one file a family.
//!
//! A map says where a parameter of torchvision's or timm's model goes in the `ImageClassifier` of the same architecture.
//! Positions that depend on the depth of a model are found from its own names, so one map serves all of a family's sizes.

mod archs;
mod convnext;
mod densenet;
mod efficientnet;
mod inverted_residual;
mod mnasnet;
mod mobilenet_v2;
mod mobilenet_v3;
mod regnet;
mod resnet;
mod same;
mod shufflenet_v2;
mod swin_transformer;
mod vgg;
mod vision_transformer;

use std::fmt;

use occam_graph::{Array, Weights};
use serde::Deserialize;

pub use self::archs::{backbone_of, check, config_of};

/// Whose names weights have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// `torchvision.models`.
    Torchvision,
    /// `timm`, pytorch-image-models.
    Timm,
    /// `efficientnet_pytorch` and its descendants, whose names begin with `_conv_stem`.
    EfficientnetPytorch,
    /// mmcls, mmpretrain and this crate: names stay as they are.
    Mmcls,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
            Self::EfficientnetPytorch => "efficientnet-pytorch",
            Self::Mmcls => "mmcls",
        })
    }
}

/// A map of one name; none where the family has no such parameter.
type Map = fn(&State<'_>, &str, &[&str]) -> Option<String>;

/// A weight as the model of the given name's parameter takes it; none where that is as it is.
type Form = fn(&str, &Array) -> Option<Array>;

/// Classes of backbones that share their names, and the maps.
struct Family {
    backbones: &'static [&'static str],
    torchvision: Option<Map>,
    timm: Option<Map>,
    efficientnet_pytorch: Option<Map>,
    form: Form,
}

const fn family(backbones: &'static [&'static str], torchvision: Map, timm: Map) -> Family {
    Family {
        backbones,
        torchvision: Some(torchvision),
        timm: Some(timm),
        efficientnet_pytorch: None,
        form: linear,
    }
}

/// A family of torchvision alone, whose weights are here as they are there.
const fn of_torchvision(backbones: &'static [&'static str], torchvision: Map) -> Family {
    Family { timm: None, form: as_it_is, ..family(backbones, torchvision, torchvision) }
}

const TABLE: &[Family] = &[
    of_torchvision(&["AlexNet"], same::alexnet),
    Family { form: convnext::form, ..family(&["ConvNeXt"], convnext::torchvision, convnext::timm) },
    family(&["DenseNet"], densenet::map, densenet::map),
    Family {
        efficientnet_pytorch: Some(efficientnet::efficientnet_pytorch),
        ..family(&["EfficientNet"], efficientnet::torchvision, efficientnet::timm)
    },
    of_torchvision(&["GoogLeNet"], same::googlenet),
    Family { form: as_it_is, ..family(&["InceptionV3"], same::inception_v3, same::inception_v3) },
    Family { form: as_it_is, ..family(&["MNASNet"], mnasnet::torchvision, mnasnet::timm) },
    family(&["MobileNetV2"], mobilenet_v2::torchvision, mobilenet_v2::timm),
    family(&["MobileNetV3"], mobilenet_v3::torchvision, mobilenet_v3::timm),
    family(&["RegNet"], regnet::torchvision, regnet::timm),
    family(&["ResNet", "ResNeXt", "SEResNet", "SEResNeXt"], resnet::map, resnet::map),
    family(&["ShuffleNetV2"], shufflenet_v2::torchvision, shufflenet_v2::torchvision),
    of_torchvision(&["SqueezeNet"], same::squeezenet),
    Family {
        form: swin_transformer::form,
        ..family(&["SwinTransformer"], swin_transformer::torchvision, swin_transformer::timm)
    },
    family(&["VGG"], vgg::torchvision, vgg::timm),
    family(
        &["VisionTransformer", "DistilledVisionTransformer"],
        vision_transformer::torchvision,
        vision_transformer::timm,
    ),
];

/// A state dict that names are looked up in.
struct State<'a>(&'a Weights);

impl State<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.0.get(name).map(|array| array.shape())
    }

    /// How many numbers `start` can be followed by, from `first` on without a gap.
    fn count(&self, start: &str, first: usize) -> usize {
        let there = |i: &usize| {
            let prefix = format!("{start}{i}.");
            self.0.keys().any(|name| name.starts_with(&prefix))
        };
        (first..).take_while(there).count()
    }
}

/// Of a linear layer's weight, which is a convolution of one position elsewhere, the same elements as a matrix.
fn linear(name: &str, array: &Array) -> Option<Array> {
    let linear = name.contains(".fc.") || name.contains(".classifier.");
    match *array.shape() {
        [out, ref rest @ ..] if linear && rest.len() > 1 => array.reshape([out, rest.iter().product()]).ok(),
        _ => None,
    }
}

fn as_it_is(_: &str, _: &Array) -> Option<Array> {
    None
}

/// Gives weights of `source` the names of the backbone's class `backbone` in an `ImageClassifier`, and the shapes and the
/// order of elements that they have there; returns them and the names that the map does not know, which stay as they are.
///
/// # Errors
/// There is no map of that source for the family, or two names become one.
pub fn rename(
    source: Source,
    backbone: &str,
    weights: &Weights,
) -> Result<(Weights, Vec<String>), occam_config::Error> {
    let wrong = |message: String| Err(occam_config::Error::new(message));
    if source == Source::Mmcls {
        return Ok((weights.clone(), Vec::new()));
    }
    let Some(family) = TABLE.iter().find(|f| f.backbones.contains(&backbone)) else {
        let known: Vec<&str> = TABLE.iter().flat_map(|f| f.backbones).copied().collect();
        return wrong(format!(
            "there are no names of other libraries for `{backbone}`; there are for {}",
            known.join(", ")
        ));
    };
    let map = match source {
        Source::Torchvision => family.torchvision,
        Source::Timm => family.timm,
        Source::EfficientnetPytorch => family.efficientnet_pytorch,
        Source::Mmcls => None,
    };
    let Some(map) = map else {
        return wrong(format!("{source} has no `{backbone}`"));
    };
    let state = State(weights);
    let mut renamed = Weights::with_capacity(weights.len());
    let mut unknown = Vec::new();
    for (name, array) in weights {
        let parts: Vec<&str> = name.split('.').collect();
        let target = map(&state, name, &parts).unwrap_or_else(|| {
            unknown.push(name.clone());
            name.clone()
        });
        let array = (family.form)(&target, array).unwrap_or_else(|| array.clone());
        if renamed.insert(target.clone(), array).is_some() {
            return wrong(format!("`{name}` and one before it both become `{target}`"));
        }
    }
    Ok((renamed, unknown))
}

/// `conv` and `bn` for the two members of a torchvision block.
fn conv_or_norm(index: &str) -> Option<&'static str> {
    match index {
        "0" => Some("conv"),
        "1" => Some("bn"),
        _ => None,
    }
}

/// `x` as `head.fc.x`.
fn head(parameter: &str) -> Option<String> {
    Some(format!("head.fc.{parameter}"))
}
