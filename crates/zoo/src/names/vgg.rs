//! VGG with and without batch normalization. The model here must have its classifier: `num_classes` of the backbone.

use super::State;

/// Members of a `Sequential` up to the `index`-th: `Conv2d`, `BatchNorm2d` where there is one, and `ReLU` are one here.
fn place(state: &State<'_>, index: usize) -> Option<(usize, &'static str)> {
    let rank = |i: usize| state.shape(&format!("features.{i}.weight")).map(<[usize]>::len);
    let normed = rank(1) == Some(1);
    let (conv, part) = match rank(index)? {
        1 => (index.checked_sub(1)?, "bn"),
        _ => (index, "conv"),
    };
    let before = (0..conv).filter(|&i| rank(i) == Some(4)).count();
    let pools = conv.checked_sub(before * if normed { 3 } else { 2 })?;
    Some((before + pools, part))
}

fn feature(state: &State<'_>, index: &str, p: &str) -> Option<String> {
    let (place, part) = place(state, index.parse().ok()?)?;
    Some(format!("backbone.features.{place}.{part}.{p}"))
}

pub(super) fn torchvision(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["features", index, p] => feature(state, index, p),
        ["classifier", index, p] => Some(format!("backbone.classifier.{index}.{p}")),
        _ => None,
    }
}

/// timm has the first two linear layers as convolutions, of the same elements.
pub(super) fn timm(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["features", index, p] => feature(state, index, p),
        ["pre_logits", "fc1", p] => Some(format!("backbone.classifier.0.{p}")),
        ["pre_logits", "fc2", p] => Some(format!("backbone.classifier.3.{p}")),
        ["head", "fc", p] => Some(format!("backbone.classifier.6.{p}")),
        _ => None,
    }
}
