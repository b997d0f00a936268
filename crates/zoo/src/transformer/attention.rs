//! Attention between all tokens (Vaswani et al., 2017, arXiv:1706.03762).

use occam_graph::ValueId;
use occam_graph::ops::{DropUnit, Flatten, MatMul, Scale, Slice, Softmax, Transpose, Unflatten};

use super::{features, linear};
use crate::error::refuse;
use crate::{Net, Result};

/// mmcls' `MultiheadAttention`: `proj(softmax(q · kᵀ / √d) · v)`, head by head, with `q`, `k` and `v` side by side in what
/// `qkv` gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    pub heads: usize,
    pub qkv_bias: bool,
    /// Probability that a score counts as 0.
    pub score_drop: f64,
    /// Probability that an element of the result counts as 0.
    pub drop: f64,
    /// Probability that a training example skips the attention.
    pub drop_path: f64,
}

impl Attention {
    /// Adds the module `attn`.
    pub fn build(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let width = features(net, x)?;
        if self.heads == 0 || !width.is_multiple_of(self.heads) {
            return refuse(format!("embed_dims={width} cannot be split into num_heads={}", self.heads));
        }
        let each = width / self.heads;
        net.layer("attn", &[x], |net| {
            let qkv = linear(net, "qkv", x, width.saturating_mul(3), self.qkv_bias)?;
            let q = self.part(net, "q", qkv, 0, width)?;
            let k = self.part(net, "k", qkv, width, width)?;
            let v = self.part(net, "v", qkv, width.saturating_mul(2), width)?;
            let scores = net.op("scores", MatMul { transpose_b: true }, &[q, k])?;
            let scores = net.op("scaled", Scale { factor: 1.0 / (each as f64).sqrt() }, &[scores])?;
            let shares = net.op("softmax", Softmax { axis: 3 }, &[scores])?;
            let shares = net.dropout("attn_drop", shares, self.score_drop, DropUnit::Element)?;
            let y = net.op("mixed", MatMul { transpose_b: false }, &[shares, v])?;
            let y = net.op("tokens", Transpose { perm: vec![0, 2, 1, 3] }, &[y])?;
            let y = net.op("joined", Flatten { axis: 2 }, &[y])?;
            let y = linear(net, "proj", y, width, true)?;
            let y = net.dropout("proj_drop", y, self.drop, DropUnit::Element)?;
            net.dropout("out_drop", y, self.drop_path, DropUnit::Sample)
        })
    }

    /// The `width` features from `start` on, `[N, L, C]`, as `[N, heads, L, C / heads]`.
    fn part(&self, net: &mut Net, name: &str, qkv: ValueId, start: usize, width: usize) -> Result<ValueId> {
        let end = start.saturating_add(width);
        let y = net.op(name, Slice { axis: 2, start, end }, &[qkv])?;
        let sizes = vec![self.heads, width / self.heads.max(1)];
        let y = net.op(&format!("{name}.split"), Unflatten { axis: 2, sizes }, &[y])?;
        Ok(net.op(&format!("{name}.heads"), Transpose { perm: vec![0, 2, 1, 3] }, &[y])?)
    }
}
