//! Parts of transformers, on features `[N, L, C]`: `L` tokens of `C` features each.

mod attention;
mod encoder_layer;
mod feed_forward;
mod layer_norm;
mod patch_embed;

pub(crate) use encoder_layer::{EncoderLayer, LayerCfg};
pub(crate) use layer_norm::LayerNormCfg;
pub(crate) use patch_embed::{Pair, PatchCfg, PatchEmbed};

use occam_graph::ops::{Flatten, Linear, Slice};
use occam_graph::{Dim, Role, ValueId};

use crate::error::refuse;
use crate::{Init, Net, Result};

/// Number of features of every token.
fn features(net: &Net, x: ValueId) -> Result<usize> {
    match net.fact(x)?.shape.as_slice() {
        [.., Dim::Known(features)] => Ok(*features),
        _ => refuse(format!("tokens with a known number of features wanted, found {}", net.fact(x)?)),
    }
}

/// `nn.Linear` to `to` features, filled by `weight` and, where it has a bias, by `bias`.
pub(crate) fn linear(
    net: &mut Net,
    name: &str,
    x: ValueId,
    to: usize,
    weight: Init,
    bias: Option<Init>,
) -> Result<ValueId> {
    let from = features(net, x)?;
    net.layer(name, &[x], |net| {
        let mut inputs = vec![x, net.parameter("weight", &[to, from], Role::Weight, weight)?];
        if let Some(bias) = bias {
            inputs.push(net.parameter("bias", &[to], Role::Weight, bias)?);
        }
        Ok(net.this(Linear, &inputs)?)
    })
}

/// Tokens from `start` on.
pub(crate) fn tokens_from(net: &mut Net, name: &str, x: ValueId, start: usize) -> Result<ValueId> {
    let Some(end) = net.fact(x)?.shape.get(1).and_then(Dim::known) else {
        return refuse(format!("a known number of tokens wanted, found {}", net.fact(x)?));
    };
    Ok(net.op(name, Slice { axis: 1, start, end }, &[x])?)
}

/// Token `index`, as `[N, C]`.
pub(crate) fn token(net: &mut Net, name: &str, x: ValueId, index: usize) -> Result<ValueId> {
    let one = net.op(name, Slice { axis: 1, start: index, end: index.saturating_add(1) }, &[x])?;
    Ok(net.op(&format!("{name}.flatten"), Flatten { axis: 1 }, &[one])?)
}
