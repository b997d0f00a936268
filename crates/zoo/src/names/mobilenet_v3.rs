//! MobileNetV3, with a `StackedLinearClsHead` of two layers.

use super::{State, conv_or_norm, inverted_residual};

/// Blocks are numbered through on both sides.
pub(super) fn torchvision(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["classifier", "0", p] => Some(format!("head.layers.0.fc.{p}")),
        ["classifier", "3", p] => Some(format!("head.layers.1.fc.{p}")),
        ["features", n, "block", ref inner @ ..] => {
            let inner = inverted_residual::torchvision(state, &format!("features.{n}.block."), inner)?;
            Some(format!("backbone.layer{n}.{inner}"))
        }
        ["features", n, i, p] => Some(format!("backbone.layer{n}.{}.{p}", conv_or_norm(i)?)),
        _ => None,
    }
}

/// Blocks lie in stages, the last of which is a convolution; the first linear layer is one, too.
pub(super) fn timm(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["conv_stem", p] => Some(format!("backbone.layer0.conv.{p}")),
        ["bn1", p] => Some(format!("backbone.layer0.bn.{p}")),
        ["conv_head", p] => Some(format!("head.layers.0.fc.{p}")),
        ["classifier", p] => Some(format!("head.layers.1.fc.{p}")),
        ["blocks", i, j, ref inner @ ..] => {
            let start = format!("blocks.{i}.{j}.");
            let stage: usize = i.parse().ok()?;
            let before: usize = (0..stage).map(|i| state.count(&format!("blocks.{i}."), 0)).sum();
            let layer = before + j.parse::<usize>().ok()? + 1;
            let inner = match *inner {
                ["conv", p] => format!("conv.{p}"),
                ["bn1", p] if state.has(&format!("{start}conv.weight")) => format!("bn.{p}"),
                _ => inverted_residual::timm(state, &start, inner)?,
            };
            Some(format!("backbone.layer{layer}.{inner}"))
        }
        _ => None,
    }
}
