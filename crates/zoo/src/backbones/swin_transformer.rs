//! Swin transformers.

use occam_config::{Registry, Value};
use occam_graph::ops::{Binary, DropUnit, Transpose, Unflatten};
use occam_graph::{Role, ValueId};
use serde::Deserialize;

use super::Backbone;
use crate::arch::{OutIndices, arch, named};
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::transformer::{LayerNormCfg, Pair, PatchCfg, PatchEmbed, SwinBlock, merge_patches};
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
    #[serde(default = "seven")]
    window_size: usize,
    #[serde(default)]
    drop_rate: f64,
    #[serde(default = "tenth")]
    drop_path_rate: f64,
    #[serde(default = "last")]
    out_indices: OutIndices,
    #[serde(default)]
    out_after_downsample: bool,
    #[serde(default)]
    use_abs_pos_embed: bool,
    /// Of positions for images of other sizes, which are not taken here.
    #[serde(default, rename = "interpolate_mode")]
    _interpolate_mode: Option<String>,
    #[serde(default, rename = "with_cp")]
    _with_cp: bool,
    #[serde(default = "minus_one")]
    frozen_stages: i64,
    /// Of batch norms, of which there are none.
    #[serde(default, rename = "norm_eval")]
    _norm_eval: bool,
    #[serde(default)]
    pad_small_map: bool,
    #[serde(default = "layer_norm")]
    norm_cfg: Option<LayerNormCfg>,
    #[serde(default)]
    stage_cfgs: StageCfg,
    #[serde(default)]
    patch_cfg: PatchCfg,
    #[serde(default)]
    init_cfg: InitCfg,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StageCfg {
    block_cfgs: BlockCfg,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BlockCfg {
    window_size: Option<usize>,
}

fn image() -> Pair {
    Pair::Both(224)
}
fn patch() -> Pair {
    Pair::Both(4)
}
fn three() -> usize {
    3
}
fn seven() -> usize {
    7
}
fn tenth() -> f64 {
    0.1
}
fn last() -> OutIndices {
    OutIndices::Many(vec![3])
}
fn minus_one() -> i64 {
    -1
}
fn layer_norm() -> Option<LayerNormCfg> {
    Some(LayerNormCfg::with_eps(1e-5))
}

/// `SwinTransformer` (Liu et al., 2021, arXiv:2103.14030): patches of the image attend to each other within windows, which
/// every second block shifts by half a window; between stages 2x2 patches become one.
///
/// | key | default | |
/// |---|---|---|
/// | `arch` | `'tiny'` | `'tiny'`, `'small'`, `'base'`, `'large'`, also by their first letters, or `dict(embed_dims=, depths=, num_heads=)` |
/// | `img_size`, `patch_size` | 224, 4 | one size or two |
/// | `in_channels` | 3 | |
/// | `window_size` | 7 | side of the windows; `stage_cfgs=dict(block_cfgs=dict(window_size=))` comes before it |
/// | `drop_rate` | 0 | share of the elements left out before the first stage in training |
/// | `drop_path_rate` | 0.1 | share of samples that skip the last block in training; grows evenly from 0 over the blocks |
/// | `out_indices` | (3,) | stages whose features are returned |
/// | `out_after_downsample` | False | whether these are those after the patches were joined |
/// | `use_abs_pos_embed` | False | whether a learned number is added to every feature of every patch |
/// | `pad_small_map` | False | whether maps smaller than a window are padded, and maps of one window are shifted |
/// | `norm_cfg` | `dict(type='LN')` | of the returned features, by `norm{i}`; or None |
/// | `patch_cfg` | `dict()` | `kernel_size`, `stride`, `padding`, `dilation`, `bias`, `norm_cfg` of the patches |
/// | `frozen_stages` | -1 | the stages up to this one, and the patches before them, neither learn nor leave out |
/// | `init_cfg` | None | rules for the convolution, the linear and the norm layers |
///
/// Returns maps `[N, C, rows, columns]`. Images have the size `img_size`, for which windows are laid out; so
/// `interpolate_mode` has no effect, nor have `norm_eval` and `with_cp`. Of `stage_cfgs` only the window size is supported.
///
/// Parameters take mmcls' names: `patch_embed.projection`, `stages.0.blocks.0.attn.w_msa.relative_position_bias_table`,
/// `stages.0.downsample.reduction`, .. The buffer `relative_position_index` does not exist: which row of the table goes where
/// is part of the graph, and so is what keeps the two ends of a shifted map apart.
pub struct SwinTransformer {
    config: Config,
    rules: Rules,
    arch: Arch,
    patches: PatchEmbed,
    out_indices: Vec<usize>,
    /// Stages that do not learn; the patches do not either where there are any.
    frozen: usize,
}

/// Figures of one architecture.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arch {
    embed_dims: usize,
    depths: Vec<usize>,
    num_heads: Vec<usize>,
}

