//! Inception v3.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{DropUnit, Flatten, GlobalAvgPool, Pool, PoolKind};
use serde::Deserialize;

use super::Backbone;
use super::basic_conv::{BasicConv, chain, joined, unread_conv, unread_linear};
use super::max_pool::max_pool;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::{Init, Net, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "thousand")]
    num_classes: usize,
    #[serde(default)]
    aux_logits: bool,
    #[serde(default = "half")]
    dropout: f64,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn thousand() -> usize {
    1000
}
fn half() -> f64 {
    0.5
}

/// `InceptionV3` (Szegedy et al., 2016, arXiv:1512.00567): modules of several branches side by side, whose large filters
/// are made of small ones, for images of 299x299 pixels and others of at least 75x75.
///
/// | key | default | |
/// |---|---|---|
/// | `num_classes` | 1000 | scores, which a linear layer of the means of all channels gives |
/// | `aux_logits` | False | whether there are the parameters of the auxiliary classifier, `AuxLogits` |
/// | `dropout` | 0.5 | share of the means left out before the linear layer in training |
/// | `init_cfg` | `TruncNormal` with deviation 0.1 for convolutions and linear layers, `Constant` 1 for norms | |
///
/// Goes with `ClsHead`, which takes the scores as they are. The original gives the head the auxiliary scores too, and the
/// head leaves them out of the loss: the auxiliary classifier never learns. Here its parameters are loaded and saved, and
/// nothing is computed from them; running statistics of its norm layers, which move in the original, stay.
///
/// Parameters take mmcls' names, which are torchvision's too: `Conv2d_1a_3x3.conv`, `Mixed_5b.branch1x1.bn`, ..,
/// `AuxLogits.conv0.conv`, `fc`.
pub struct InceptionV3 {
    config: Config,
    rules: Rules,
}

/// Channels of the last features.
const LAST: usize = 2048;

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    let config: Config = value.parse()?;
    if config.num_classes == 0 {
        return Ok(refuse("num_classes must be at least 1")?);
    }
    let rules = config.init_cfg.rules(|| Rules::none().and_trunc_normal(0.1, &["Conv2d", "Linear"]))?;
    Ok(Box::new(InceptionV3 { config, rules }))
}

/// 1x1, of as many places as before.
fn point(out: usize) -> BasicConv {
    BasicConv::same(out, [1, 1])
}

/// The mean of every 3x3 places, then a convolution.
fn pooled(net: &mut Net, x: ValueId, out: usize) -> Result<ValueId> {
    let pool = Pool {
        kind: PoolKind::Average { count_include_pad: true },
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        ceil_mode: false,
    };
    let y = net.layer("branch_pool_downsample", &[x], |net| Ok(net.this(pool, &[x])?))?;
    point(out).build(net, "branch_pool", y)
}

/// Filters of 5x5 and of 3x3 twice.
fn inception_a(net: &mut Net, name: &str, x: ValueId, out: usize) -> Result<ValueId> {
    let three = || BasicConv::same(96, [3, 3]);
    joined(net, name, x, |net| {
        Ok(vec![
            point(64).build(net, "branch1x1", x)?,
            chain(net, x, &[("branch5x5_1", point(48)), ("branch5x5_2", BasicConv::same(64, [5, 5]))])?,
            chain(
                net,
                x,
                &[("branch3x3dbl_1", point(64)), ("branch3x3dbl_2", three()), ("branch3x3dbl_3", three())],
            )?,
            pooled(net, x, out)?,
        ])
    })
}

/// To half the size.
fn inception_b(net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
    joined(net, name, x, |net| {
        let convs = [
            ("branch3x3dbl_1", point(64)),
            ("branch3x3dbl_2", BasicConv::same(96, [3, 3])),
            ("branch3x3dbl_3", BasicConv::valid(96, 3, 2)),
        ];
        Ok(vec![
            BasicConv::valid(384, 3, 2).build(net, "branch3x3", x)?,
            chain(net, x, &convs)?,
            max_pool(net, "branch_pool", x, [3, 2, 0], false)?,
        ])
    })
}

/// Filters of 7x7 as 1x7 and 7x1, once and twice, with `mid` channels in between.
fn inception_c(net: &mut Net, name: &str, x: ValueId, mid: usize) -> Result<ValueId> {
    let wide = |out| BasicConv::same(out, [1, 7]);
    let high = |out| BasicConv::same(out, [7, 1]);
    joined(net, name, x, |net| {
        let once = [("branch7x7_1", point(mid)), ("branch7x7_2", wide(mid)), ("branch7x7_3", high(192))];
        let twice = [
            ("branch7x7dbl_1", point(mid)),
            ("branch7x7dbl_2", high(mid)),
            ("branch7x7dbl_3", wide(mid)),
            ("branch7x7dbl_4", high(mid)),
            ("branch7x7dbl_5", wide(192)),
        ];
        Ok(vec![
            point(192).build(net, "branch1x1", x)?,
            chain(net, x, &once)?,
            chain(net, x, &twice)?,
            pooled(net, x, 192)?,
        ])
    })
}

