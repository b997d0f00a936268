//! Vision transformers.

use occam_config::{Registry, Value};
use occam_graph::ops::{Binary, Concat, DropUnit, ExpandBatch, Flatten, GlobalAvgPool, Transpose, Unflatten};
use occam_graph::{Role, ValueId};
use serde::Deserialize;

use super::Backbone;
use super::resnet::frozen_stages;
use crate::arch::{OutIndices, arch, named};
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::transformer::{
    EncoderLayer, LayerCfg, LayerNormCfg, Pair, PatchCfg, PatchEmbed, token, tokens_from,
};
use crate::{Init, Net, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    arch: Option<Value>,
    #[serde(default = "image")]
    img_size: Pair,
    #[serde(default = "patch")]
    patch_size: Pair,
    #[serde(default = "three")]
    in_channels: usize,
    #[serde(default = "last")]
    out_indices: OutIndices,
    #[serde(default)]
    drop_rate: f64,
    #[serde(default)]
    drop_path_rate: f64,
    #[serde(default = "yes")]
    qkv_bias: bool,
    #[serde(default = "layer_norm")]
    norm_cfg: LayerNormCfg,
    #[serde(default = "yes")]
    final_norm: bool,
    #[serde(default = "yes")]
    with_cls_token: bool,
    #[serde(default)]
    avg_token: bool,
    #[serde(default = "minus_one")]
    frozen_stages: i64,
    #[serde(default = "yes")]
    output_cls_token: bool,
    #[serde(default, rename = "interpolate_mode")]
    _interpolate_mode: Interpolation,
    #[serde(default)]
    patch_cfg: PatchCfg,
    #[serde(default)]
    layer_cfgs: LayerCfgs,
    #[serde(default)]
    pre_norm: bool,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn image() -> Pair {
    Pair::Both(224)
}
fn patch() -> Pair {
    Pair::Both(16)
}
fn three() -> usize {
    3
}
fn last() -> OutIndices {
    OutIndices::One(-1)
}
fn yes() -> bool {
    true
}
fn layer_norm() -> LayerNormCfg {
    LayerNormCfg::with_eps(1e-6)
}
fn minus_one() -> i64 {
    -1
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Interpolation {
    Nearest,
    Linear,
    Bilinear,
    #[default]
    Bicubic,
    Trilinear,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a dict, or a list with one for each layer")]
enum LayerCfgs {
    All(Box<LayerCfg>),
    Each(Vec<LayerCfg>),
}

impl Default for LayerCfgs {
    fn default() -> Self {
        LayerCfgs::All(Box::default())
    }
}

/// `VisionTransformer` (Dosovitskiy et al., 2021, arXiv:2010.11929) and `DistilledVisionTransformer` (Touvron et al., 2021,
/// arXiv:2012.12877): patches of the image, and one learned token or two, go through the encoder of a transformer.
///
/// | key | default | |
/// |---|---|---|
/// | `arch` | `base`, `deit-base` | `small`, `base`, `large`, `huge`, `eva-giant`, `deit-tiny`, `deit-small`, `deit-base`, also by their short names, or `dict(embed_dims=, num_layers=, num_heads=, feedforward_channels=)` |
/// | `img_size`, `patch_size` | 224, 16 | one size or two |
/// | `in_channels` | 3 | |
/// | `out_indices` | -1 | layers whose features are returned |
/// | `qkv_bias` | True | |
/// | `norm_cfg` | `dict(type='LN', eps=1e-6)` | |
/// | `final_norm` | True | whether a norm layer, `ln1`, follows the last layer |
/// | `with_cls_token` | True | whether the learned tokens go through the layers |
/// | `output_cls_token` | True | whether they are returned |
/// | `avg_token` | False | whether the patches' mean, normed by `ln2`, is returned in their place |
/// | `patch_cfg` | `dict()` | `kernel_size`, `stride`, `padding`, `dilation`, `bias`, `norm_cfg` of the patches |
/// | `layer_cfgs` | `dict()` | for all layers or for each: `num_heads`, `feedforward_channels`, `num_fcs`, `qkv_bias`, `act_cfg`, `norm_cfg`, .. |
/// | `pre_norm` | False | whether a norm layer, `pre_norm`, comes before the layers |
/// | `drop_rate` | 0 | share of the elements that are left out in training, after positions, attention and the linear layers |
/// | `drop_path_rate` | 0 | share of samples that skip the last layer in training; grows evenly from 0 over the layers |
/// | `frozen_stages` | -1 | so many layers, and the embedding before them, neither learn nor leave out |
/// | `init_cfg` | None | rules for the convolution, the norm layers, and the linear ones of the attention |
///
/// Returns for every one of `out_indices` the patches, `[N, C, rows, columns]`, and where `output_cls_token` is set the
/// class token and the distillation token, `[N, C]` each. Images have the size `img_size`: the learned positions are not
/// resized to others, so `interpolate_mode` has no effect.
///
/// The distillation token and positions are first normal with deviation 0.02, the class token 0, the layers behind the
/// attention as Xavier's rule says. Parameters take mmcls' names:
/// `cls_token`, `pos_embed`, `dist_token`, `patch_embed.projection`, `layers.0.attn.qkv`, `layers.0.ffn.layers.0.0`, .. The
/// original builds the `pre_norm` of `DistilledVisionTransformer` and leaves it out of the computation; here it is part of
/// it.
pub struct VisionTransformer {
    config: Config,
    rules: Rules,
    arch: Arch,
    patches: PatchEmbed,
    layer_cfgs: Vec<LayerCfg>,
    out_indices: Vec<usize>,
    /// Layers that do not learn; the embedding does not either where there are any.
    frozen_stages: usize,
    distilled: bool,
}

/// Figures of one architecture.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arch {
    embed_dims: usize,
    num_layers: usize,
    num_heads: usize,
    feedforward_channels: usize,
}

const fn arch_of([embed_dims, num_layers, num_heads, feedforward_channels]: [usize; 4]) -> Arch {
    Arch { embed_dims, num_layers, num_heads, feedforward_channels }
}

const SMALL: Arch = arch_of([768, 8, 8, 2304]);
const BASE: Arch = arch_of([768, 12, 12, 3072]);
const LARGE: Arch = arch_of([1024, 24, 16, 4096]);
const HUGE: Arch = arch_of([1280, 32, 16, 5120]);
const EVA_GIANT: Arch = arch_of([1408, 40, 16, 6144]);
const DEIT_TINY: Arch = arch_of([192, 12, 3, 768]);
const DEIT_SMALL: Arch = arch_of([384, 12, 6, 1536]);

const ARCHS: [(&str, Arch); 16] = [
    ("small", SMALL),
    ("s", SMALL),
    ("base", BASE),
    ("b", BASE),
    ("large", LARGE),
    ("l", LARGE),
    ("huge", HUGE),
    ("h", HUGE),
    ("eva-giant", EVA_GIANT),
    ("eva-g", EVA_GIANT),
    ("deit-tiny", DEIT_TINY),
    ("deit-t", DEIT_TINY),
    ("deit-small", DEIT_SMALL),
    ("deit-s", DEIT_SMALL),
    ("deit-base", BASE),
    ("deit-b", BASE),
];

fn parse(value: &Value, distilled: bool) -> Result<Box<dyn Backbone>> {
    let config: Config = value.parse()?;
    let arch = match config.arch.as_ref().map(|given| (given, given.as_str())) {
        None => named(if distilled { "deit-base" } else { "base" }, &ARCHS)?,
        Some((given, Some(name))) => named(&name.to_lowercase(), &ARCHS).map_err(|e| e.at(given))?,
        Some((given, None)) => arch(given, &ARCHS)?,
    };
    if arch.num_layers == 0 {
        return refuse("num_layers must be at least 1");
    }
    if config.output_cls_token && !config.with_cls_token {
        return refuse("output_cls_token needs with_cls_token");
    }
    let layer_cfgs = match &config.layer_cfgs {
        LayerCfgs::All(cfg) => vec![cfg.as_ref().clone(); arch.num_layers],
        LayerCfgs::Each(list) => list.clone(),
    };
    if layer_cfgs.len() != arch.num_layers {
        return refuse(format!("layer_cfgs must have one entry for each of {} layers", arch.num_layers));
    }
    let out_indices = config.out_indices.resolve(arch.num_layers)?;
    let patches = PatchEmbed::new(
        [config.in_channels, arch.embed_dims],
        config.patch_size.sizes(),
        config.img_size.sizes(),
        !config.pre_norm,
        &config.patch_cfg,
    )?;
    let frozen_stages = frozen_stages(config.frozen_stages, arch.num_layers)?.unwrap_or(0);
    let rules = config.init_cfg.rules(Rules::none)?;
    let network =
        VisionTransformer { config, rules, arch, patches, layer_cfgs, out_indices, frozen_stages, distilled };
    Ok(Box::new(network))
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(parse(value, false)?)
}

pub(super) fn build_distilled(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(parse(value, true)?)
}

impl VisionTransformer {
    /// The names of the learned tokens, in order.
    fn tokens(&self) -> &'static [&'static str] {
        if self.distilled { &["cls_token", "dist_token"] } else { &["cls_token"] }
    }

    /// The learned tokens and the patches, each with its position.
    fn embed(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let width = self.arch.embed_dims;
        let learned = Init::TruncNormal { mean: 0.0, std: 0.02, bounds: [-2.0, 2.0] };
        // In the original's order, in which positions come before the distillation token.
        let count = self.patches.places.iter().product::<usize>().saturating_add(self.tokens().len());
        let frozen = self.frozen_stages > 0;
        let [class, positions] = net.fixed(frozen, |net| {
            Ok([
                net.parameter("cls_token", &[1, 1, width], Role::Weight, Init::Constant(0.0))?,
                net.parameter("pos_embed", &[1, count, width], Role::Weight, learned)?,
            ])
        })?;
        let mut tokens = vec![("cls_token", class)];
        if self.distilled {
            let token = net.parameter("dist_token", &[1, 1, width], Role::Weight, learned)?;
            tokens.push(("dist_token", token));
        }
        let patches = net.frozen(frozen, |net| self.patches.build(net, x))?;
        let mut all = Vec::new();
        for (name, token) in tokens {
            all.push(net.op(&format!("{name}.expand"), ExpandBatch, &[token, patches])?);
        }
        all.push(patches);
        let y = net.op("concat", Concat { axis: 1 }, &all)?;
        let y = net.op("add_pos_embed", Binary::Add, &[y, positions])?;
        let rate = self.config.drop_rate;
        net.frozen(frozen, |net| net.dropout("drop_after_pos", y, rate, DropUnit::Element))
    }

    /// What is returned of the features after a layer.
    fn features(&self, net: &mut Net, name: &str, x: ValueId) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let first = if c.with_cls_token { self.tokens().len() } else { 0 };
        let y = if first > 0 { tokens_from(net, &format!("{name}.patches"), x, first)? } else { x };
        let y = net.op(&format!("{name}.transpose"), Transpose { perm: vec![0, 2, 1] }, &[y])?;
        let split = Unflatten { axis: 2, sizes: self.patches.places.to_vec() };
        let mut y = net.op(&format!("{name}.patch_token"), split, &[y])?;
        if c.avg_token {
            y = net.op(&format!("{name}.mean"), GlobalAvgPool, &[y])?;
            y = net.op(&format!("{name}.flatten"), Flatten { axis: 1 }, &[y])?;
            y = c.norm_cfg.build(net, "ln2", y)?;
        }
        let mut features = vec![y];
        if c.output_cls_token {
            for (i, token_name) in self.tokens().iter().enumerate() {
                features.push(token(net, &format!("{name}.{token_name}"), x, i)?);
            }
        }
        Ok(features)
    }
}

