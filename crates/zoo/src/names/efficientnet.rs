//! EfficientNet. Stages of equal stride are one here: the fourth and fifth, and the sixth and seventh.

use super::{State, conv_or_norm, head, inverted_residual};

/// Layer and place in it of the `block`-th block of the `stage`-th stage, from 1 on, where `count` gives the blocks of a
/// stage.
fn place(stage: usize, block: usize, count: impl Fn(usize) -> usize) -> Option<(usize, usize)> {
    Some(match stage {
        1..=4 => (stage, block),
        5 => (4, block + count(4)),
        6 => (5, block),
        7 => (5, block + count(6)),
        _ => return None,
    })
}

pub(super) fn torchvision(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["classifier", "1", p] => head(p),
        ["features", "0", i, p] => Some(format!("backbone.layers.0.{}.{p}", conv_or_norm(i)?)),
        ["features", "8", i, p] => Some(format!("backbone.layers.6.{}.{p}", conv_or_norm(i)?)),
        ["features", s, j, "block", ref inner @ ..] => {
            let count = |s: usize| state.count(&format!("features.{s}."), 0);
            let (layer, block) = place(s.parse().ok()?, j.parse().ok()?, count)?;
            let inner = inverted_residual::torchvision(state, &format!("features.{s}.{j}.block."), inner)?;
            Some(format!("backbone.layers.{layer}.{block}.{inner}"))
        }
        _ => None,
    }
}

pub(super) fn timm(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["conv_stem", p] => Some(format!("backbone.layers.0.conv.{p}")),
        ["bn1", p] => Some(format!("backbone.layers.0.bn.{p}")),
        ["conv_head", p] => Some(format!("backbone.layers.6.conv.{p}")),
        ["bn2", p] => Some(format!("backbone.layers.6.bn.{p}")),
        ["classifier", p] => head(p),
        ["blocks", s, j, ref inner @ ..] => {
            let count = |s: usize| state.count(&format!("blocks.{}.", s.saturating_sub(1)), 0);
            let (layer, block) = place(s.parse::<usize>().ok()? + 1, j.parse().ok()?, count)?;
            let inner = inverted_residual::timm(state, &format!("blocks.{s}.{j}."), inner)?;
            Some(format!("backbone.layers.{layer}.{block}.{inner}"))
        }
        _ => None,
    }
}

/// Blocks are numbered through; a stage begins where a block gives other channels than it gets.
pub(super) fn efficientnet_pytorch(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["_conv_stem", p] => Some(format!("backbone.layers.0.conv.{p}")),
        ["_bn0", p] => Some(format!("backbone.layers.0.bn.{p}")),
        ["_conv_head", p] => Some(format!("backbone.layers.6.conv.{p}")),
        ["_bn1", p] => Some(format!("backbone.layers.6.bn.{p}")),
        ["_fc", p] => head(p),
        ["_blocks", n, part, p] => {
            let mut sizes = [0usize; 8];
            let mut stage = 0;
            for i in 0..=n.parse::<usize>().ok()? {
                let size = |part: &str, axis: usize| {
                    state.shape(&format!("_blocks.{i}.{part}.weight")).and_then(|s| s.get(axis).copied())
                };
                let input = size("_expand_conv", 1).or_else(|| size("_depthwise_conv", 0));
                if i == 0 || input != size("_project_conv", 0) {
                    stage += 1;
                }
                *sizes.get_mut(stage)? += 1;
            }
            let block = sizes.get(stage)?.checked_sub(1)?;
            let (layer, block) = place(stage, block, |s| sizes.get(s).copied().unwrap_or_default())?;
            let inner = match part {
                "_expand_conv" => "expand_conv.conv",
                "_bn0" => "expand_conv.bn",
                "_depthwise_conv" => "depthwise_conv.conv",
                "_bn1" => "depthwise_conv.bn",
                "_se_reduce" => "se.conv1.conv",
                "_se_expand" => "se.conv2.conv",
                "_project_conv" => "linear_conv.conv",
                "_bn2" => "linear_conv.bn",
                _ => return None,
            };
            Some(format!("backbone.layers.{layer}.{block}.{inner}.{p}"))
        }
        _ => None,
    }
}
