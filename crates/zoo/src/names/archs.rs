//! Architectures by the names that other libraries give them, and what of their numbers neither a name nor a shape of a
//! weight shows.

use occam_config::{Error, suggest};
use occam_graph::{Graph, Op};

use super::Source;

/// Architectures of a library whose weights mean the same.
struct Models {
    source: Source,
    /// Classes of backbones that build them.
    backbones: &'static [&'static str],
    archs: &'static [&'static str],
    /// What normalization adds to variances.
    eps: f64,
    /// Whether convolutions with a stride pad as much as sizes ask for, more at the end than at the beginning.
    adaptive: bool,
    /// What their config says where it is not the default.
    config: &'static str,
}

const fn models(
    source: Source,
    backbones: &'static [&'static str],
    archs: &'static [&'static str],
    eps: f64,
) -> Models {
    Models { source, backbones, archs, eps, adaptive: false, config: "" }
}

const RESNETS: &[&str] = &["ResNet", "ResNeXt", "SEResNet", "SEResNeXt"];
const VISION: &[&str] = &["VisionTransformer", "DistilledVisionTransformer"];
const EVEN: &str = "conv_cfg=None, norm_cfg=dict(type='BN', eps=1e-5)";

/// What is in no row is not the same as any config here: layers or activations that its weights do not show.
#[rustfmt::skip]
const TABLE: &[Models] = {
    use Source::{EfficientnetPytorch, Timm, Torchvision};
    &[
        models(Torchvision, &["AlexNet"], &["alexnet"], 1e-5),
        models(Torchvision, &["ConvNeXt"], &["convnext_tiny", "convnext_small", "convnext_base", "convnext_large"], 1e-6),
        models(Timm, &["ConvNeXt"], &["convnext_tiny", "convnext_small", "convnext_base", "convnext_large", "convnext_xlarge",
            "convnext_atto", "convnext_femto", "convnext_pico", "convnext_nano"], 1e-6),
        models(Torchvision, &["DenseNet"], &["densenet121", "densenet161", "densenet169", "densenet201"], 1e-5),
        models(Timm, &["DenseNet"], &["densenet121", "densenet161", "densenet169", "densenet201"], 1e-5),
        Models { config: EVEN, ..models(Torchvision, &["EfficientNet"], &["efficientnet_b0", "efficientnet_b1",
            "efficientnet_b2", "efficientnet_b3", "efficientnet_b4"], 1e-5) },
        Models { config: "conv_cfg=None", ..models(Torchvision, &["EfficientNet"], &["efficientnet_b5", "efficientnet_b6",
            "efficientnet_b7"], 1e-3) },
        Models { config: EVEN, ..models(Timm, &["EfficientNet"], &["efficientnet_b0", "efficientnet_b1", "efficientnet_b2",
            "efficientnet_b3", "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "efficientnet_b8",
            "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "efficientnet_lite3", "efficientnet_lite4"], 1e-5) },
        Models { adaptive: true, ..models(Timm, &["EfficientNet"], &["tf_efficientnet_b0", "tf_efficientnet_b1",
            "tf_efficientnet_b2", "tf_efficientnet_b3", "tf_efficientnet_b4", "tf_efficientnet_b5", "tf_efficientnet_b6",
            "tf_efficientnet_b7", "tf_efficientnet_b8", "tf_efficientnet_lite0", "tf_efficientnet_lite1",
            "tf_efficientnet_lite2", "tf_efficientnet_lite3", "tf_efficientnet_lite4"], 1e-3) },
        Models { adaptive: true, ..models(EfficientnetPytorch, &["EfficientNet"], &["efficientnet-b0", "efficientnet-b1",
            "efficientnet-b2", "efficientnet-b3", "efficientnet-b4", "efficientnet-b5", "efficientnet-b6", "efficientnet-b7",
            "efficientnet-b8", "efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "efficientnet-lite3",
            "efficientnet-lite4"], 1e-3) },
        models(Torchvision, &["GoogLeNet"], &["googlenet"], 1e-3),
        models(Torchvision, &["InceptionV3"], &["inception_v3"], 1e-3),
        models(Timm, &["InceptionV3"], &["inception_v3"], 1e-3),
        models(Torchvision, &["MNASNet"], &["mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"], 1e-5),
        models(Timm, &["MNASNet"], &["mnasnet_050", "mnasnet_075", "mnasnet_100", "mnasnet_140"], 1e-5),
        models(Torchvision, &["MobileNetV2"], &["mobilenet_v2"], 1e-5),
        models(Timm, &["MobileNetV2"], &["mobilenetv2_035", "mobilenetv2_050", "mobilenetv2_075", "mobilenetv2_100",
            "mobilenetv2_140"], 1e-5),
        models(Torchvision, &["MobileNetV3"], &["mobilenet_v3_small", "mobilenet_v3_large"], 1e-3),
        Models { config: "norm_cfg=dict(type='BN', eps=1e-5)", ..models(Timm, &["MobileNetV3"], &["mobilenetv3_small_050",
            "mobilenetv3_small_075", "mobilenetv3_small_100", "mobilenetv3_large_075", "mobilenetv3_large_100"], 1e-5) },
        models(Torchvision, &["RegNet"], &["regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf",
            "regnet_x_8gf", "regnet_x_16gf", "regnet_x_32gf"], 1e-5),
        models(Timm, &["RegNet"], &["regnetx_002", "regnetx_004", "regnetx_004_tv", "regnetx_006", "regnetx_008",
            "regnetx_016", "regnetx_032", "regnetx_040", "regnetx_064", "regnetx_080", "regnetx_120", "regnetx_160",
            "regnetx_320"], 1e-5),
        models(Torchvision, RESNETS, &["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d",
            "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"], 1e-5),
        models(Timm, RESNETS, &["resnet18", "resnet26", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200",
            "resnext50_32x4d", "resnext101_32x4d", "resnext101_32x8d", "resnext101_32x16d", "resnext101_32x32d",
            "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2", "seresnet18", "seresnet34", "seresnet50",
            "seresnet101", "seresnet152", "seresnext50_32x4d", "seresnext101_32x4d", "seresnext101_32x8d",
            "seresnext101_64x4d"], 1e-5),
        models(Torchvision, &["ShuffleNetV2"], &["shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5",
            "shufflenet_v2_x2_0"], 1e-5),
        models(Torchvision, &["SqueezeNet"], &["squeezenet1_0", "squeezenet1_1"], 1e-5),
        models(Torchvision, &["SwinTransformer"], &["swin_t", "swin_s", "swin_b"], 1e-5),
        models(Timm, &["SwinTransformer"], &["swin_tiny_patch4_window7_224", "swin_small_patch4_window7_224",
            "swin_base_patch4_window7_224", "swin_base_patch4_window12_384", "swin_large_patch4_window7_224",
            "swin_large_patch4_window12_384"], 1e-5),
        models(Torchvision, &["VGG"], &["vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"],
            1e-5),
        models(Timm, &["VGG"], &["vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"], 1e-5),
        models(Torchvision, VISION, &["vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"], 1e-6),
        models(Timm, VISION, &["vit_tiny_patch16_224", "vit_tiny_patch16_384", "vit_small_patch32_224",
            "vit_small_patch32_384", "vit_small_patch16_224", "vit_small_patch16_384", "vit_small_patch8_224",
            "vit_base_patch32_224", "vit_base_patch32_384", "vit_base_patch16_224", "vit_base_patch16_384",
            "vit_base_patch8_224", "vit_large_patch32_224", "vit_large_patch32_384", "vit_large_patch16_224",
            "vit_large_patch16_384", "vit_large_patch14_224", "vit_huge_patch14_224", "deit_tiny_patch16_224",
            "deit_small_patch16_224", "deit_base_patch16_224", "deit_base_patch16_384", "deit_tiny_distilled_patch16_224",
            "deit_small_distilled_patch16_224", "deit_base_distilled_patch16_224", "deit_base_distilled_patch16_384"], 1e-6),
    ]
};

impl Models {
    /// How the numbers are told.
    fn settings(&self) -> String {
        let padding = match (self.backbones, self.adaptive) {
            (&["EfficientNet"], true) => ", adaptive padding",
            (&["EfficientNet"], false) => ", padding even on both sides",
            _ => "",
        };
        format!("eps {:e}{padding}", self.eps)
    }

    /// What of the layers of `graph` whose names begin with `prefix` computes otherwise.
    fn differs(&self, graph: &Graph, prefix: &str) -> Option<String> {
        let mut padded = self.adaptive;
        for (_, node) in graph.nodes().filter(|(_, n)| n.name.starts_with(prefix)) {
            let eps = match &node.op {
                Op::BatchNorm(norm) => norm.eps,
                Op::LayerNorm(norm) => norm.eps,
                Op::AdaptivePad(_) if !self.adaptive => {
                    return Some(format!("`{}` pads adaptively", node.name));
                }
                Op::AdaptivePad(_) => {
                    padded = false;
                    continue;
                }
                _ => continue,
            };
            if (eps - self.eps).abs() > 1e-6 * self.eps {
                return Some(format!("`{}` has eps {eps:e}", node.name));
            }
        }
        padded.then(|| "its padding is even on both sides".to_owned())
    }
}

/// A library's name of an architecture, without what says by what data it was trained (`resnet50.a1_in1k`).
fn bare(arch: &str) -> &str {
    arch.split_once('.').map_or(arch, |(name, _)| name)
}

fn row(source: Source, arch: &str) -> Option<&'static Models> {
    let dashed = bare(arch).replace('_', "-");
    let same = |name: &&str| match source {
        // `efficientnet_b0` is as good a name there.
        Source::EfficientnetPytorch => **name == *dashed,
        _ => *name == bare(arch),
    };
    TABLE.iter().find(|m| m.source == source && m.archs.iter().any(same))
}

/// The class of the backbone of an architecture that a library calls `arch`; of timm's names, what follows a dot does not
/// count.
///
/// # Errors
/// The library has none of that name whose weights would mean the same here.
pub fn backbone_of(source: Source, arch: &str) -> Result<&'static str, Error> {
    if let Some(backbone) = row(source, arch).and_then(|m| m.backbones.first()) {
        return Ok(backbone);
    }
    let known = || TABLE.iter().filter(|m| m.source == source).flat_map(|m| m.archs).copied();
    let error = Error::new(format!("no architecture `{arch}` of {source} has a counterpart here"));
    Err(match suggest(bare(arch), known()) {
        Some(near) => error.with_help(format!("did you mean `{near}`?")),
        None => error.with_help(format!("there are {}", known().collect::<Vec<_>>().join(", "))),
    })
}

/// What the config of an architecture says where that is not the default; empty where nothing is to be said.
pub fn config_of(source: Source, arch: &str) -> &'static str {
    row(source, arch).map_or("", |m| m.config)
}

