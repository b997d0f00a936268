//! Swin transformers of the first version.

use occam_graph::Array;

use super::{State, head};

/// A parameter of a block's `norm1`, `attn` or `norm2`, which are called alike on both sides.
fn shared(stage: usize, block: &str, inner: &[&str]) -> Option<String> {
    let inner = match *inner {
        [norm @ ("norm1" | "norm2"), p] => format!("{norm}.{p}"),
        ["attn", part @ ("qkv" | "proj"), p] => format!("attn.w_msa.{part}.{p}"),
        ["attn", p @ ("relative_position_bias_table" | "relative_position_index")] => {
            format!("attn.w_msa.{p}")
        }
        _ => return None,
    };
    Some(format!("backbone.stages.{stage}.blocks.{block}.{inner}"))
}

fn feed_forward(stage: usize, block: &str, second: bool, p: &str) -> String {
    let layer = if second { "1" } else { "0.0" };
    format!("backbone.stages.{stage}.blocks.{block}.ffn.layers.{layer}.{p}")
}

fn merging(stage: usize, part: &str, p: &str) -> Option<String> {
    matches!(part, "norm" | "reduction").then(|| format!("backbone.stages.{stage}.downsample.{part}.{p}"))
}

/// The norm layer of the last of so many stages.
fn last_norm(stages: usize, p: &str) -> Option<String> {
    Some(format!("backbone.norm{}.{p}", stages.checked_sub(1)?))
}

/// Stages and what joins patches take turns in `features`, after the first patches.
pub(super) fn torchvision(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["features", "0", "0", p] => Some(format!("backbone.patch_embed.projection.{p}")),
        ["features", "0", "2", p] => Some(format!("backbone.patch_embed.norm.{p}")),
        ["features", i, part, ref inner @ ..] => {
            let place = i.parse::<usize>().ok()?.checked_sub(1)?;
            match *inner {
                [p] if place % 2 == 1 => merging(place / 2, part, p),
                _ if place % 2 == 1 => None,
                ["mlp", "0", p] => Some(feed_forward(place / 2, part, false, p)),
                ["mlp", "3", p] => Some(feed_forward(place / 2, part, true, p)),
                _ => shared(place / 2, part, inner),
            }
        }
        ["norm", p] => last_norm(state.count("features.", 0) / 2, p),
        ["head", p] => head(p),
        _ => None,
    }
}

/// Patches are joined before a stage; at its end in files of the original authors and of timm before 0.9, which have more
/// buffers too.
pub(super) fn timm(state: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    match *parts {
        ["patch_embed", "proj", p] => Some(format!("backbone.patch_embed.projection.{p}")),
        ["patch_embed", "norm", p] => Some(format!("backbone.patch_embed.norm.{p}")),
        ["layers", i, "downsample", part, p] => {
            let stage: usize = i.parse().ok()?;
            let at_end = state.has("layers.0.downsample.reduction.weight");
            merging(if at_end { stage } else { stage.checked_sub(1)? }, part, p)
        }
        ["layers", i, "blocks", block, ref inner @ ..] => {
            let stage: usize = i.parse().ok()?;
            match *inner {
                ["mlp", "fc1", p] => Some(feed_forward(stage, block, false, p)),
                ["mlp", "fc2", p] => Some(feed_forward(stage, block, true, p)),
                ["attn_mask"] => Some(format!("backbone.stages.{stage}.blocks.{block}.attn.attn_mask")),
                _ => shared(stage, block, inner),
            }
        }
        ["norm", p] => last_norm(state.count("layers.", 0), p),
        ["head", p] | ["head", "fc", p] => head(p),
        _ => None,
    }
}

/// Of four joined patches, the features lie patch by patch there, the lower one of a column after the upper one; here the
/// four places of a feature lie together, row by row.
pub(super) fn form(name: &str, array: &Array) -> Option<Array> {
    if name.contains(".downsample.") {
        return by_feature(array);
    }
    let places = array.len().isqrt();
    (name.ends_with(".relative_position_index") && array.shape().len() == 1)
        .then(|| array.reshape([places, places]).ok())
        .flatten()
}

/// The last axis sorted by features.
fn by_feature(array: &Array) -> Option<Array> {
    /// Theirs by ours.
    const PLACES: [usize; 4] = [0, 2, 1, 3];
    let width = *array.shape().last()?;
    let (features, size) = (width / 4, array.dtype().size());
    if features == 0 || width % 4 != 0 {
        return None;
    }
    let bytes = array.to_le_bytes();
    let mut sorted = Vec::with_capacity(bytes.len());
    for row in bytes.chunks_exact(width * size) {
        for (feature, place) in (0..features).flat_map(|f| PLACES.map(|place| (f, place))) {
            let at = (place * features + feature) * size;
            sorted.extend_from_slice(row.get(at..at + size)?);
        }
    }
    Array::from_le_bytes(array.dtype(), array.shape(), &sorted).ok()
}
