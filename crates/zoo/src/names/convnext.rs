//! ConvNeXt of the first version. timm's smallest sizes have convolutions where the others have linear layers:
//! `linear_pw_conv=False` here.

use occam_graph::Array;

use super::{State, head};

/// The norm layer of the last of so many stages.
fn last_norm(stages: usize, p: &str) -> Option<String> {
    Some(format!("backbone.norm{}.{p}", stages.checked_sub(1)?))
}

/// Stages and what comes before each take turns in `features`.
pub(super) fn torchvision(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["features", i, part, ref inner @ ..] => {
            let place: usize = i.parse().ok()?;
            let stage = place / 2;
            let inner = match *inner {
                [p] if place.is_multiple_of(2) => {
                    return Some(format!("backbone.downsample_layers.{stage}.{part}.{p}"));
                }
                _ if place.is_multiple_of(2) => return None,
                ["layer_scale"] => "gamma".into(),
                ["block", "0", p] => format!("depthwise_conv.{p}"),
                ["block", "2", p] => format!("norm.{p}"),
                ["block", "3", p] => format!("pointwise_conv1.{p}"),
                ["block", "5", p] => format!("pointwise_conv2.{p}"),
                _ => return None,
            };
            Some(format!("backbone.stages.{stage}.{part}.{inner}"))
        }
        ["classifier", "0", p] => last_norm(state.count("features.", 0) / 2, p),
        ["classifier", "2", p] => head(p),
        _ => None,
    }
}

pub(super) fn timm(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["stem", part, p] => Some(format!("backbone.downsample_layers.0.{part}.{p}")),
        ["stages", stage, "downsample", part, p] => {
            Some(format!("backbone.downsample_layers.{stage}.{part}.{p}"))
        }
        ["stages", stage, "blocks", block, ref inner @ ..] => {
            let inner = match *inner {
                ["gamma"] => "gamma".into(),
                ["conv_dw", p] => format!("depthwise_conv.{p}"),
                ["norm", p] => format!("norm.{p}"),
                ["mlp", "fc1", p] => format!("pointwise_conv1.{p}"),
                ["mlp", "fc2", p] => format!("pointwise_conv2.{p}"),
                _ => return None,
            };
            Some(format!("backbone.stages.{stage}.{block}.{inner}"))
        }
        ["head", "norm", p] => last_norm(state.count("stages.", 0), p),
        ["head", "fc", p] => head(p),
        _ => None,
    }
}

/// torchvision's factors of the channels are `[C, 1, 1]`.
pub(super) fn form(name: &str, array: &Array) -> Option<Array> {
    name.ends_with(".gamma").then(|| array.reshape([array.len()]).ok()).flatten()
}
