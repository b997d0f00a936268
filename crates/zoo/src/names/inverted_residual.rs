//! The block that MobileNetV3 and EfficientNet share.

use super::{State, conv_or_norm};

/// A parameter of torchvision's `block` at `start`: groups of convolution and norm layer with squeeze and excitation
/// among them, the expansion only where there are three groups.
pub(super) fn torchvision(state: &State<'_>, start: &str, inner: &[&str]) -> Option<String> {
    let [k, rest @ .., p] = inner else { return None };
    match *rest {
        [fc @ ("fc1" | "fc2")] => Some(format!("se.conv{}.conv.{p}", fc.trim_start_matches("fc"))),
        [index] => {
            let k: usize = k.parse().ok()?;
            let groups: Vec<usize> =
                (0..state.count(start, 0)).filter(|k| state.has(&format!("{start}{k}.0.weight"))).collect();
            let place = groups.iter().position(|&g| g == k)? + 3_usize.checked_sub(groups.len())?;
            let name = *["expand_conv", "depthwise_conv", "linear_conv"].get(place)?;
            Some(format!("{name}.{}.{p}", conv_or_norm(index)?))
        }
        _ => None,
    }
}

/// A parameter of timm's block at `start`; one that does not expand has no third norm layer.
pub(super) fn timm(state: &State<'_>, start: &str, inner: &[&str]) -> Option<String> {
    let expands = state.has(&format!("{start}conv_pwl.weight"));
    match (inner, expands) {
        (["se", "conv_reduce", p], _) => Some(format!("se.conv1.conv.{p}")),
        (["se", "conv_expand", p], _) => Some(format!("se.conv2.conv.{p}")),
        (["conv_pw", p], true) => Some(format!("expand_conv.conv.{p}")),
        (["bn1", p], true) => Some(format!("expand_conv.bn.{p}")),
        (["conv_dw", p], _) => Some(format!("depthwise_conv.conv.{p}")),
        (["bn2", p], true) | (["bn1", p], false) => Some(format!("depthwise_conv.bn.{p}")),
        (["conv_pwl", p], true) | (["conv_pw", p], false) => Some(format!("linear_conv.conv.{p}")),
        (["bn3", p], true) | (["bn2", p], false) => Some(format!("linear_conv.bn.{p}")),
        _ => None,
    }
}
