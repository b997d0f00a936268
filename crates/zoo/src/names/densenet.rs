//! DenseNet; torchvision and timm share the names.

use super::{State, head};

/// `denseblock1.denselayer1` is `stages.0.block.0`, the norm layer after the last block `transitions.3.0`.
pub(super) fn map(_: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    let before = |text: &str, start: &str| text.strip_prefix(start)?.parse::<usize>().ok()?.checked_sub(1);
    match *parts {
        ["classifier", p] => head(p),
        ["features", "conv0", p] => Some(format!("backbone.stem.0.{p}")),
        ["features", "norm0", p] => Some(format!("backbone.stem.1.{p}")),
        ["features", "norm5", p] => Some(format!("backbone.transitions.3.0.{p}")),
        ["features", block, layer, part, p] => {
            let (i, j) = (before(block, "denseblock")?, before(layer, "denselayer")?);
            Some(format!("backbone.stages.{i}.block.{j}.{part}.{p}"))
        }
        ["features", transition, part, p] => {
            Some(format!("backbone.transitions.{}.{part}.{p}", before(transition, "transition")?))
        }
        _ => None,
    }
}
