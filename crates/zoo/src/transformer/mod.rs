//! Parts of transformers, on features `[N, L, C]`: `L` tokens of `C` features each.

mod attention;
mod encoder_layer;
mod feed_forward;
mod layer_norm;
mod patch_embed;
mod swin_block;
mod window_attention;

pub(crate) use encoder_layer::{EncoderLayer, LayerCfg};
pub(crate) use layer_norm::{LayerNorm2dCfg, LayerNormCfg};
pub(crate) use patch_embed::{Pair, PatchCfg, PatchEmbed};
pub(crate) use swin_block::{SwinBlock, merge_patches};

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

/// `nn.Linear` to `to` features; its first values are PyTorch's own where no `init_cfg` rules.
pub(crate) fn linear(net: &mut Net, name: &str, x: ValueId, to: usize, biased: bool) -> Result<ValueId> {
    let own = torch_default(features(net, x)?);
    filled(net, name, x, to, [own, own], biased)
}

/// `nn.Linear` with bias to `to` features, weight and bias filled by these two, whatever an `init_cfg` says.
pub(crate) fn settled_linear(
    net: &mut Net,
    name: &str,
    x: ValueId,
    to: usize,
    inits: [Init; 2],
) -> Result<ValueId> {
    net.settled(|net| filled(net, name, x, to, inits, true))
}

fn filled(
    net: &mut Net,
    name: &str,
    x: ValueId,
    to: usize,
    [weight, bias]: [Init; 2],
    biased: bool,
) -> Result<ValueId> {
    let from = features(net, x)?;
    net.layer(name, &[x], |net| {
        let mut inputs = vec![x, net.parameter("weight", &[to, from], Role::Weight, weight)?];
        if biased {
            inputs.push(net.parameter("bias", &[to], Role::Weight, bias)?);
        }
        net.note_layer(&["Linear", "Module"], &[to, from], biased);
        Ok(net.this(Linear, &inputs)?)
    })
}

/// Uniform in ±1 / √fan_in.
fn torch_default(fan_in: usize) -> Init {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    Init::Uniform { bounds: [-bound, bound] }
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