impl Backbone for VisionTransformer {
    fn in_channels(&self) -> usize {
        self.config.in_channels
    }

    fn image_size(&self) -> Option<[usize; 2]> {
        Some(self.config.img_size.sizes())
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| self.layers(net, x))
    }
}

impl VisionTransformer {
    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let mut y = self.embed(net, x)?;
        if c.pre_norm {
            y = c.norm_cfg.build(net, "pre_norm", y)?;
        }
        if !c.with_cls_token {
            y = tokens_from(net, "patches", y, self.tokens().len())?;
        }
        let last = self.arch.num_layers - 1;
        let mut features = Vec::new();
        for (i, cfg) in self.layer_cfgs.iter().enumerate() {
            let layer = EncoderLayer {
                num_heads: self.arch.num_heads,
                feedforward_channels: self.arch.feedforward_channels,
                drop_rate: c.drop_rate,
                // Rises along the depth, from 0 at the first layer to the whole rate at the last.
                drop_path_rate: c.drop_path_rate * i as f64 / last.max(1) as f64,
                qkv_bias: c.qkv_bias,
                norm: c.norm_cfg.clone(),
            };
            let from = y;
            y = net.frozen(i < self.frozen_stages, |net| {
                net.layer(&format!("layers.{i}"), &[from], |net| layer.build(net, from, cfg))
            })?;
            if i == last && c.final_norm {
                y = net.frozen(self.frozen_stages > last, |net| c.norm_cfg.build(net, "ln1", y))?;
            }
            if self.out_indices.contains(&i) {
                features.extend(self.features(net, &format!("out.{i}"), y)?);
            }
        }
        Ok(features)
    }
}
