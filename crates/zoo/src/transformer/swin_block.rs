//! Blocks of transformers with windows, and what leads from one stage of them to the next.

use occam_graph::ValueId;
use occam_graph::ops::{Activation, AdaptivePad, Binary, Flatten, Transpose, Unflatten};

use super::feed_forward::FeedForward;
use super::window_attention::{WindowAttention, map_of};
use super::{LayerNormCfg, features, linear};
use crate::{Net, Result};

/// mmcls' `SwinBlock`: `norm1` and `attn` with a shortcut, `norm2` and `ffn` with another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SwinBlock {
    pub heads: usize,
    /// Rows and columns of the map.
    pub places: [usize; 2],
    /// Side of the windows.
    pub window: usize,
    /// Rows and columns by which the map is rolled.
    pub shift: usize,
    /// Probability that a training example skips the attention, and that it skips the linear layers.
    pub drop_path: f64,
}

/// Features of the inner linear layer over those of the block.
const EXPANSION: usize = 4;

impl SwinBlock {
    /// Adds the layers to the open module.
    ///
    /// # Errors
    /// The heads do not divide the features.
    pub fn build(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let &Self { heads, places, window, shift, drop_path } = self;
        let norm = LayerNormCfg::with_eps(1e-5);
        let feed_forward = FeedForward {
            width: features(net, x)?.saturating_mul(EXPANSION),
            count: 2,
            act: Activation::Gelu { tanh: false },
            drop: 0.0,
            drop_path,
            settled: false,
        };
        let y = norm.build(net, "norm1", x)?;
        let y = WindowAttention { heads, places, window, shift, drop_path }.build(net, y)?;
        let x = net.op("add", Binary::Add, &[x, y])?;
        let y = norm.build(net, "norm2", x)?;
        feed_forward.build(net, y, x)
    }
}

/// mmcv's `PatchMerging`, the module `downsample`: every 2x2 places of a map with `places` become one of twice the features.
/// Odd sizes are padded with zeros. Returns the tokens, and their rows and columns.
///
/// # Errors
/// The tokens are not those of the map.
pub(crate) fn merge_patches(net: &mut Net, x: ValueId, places: [usize; 2]) -> Result<(ValueId, [usize; 2])> {
    let width = features(net, x)?;
    let merged = places.map(|size| size.div_ceil(2));
    let y = net.layer("downsample", &[x], |net| {
        let mut y = map_of(net, x, places)?;
        if merged.map(|size| size * 2) != places {
            let pad = AdaptivePad { kernel: [2; 2], stride: [2; 2], dilation: [1, 1], corner: true };
            y = net.op("pad", pad, &[y])?;
        }
        let [rows, columns] = merged;
        let y = net.op("rows", Unflatten { axis: 2, sizes: vec![rows, 2] }, &[y])?;
        let y = net.op("columns", Unflatten { axis: 4, sizes: vec![columns, 2] }, &[y])?;
        let y = net.op("inner", Transpose { perm: vec![0, 1, 3, 5, 2, 4] }, &[y])?;
        let y = net.op("places", Flatten { axis: 4 }, &[y])?;
        let y = net.op("tokens", Transpose { perm: vec![0, 4, 1, 2, 3] }, &[y])?;
        let y = net.op("joined", Flatten { axis: 2 }, &[y])?;
        let y = LayerNormCfg::with_eps(1e-5).build(net, "norm", y)?;
        linear(net, "reduction", y, width.saturating_mul(2), false)
    })?;
    Ok((y, merged))
}
