//! One layer of an encoder.

use occam_graph::ValueId;
use occam_graph::ops::{Activation, Binary};
use serde::Deserialize;

use super::LayerNormCfg;
use super::attention::Attention;
use super::feed_forward::FeedForward;
use crate::conv_module::ActCfg;
use crate::error::refuse;
use crate::{Net, Result};

/// `layer_cfgs`: what a single layer has otherwise than the network says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LayerCfg {
    num_heads: Option<usize>,
    feedforward_channels: Option<usize>,
    drop_rate: Option<f64>,
    attn_drop_rate: Option<f64>,
    drop_path_rate: Option<f64>,
    num_fcs: Option<usize>,
    qkv_bias: Option<bool>,
    act_cfg: Option<ActCfg>,
    norm_cfg: Option<LayerNormCfg>,
}

/// mmcls' `TransformerEncoderLayer`: `ln1`, `attn`, `ln2`, `ffn`, around each pair of which leads a shortcut.
#[derive(Debug, Clone)]
pub(crate) struct EncoderLayer {
    pub num_heads: usize,
    pub feedforward_channels: usize,
    pub drop_rate: f64,
    pub drop_path_rate: f64,
    pub qkv_bias: bool,
    pub norm: LayerNormCfg,
}

impl EncoderLayer {
    /// Adds the layers to the open module, changed as `cfg` says.
    ///
    /// # Errors
    /// The heads do not divide the features, or there are less than two linear layers.
    pub fn build(&self, net: &mut Net, x: ValueId, cfg: &LayerCfg) -> Result<ValueId> {
        let norm = cfg.norm_cfg.as_ref().unwrap_or(&self.norm);
        let drop = cfg.drop_rate.unwrap_or(self.drop_rate);
        let drop_path = cfg.drop_path_rate.unwrap_or(self.drop_path_rate);
        let attention = Attention {
            heads: cfg.num_heads.unwrap_or(self.num_heads),
            qkv_bias: cfg.qkv_bias.unwrap_or(self.qkv_bias),
            score_drop: cfg.attn_drop_rate.unwrap_or(0.0),
            drop,
            drop_path,
        };
        let feed_forward = FeedForward {
            width: cfg.feedforward_channels.unwrap_or(self.feedforward_channels),
            count: cfg.num_fcs.unwrap_or(2),
            act: cfg.act_cfg.map_or(Activation::Gelu { tanh: false }, |act| act.function()),
            drop,
            drop_path,
            settled: true,
        };
        if feed_forward.width == 0 || feed_forward.count < 2 {
            return refuse("feedforward_channels must be at least 1, num_fcs at least 2");
        }
        let y = norm.build(net, "ln1", x)?;
        let y = attention.build(net, y)?;
        let x = net.op("add", Binary::Add, &[x, y])?;
        let y = norm.build(net, "ln2", x)?;
        feed_forward.build(net, y, x)
    }
}