fn known() -> [(&'static str, Arch); 8] {
    let arch = |embed_dims: usize, third: usize| Arch {
        embed_dims,
        depths: vec![2, 2, third, 2],
        num_heads: (0..4).map(|i| (embed_dims / 32) << i).collect(),
    };
    let [tiny, small, base, large] = [arch(96, 6), arch(96, 18), arch(128, 18), arch(192, 18)];
    [
        ("tiny", tiny.clone()),
        ("t", tiny),
        ("small", small.clone()),
        ("s", small),
        ("base", base.clone()),
        ("b", base),
        ("large", large.clone()),
        ("l", large),
    ]
}

fn parse(value: &Value) -> Result<SwinTransformer> {
    let config: Config = value.parse()?;
    let arch = match config.arch.as_ref().map(|given| (given, given.as_str())) {
        None => named("tiny", &known())?,
        Some((given, Some(name))) => named(&name.to_lowercase(), &known()).map_err(|e| e.at(given))?,
        Some((given, None)) => arch(given, &known())?,
    };
    let stages = arch.depths.len();
    if stages == 0 || arch.num_heads.len() != stages || arch.depths.contains(&0) {
        return refuse("arch: depths and num_heads must be equally many, and depths at least 1");
    }
    let out_indices = config.out_indices.resolve(stages)?;
    let frozen = match usize::try_from(config.frozen_stages.saturating_add(1)) {
        Ok(frozen) if frozen <= stages => frozen,
        _ => {
            let highest = stages - 1;
            return refuse(format!("frozen_stages={} must be from -1 to {highest}", config.frozen_stages));
        }
    };
    let patches = PatchEmbed::new(
        [config.in_channels, arch.embed_dims],
        config.patch_size.sizes(),
        config.img_size.sizes(),
        true,
        &config.patch_cfg.clone().normed(LayerNormCfg::with_eps(1e-5)),
    )?;
    let rules = config.init_cfg.rules(Rules::none)?;
    let network = SwinTransformer { config, rules, arch, patches, out_indices, frozen };
    network.check_windows()?;
    Ok(network)
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    Ok(Box::new(parse(value)?))
}

impl SwinTransformer {
    fn window(&self) -> usize {
        self.config.stage_cfgs.block_cfgs.window_size.unwrap_or(self.config.window_size)
    }

    /// Refuses windows that are larger than a map.
    fn check_windows(&self) -> Result<()> {
        let window = self.window();
        if window == 0 {
            return refuse("window_size must be at least 1");
        }
        let mut places = self.patches.places;
        for _ in &self.arch.depths {
            if places.iter().any(|&size| size < window) && !self.config.pad_small_map {
                return refuse(format!(
                    "window_size={window} is larger than a map of {places:?}; set pad_small_map=True, or make \
                     the windows smaller or img_size larger"
                ));
            }
            places = places.map(|size| size.div_ceil(2));
        }
        Ok(())
    }

    fn stage(
        &self,
        net: &mut Net,
        x: ValueId,
        [i, first]: [usize; 2],
        places: [usize; 2],
    ) -> Result<ValueId> {
        let window = self.window();
        let whole = places.iter().min() == Some(&window) && !self.config.pad_small_map;
        let all = self.arch.depths.iter().sum::<usize>().saturating_sub(1).max(1);
        let (&depth, &heads) = match (self.arch.depths.get(i), self.arch.num_heads.get(i)) {
            (Some(depth), Some(heads)) => (depth, heads),
            _ => return refuse(format!("there is no stage {i}")),
        };
        (0..depth).try_fold(x, |y, j| {
            let shift = if j % 2 == 0 || whole { 0 } else { window / 2 };
            let drop_path = self.config.drop_path_rate * (first + j) as f64 / all as f64;
            let block = SwinBlock { heads, places, window, shift, drop_path };
            net.layer(&format!("blocks.{j}"), &[y], |net| block.build(net, y))
        })
    }

    /// The map that is returned of the tokens after stage `i`.
    fn features(&self, net: &mut Net, i: usize, x: ValueId, places: [usize; 2]) -> Result<ValueId> {
        let y = match &self.config.norm_cfg {
            Some(norm) => net.fixed(i < self.frozen, |net| norm.build(net, &format!("norm{i}"), x))?,
            None => x,
        };
        let y = net.op(&format!("out.{i}.channels"), Transpose { perm: vec![0, 2, 1] }, &[y])?;
        Ok(net.op(&format!("out.{i}"), Unflatten { axis: 2, sizes: places.to_vec() }, &[y])?)
    }

    fn layers(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        let c = &self.config;
        let mut places = self.patches.places;
        let mut y = net.frozen(self.frozen > 0, |net| self.patches.build(net, x))?;
        if c.use_abs_pos_embed {
            let count = places[0].saturating_mul(places[1]);
            let init = Init::TruncNormal { mean: 0.0, std: 0.02, bounds: [-2.0, 2.0] };
            let shape = [1, count, self.arch.embed_dims];
            let positions = net.parameter("absolute_pos_embed", &shape, Role::Weight, init)?;
            y = net.op("add_pos_embed", Binary::Add, &[y, positions])?;
        }
        y = net.dropout("drop_after_pos", y, c.drop_rate, DropUnit::Element)?;
        let (mut features, mut first) = (Vec::new(), 0);
        let stages = self.arch.depths.len();
        for (i, &depth) in self.arch.depths.iter().enumerate() {
            let (from, shown) = (y, places);
            let mut before = y;
            y = net.frozen(i < self.frozen, |net| {
                net.layer(&format!("stages.{i}"), &[from], |net| {
                    before = self.stage(net, from, [i, first], shown)?;
                    if i + 1 == stages {
                        return Ok(before);
                    }
                    let (merged, after) = merge_patches(net, before, shown)?;
                    places = after;
                    Ok(merged)
                })
            })?;
            first += depth;
            if self.out_indices.contains(&i) {
                let (token, shape) = if c.out_after_downsample { (y, places) } else { (before, shown) };
                features.push(self.features(net, i, token, shape)?);
            }
        }
        Ok(features)
    }
}

impl Backbone for SwinTransformer {
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
