//! MobileNetV2.

use super::{State, conv_or_norm, head};

/// Blocks of each stage, of every width.
const STAGES: [usize; 7] = [1, 2, 3, 4, 3, 3, 1];

/// Stage and place in it of the `block`-th block, from 1 on.
fn stage(block: usize) -> Option<(usize, usize)> {
    let mut left = block.checked_sub(1)?;
    for (i, count) in STAGES.iter().enumerate() {
        if left < *count {
            return Some((i + 1, left));
        }
        left -= count;
    }
    None
}

/// `features.0` and the last one are convolutions, those between blocks, numbered through.
pub(super) fn torchvision(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    let last = state.count("features.", 0).checked_sub(1)?;
    match *parts {
        ["classifier", "1", p] => head(p),
        ["features", "0", i, p] => Some(format!("backbone.conv1.{}.{p}", conv_or_norm(i)?)),
        ["features", n, i, p] if n.parse() == Ok(last) => {
            Some(format!("backbone.conv2.{}.{p}", conv_or_norm(i)?))
        }
        ["features", n, "conv", ref inner @ .., p] => {
            let (layer, block) = stage(n.parse().ok()?)?;
            let (k, part) = match *inner {
                [k, i] => (k.parse().ok()?, conv_or_norm(i)?),
                // The last convolution and its norm layer lie beside the groups before them.
                [k] => {
                    let groups = state.count(&format!("features.{n}.conv."), 0).checked_sub(2)?;
                    let k: usize = k.parse().ok()?;
                    (groups, conv_or_norm(&k.checked_sub(groups)?.to_string())?)
                }
                _ => return None,
            };
            Some(format!("backbone.layer{layer}.{block}.conv.{k}.{part}.{p}"))
        }
        _ => None,
    }
}

pub(super) fn timm(_: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["conv_stem", p] => Some(format!("backbone.conv1.conv.{p}")),
        ["bn1", p] => Some(format!("backbone.conv1.bn.{p}")),
        ["conv_head", p] => Some(format!("backbone.conv2.conv.{p}")),
        ["bn2", p] => Some(format!("backbone.conv2.bn.{p}")),
        ["classifier", p] => head(p),
        ["blocks", i, j, part, p] => {
            let i: usize = i.parse().ok()?;
            // The first block does not expand.
            let k = match (i, part) {
                (0, "conv_dw") => "0.conv",
                (0, "bn1") => "0.bn",
                (0, "conv_pw") => "1.conv",
                (0, "bn2") => "1.bn",
                (_, "conv_pw") => "0.conv",
                (_, "bn1") => "0.bn",
                (_, "conv_dw") => "1.conv",
                (_, "bn2") => "1.bn",
                (_, "conv_pwl") => "2.conv",
                (_, "bn3") => "2.bn",
                _ => return None,
            };
            Some(format!("backbone.layer{}.{j}.conv.{k}.{p}", i + 1))
        }
        _ => None,
    }
}
