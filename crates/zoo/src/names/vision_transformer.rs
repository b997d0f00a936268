//! Vision transformers, DeiT among them.

use super::State;

pub(super) fn torchvision(_: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    Some(match *parts {
        ["class_token"] => "backbone.cls_token".into(),
        ["conv_proj", p] => format!("backbone.patch_embed.projection.{p}"),
        ["encoder", "pos_embedding"] => "backbone.pos_embed".into(),
        ["encoder", "ln", p] => format!("backbone.ln1.{p}"),
        ["heads", "head", p] => format!("head.layers.head.{p}"),
        ["encoder", "layers", layer, ref inner @ ..] => {
            let layer = layer.strip_prefix("encoder_layer_")?;
            let inner = match *inner {
                [norm @ ("ln_1" | "ln_2"), p] => format!("ln{}.{p}", norm.trim_start_matches("ln_")),
                ["self_attention", "in_proj_weight"] => "attn.qkv.weight".into(),
                ["self_attention", "in_proj_bias"] => "attn.qkv.bias".into(),
                ["self_attention", "out_proj", p] => format!("attn.proj.{p}"),
                ["mlp", "0" | "linear_1", p] => format!("ffn.layers.0.0.{p}"),
                ["mlp", "3" | "linear_2", p] => format!("ffn.layers.1.{p}"),
                _ => return None,
            };
            format!("backbone.layers.{layer}.{inner}")
        }
        _ => return None,
    })
}

pub(super) fn timm(_: &State<'_>, _: &str, parts: &[&str]) -> Option<String> {
    Some(match *parts {
        ["cls_token" | "dist_token" | "pos_embed"] => format!("backbone.{}", parts.first()?),
        ["patch_embed", "proj", p] => format!("backbone.patch_embed.projection.{p}"),
        ["norm", p] => format!("backbone.ln1.{p}"),
        [head @ ("head" | "head_dist"), p] => format!("head.layers.{head}.{p}"),
        ["blocks", i, ref inner @ ..] => {
            let inner = match *inner {
                [norm @ ("norm1" | "norm2"), p] => format!("ln{}.{p}", norm.trim_start_matches("norm")),
                ["attn", part @ ("qkv" | "proj"), p] => format!("attn.{part}.{p}"),
                ["mlp", "fc1", p] => format!("ffn.layers.0.0.{p}"),
                ["mlp", "fc2", p] => format!("ffn.layers.1.{p}"),
                _ => return None,
            };
            format!("backbone.layers.{i}.{inner}")
        }
        _ => return None,
    })
}
