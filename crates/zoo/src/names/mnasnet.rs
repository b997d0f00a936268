//! MNASNet, the variant without squeeze and excitation.

use super::State;

pub(super) fn torchvision(_: &State<'_>, name: &str, parts: &[&str]) -> Option<String> {
    matches!(*parts, ["layers" | "classifier", ..]).then(|| format!("backbone.{name}"))
}

/// The first stage is one block of two convolutions; here they are layers of their own, as those before and behind.
pub(super) fn timm(_: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    let layer = match *parts {
        ["conv_stem", p] => format!("layers.0.{p}"),
        ["bn1", p] => format!("layers.1.{p}"),
        ["blocks", "0", "0", "conv_dw", p] => format!("layers.3.{p}"),
        ["blocks", "0", "0", "bn1", p] => format!("layers.4.{p}"),
        ["blocks", "0", "0", "conv_pw", p] => format!("layers.6.{p}"),
        ["blocks", "0", "0", "bn2", p] => format!("layers.7.{p}"),
        ["conv_head", p] => format!("layers.14.{p}"),
        ["bn2", p] => format!("layers.15.{p}"),
        ["classifier", p] => format!("classifier.1.{p}"),
        ["blocks", stage, block, part, p] => {
            let stage = stage.parse::<usize>().ok().filter(|&stage| stage > 0)?;
            let place = match part {
                "conv_pw" => 0,
                "bn1" => 1,
                "conv_dw" => 3,
                "bn2" => 4,
                "conv_pwl" => 6,
                "bn3" => 7,
                _ => return None,
            };
            format!("layers.{}.{block}.layers.{place}.{p}", stage + 7)
        }
        _ => return None,
    };
    Some(format!("backbone.{layer}"))
}
