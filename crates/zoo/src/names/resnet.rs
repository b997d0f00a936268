//! ResNet, ResNeXt, wide ResNets and those with squeeze and excitation; torchvision and timm share the names.

use super::{State, head};

/// timm's `se.fc1` is `se_layer.conv1.conv` here; everything else but `fc` has the same name.
pub(super) fn map(_: &State<'_>, name: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["fc", p] => head(p),
        [layer, block, "se", fc @ ("fc1" | "fc2"), p] if layer.starts_with("layer") => {
            Some(format!("backbone.{layer}.{block}.se_layer.conv{}.conv.{p}", fc.trim_start_matches("fc")))
        }
        ["conv1" | "bn1", _] => Some(format!("backbone.{name}")),
        [layer, _, ..] if layer.starts_with("layer") => Some(format!("backbone.{name}")),
        _ => None,
    }
}