/// Compares what `graph`, in layers whose names begin with `prefix`, adds to variances and how it pads, with what the
/// library's models of the class `backbone` do: weights say neither, and logits depend on both. `arch` says which of them the
/// weights are of.
///
/// # Errors
/// Something differs, or it depends on the architecture, which is not given.
pub fn check(
    source: Source,
    backbone: &str,
    arch: Option<&str>,
    graph: &Graph,
    prefix: &str,
) -> Result<(), Error> {
    let mut rows: Vec<&Models> = match arch {
        Some(arch) => row(source, arch).into_iter().collect(),
        None => TABLE.iter().filter(|m| m.source == source && m.backbones.contains(&backbone)).collect(),
    };
    rows.dedup_by(|a, b| (a.eps, a.adaptive) == (b.eps, b.adaptive));
    let of = |m: &Models| {
        arch.map_or_else(|| format!("{backbone} of {source}"), |a| format!("{a} of {source}"))
            + " has "
            + &m.settings()
    };
    match rows.as_slice() {
        [] => Ok(()),
        [one] => match one.differs(graph, prefix) {
            None => Ok(()),
            Some(what) => {
                let error = Error::new(format!(
                    "the weights would compute something else: {}; in the model, {what}",
                    of(one)
                ));
                Err(match one.config {
                    "" => {
                        error.with_help("leave `norm_cfg` and `conv_cfg` of the backbone at their defaults")
                    }
                    config => error.with_help(format!("say `{config}` in the backbone")),
                })
            }
        },
        several => {
            let each = several.iter().map(|m| {
                let names: Vec<&str> = m.archs.iter().take(3).copied().collect();
                format!("{}, .. with {}", names.join(", "), m.settings())
            });
            let each = each.collect::<Vec<_>>().join("; ");
            Err(Error::new(format!(
                "the names do not say which {backbone} of {source} the weights are of, and those compute differently"
            ))
            .with_help(format!("name the architecture (`arch`): {each}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_is_in_one_row() {
        let mut seen = std::collections::HashSet::new();
        for m in TABLE {
            assert!(!m.archs.is_empty() && !m.backbones.is_empty());
            for arch in m.archs {
                assert!(seen.insert((m.source, *arch)), "{arch} is twice there");
                assert_eq!(backbone_of(m.source, arch).unwrap(), m.backbones[0]);
            }
        }
    }

    #[test]
    fn tags_do_not_count_and_look_alikes_do() {
        assert_eq!(backbone_of(Source::Timm, "resnet50.a1_in1k").unwrap(), "ResNet");
        assert_eq!(backbone_of(Source::EfficientnetPytorch, "efficientnet_lite0").unwrap(), "EfficientNet");
        // Without more parameters, it filters before it strides.
        for (source, arch) in [
            (Source::Timm, "resnetaa50"),
            (Source::Torchvision, "resnet1888"),
            (Source::Timm, "mobilenetv3_rw"),
        ] {
            let error = backbone_of(source, arch).unwrap_err().to_string();
            assert!(error.contains(&format!("no architecture `{arch}`")), "{error}");
        }
    }
}