/// To half the size, with filters of 7x7.
fn inception_d(net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
    joined(net, name, x, |net| {
        let small = [("branch3x3_1", point(192)), ("branch3x3_2", BasicConv::valid(320, 3, 2))];
        let large = [
            ("branch7x7x3_1", point(192)),
            ("branch7x7x3_2", BasicConv::same(192, [1, 7])),
            ("branch7x7x3_3", BasicConv::same(192, [7, 1])),
            ("branch7x7x3_4", BasicConv::valid(192, 3, 2)),
        ];
        Ok(vec![
            chain(net, x, &small)?,
            chain(net, x, &large)?,
            max_pool(net, "branch_pool", x, [3, 2, 0], false)?,
        ])
    })
}

/// Filters of 1x3 and 3x1 side by side.
fn inception_e(net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
    let wide = || BasicConv::same(384, [1, 3]);
    let high = || BasicConv::same(384, [3, 1]);
    joined(net, name, x, |net| {
        let one = point(320).build(net, "branch1x1", x)?;
        let y = point(384).build(net, "branch3x3_1", x)?;
        let small = [wide().build(net, "branch3x3_2a", y)?, high().build(net, "branch3x3_2b", y)?];
        let double = [("branch3x3dbl_1", point(448)), ("branch3x3dbl_2", BasicConv::same(384, [3, 3]))];
        let y = chain(net, x, &double)?;
        let large = [wide().build(net, "branch3x3dbl_3a", y)?, high().build(net, "branch3x3dbl_3b", y)?];
        let last = pooled(net, x, 192)?;
        Ok([&[one], &small[..], &large[..], &[last]].concat())
    })
}

impl InceptionV3 {
    /// Parameters of the auxiliary classifier.
    fn auxiliary(&self, net: &mut Net) -> Result<()> {
        let init = |std| Init::TruncNormal { mean: 0.0, std, bounds: [-2.0, 2.0] };
        unread_conv(net, "AuxLogits.conv0", [768, 128, 1], init(0.01))?;
        unread_conv(net, "AuxLogits.conv1", [128, 768, 5], init(0.01))?;
        unread_linear(net, "AuxLogits.fc", [768, self.config.num_classes], init(0.001))
    }

    fn layers(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let y = BasicConv::valid(32, 3, 2).build(net, "Conv2d_1a_3x3", x)?;
        let y = BasicConv::valid(32, 3, 1).build(net, "Conv2d_2a_3x3", y)?;
        let y = BasicConv::same(64, [3, 3]).build(net, "Conv2d_2b_3x3", y)?;
        let y = max_pool(net, "maxpool1", y, [3, 2, 0], false)?;
        let y = point(80).build(net, "Conv2d_3b_1x1", y)?;
        let y = BasicConv::valid(192, 3, 1).build(net, "Conv2d_4a_3x3", y)?;
        let y = max_pool(net, "maxpool2", y, [3, 2, 0], false)?;
        let y = inception_a(net, "Mixed_5b", y, 32)?;
        let y = inception_a(net, "Mixed_5c", y, 64)?;
        let y = inception_a(net, "Mixed_5d", y, 64)?;
        let y = inception_b(net, "Mixed_6a", y)?;
        let y = inception_c(net, "Mixed_6b", y, 128)?;
        let y = inception_c(net, "Mixed_6c", y, 160)?;
        let y = inception_c(net, "Mixed_6d", y, 160)?;
        let y = inception_c(net, "Mixed_6e", y, 192)?;
        if self.config.aux_logits {
            self.auxiliary(net)?;
        }
        let y = inception_d(net, "Mixed_7a", y)?;
        let y = inception_e(net, "Mixed_7b", y)?;
        let y = inception_e(net, "Mixed_7c", y)?;
        let y = net.layer("avgpool", &[y], |net| Ok(net.this(GlobalAvgPool, &[y])?))?;
        let y = net.dropout("dropout", y, self.config.dropout, DropUnit::Element)?;
        let y = net.op("flatten", Flatten { axis: 1 }, &[y])?;
        net.linear("fc", y, [LAST, self.config.num_classes], 0.01)
    }
}

impl Backbone for InceptionV3 {
    fn in_channels(&self) -> usize {
        3
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| Ok(vec![self.layers(net, x)?]))
    }
}
