//! RegNet, the kind without squeeze and excitation.

use super::{State, head};

/// `block1-0.f.a` is the first convolution of the first block.
pub(super) fn torchvision(_: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    let kind = |i: &str| match i {
        "0" => Some("conv"),
        "1" => Some("bn"),
        _ => None,
    };
    match *parts {
        ["fc", p] => head(p),
        ["stem", i, p] => Some(format!("backbone.{}1.{p}", kind(i)?)),
        ["trunk_output", stage, block, ref inner @ ..] => {
            let stage = stage.strip_prefix("block")?;
            let (_, block) = block.split_once('-')?;
            let inner = match *inner {
                ["proj", i, p] => format!("downsample.{i}.{p}"),
                ["f", c, i, p] => {
                    let n = ["a", "b", "c"].iter().position(|known| *known == c)? + 1;
                    format!("{}{n}.{p}", kind(i)?)
                }
                _ => return None,
            };
            Some(format!("backbone.layer{stage}.{block}.{inner}"))
        }
        _ => None,
    }
}

/// `s1.b1.conv1.conv` is the first convolution of the first block.
pub(super) fn timm(_: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["head", "fc", p] => head(p),
        ["stem", part @ ("conv" | "bn"), p] => Some(format!("backbone.{part}1.{p}")),
        [stage, block, outer, part @ ("conv" | "bn"), p] => {
            let stage: usize = stage.strip_prefix('s')?.parse().ok()?;
            let block = block.strip_prefix('b')?.parse::<usize>().ok()?.checked_sub(1)?;
            let inner = match outer {
                "downsample" => format!("downsample.{}", u8::from(part == "bn")),
                _ => format!("{part}{}", outer.strip_prefix("conv")?),
            };
            Some(format!("backbone.layer{stage}.{block}.{inner}.{p}"))
        }
        _ => None,
    }
}
