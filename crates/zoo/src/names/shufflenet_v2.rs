//! ShuffleNetV2, of torchvision; timm has none.

use super::{State, conv_or_norm, head};

/// Convolutions and their norm layers are counted together here; activations between them count there.
pub(super) fn torchvision(_: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["fc", p] => head(p),
        ["conv1", i, p] => Some(format!("backbone.conv1.{}.{p}", conv_or_norm(i)?)),
        ["conv5", i, p] => Some(format!("backbone.layers.3.{}.{p}", conv_or_norm(i)?)),
        [stage, block, branch @ ("branch1" | "branch2"), i, p] => {
            let stage = stage.strip_prefix("stage")?.parse::<usize>().ok()?.checked_sub(2)?;
            let inner = match (branch, i) {
                (_, "0") => "0.conv",
                (_, "1") => "0.bn",
                ("branch1", "2") | ("branch2", "3") => "1.conv",
                ("branch1", "3") | ("branch2", "4") => "1.bn",
                ("branch2", "5") => "2.conv",
                ("branch2", "6") => "2.bn",
                _ => return None,
            };
            Some(format!("backbone.layers.{stage}.{block}.{branch}.{inner}.{p}"))
        }
        _ => None,
    }
}
