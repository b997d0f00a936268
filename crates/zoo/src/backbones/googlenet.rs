//! GoogLeNet.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{DropUnit, Flatten, GlobalAvgPool};
use serde::Deserialize;

use super::Backbone;
use super::basic_conv::{BasicConv, joined, sequence, unread_conv, unread_linear};
use super::max_pool::max_pool;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::{Init, Net, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "thousand")]
    num_classes: i64,
    #[serde(default = "yes")]
    aux_logits: bool,
    #[serde(default)]
    transform_input: bool,
    #[serde(default = "fifth")]
    dropout: f64,
    /// Of the auxiliary classifiers, which compute nothing here.
    #[serde(default, rename = "dropout_aux")]
    _dropout_aux: Option<f64>,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn thousand() -> i64 {
    1000
}
fn yes() -> bool {
    true
}
fn fifth() -> f64 {
    0.2
}

/// `GoogLeNet` (Szegedy et al., 2015, arXiv:1409.4842), with batch normalization: modules of four branches side by side,
/// whose channels are joined.
///
/// mmcls has no such network: component, arguments and parameter names are torchvision's. As there, the third branch has
/// 3x3 taps where the paper has 5x5: the trained weights are such.
///
/// | key | default | |
/// |---|---|---|
/// | `num_classes` | 1000 | a linear layer of the means of all channels gives the scores; where below 1, the last features are returned |
/// | `aux_logits` | True | whether there are the parameters of two auxiliary classifiers, `aux1` and `aux2` |
/// | `dropout` | 0.2 | share of the means left out before the linear layer in training |
/// | `init_cfg` | `TruncNormal` with deviation 0.01 for convolutions and linear layers, `Constant` 1 for norms | |
///
/// The auxiliary classifiers serve a loss that heads do not have: their parameters are loaded and saved, and nothing is
/// computed from them, in training neither; `dropout_aux` is accepted and has no effect. `transform_input=True` is refused:
/// it turns images that are normalized for ImageNet into such of mean 127.5 and deviation 127.5 in all channels, which the
/// `data_preprocessor` can do itself.
///
/// Parameters: `conv1.conv`, `conv1.bn`, .., `inception3a.branch2.0.conv`, .., `aux1.fc1`, .., `fc`.
pub struct GoogLeNet {
    /// Outputs of the classifiers, where there are any.
    num_classes: Option<usize>,
    aux_logits: bool,
    dropout: f64,
    rules: Rules,
}

/// A part after the first three convolutions.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Name; channels of the first branch, of the two convolutions of the second and of the third, and of the fourth.
    Inception(&'static str, [usize; 6]),
    /// Name, size of the window.
    Pool(&'static str, usize),
}

use Part::{Inception, Pool};

const PARTS: [Part; 11] = [
    Inception("inception3a", [64, 96, 128, 16, 32, 32]),
    Inception("inception3b", [128, 128, 192, 32, 96, 64]),
    Pool("maxpool3", 3),
    Inception("inception4a", [192, 96, 208, 16, 48, 64]),
    Inception("inception4b", [160, 112, 224, 24, 64, 64]),
    Inception("inception4c", [128, 128, 256, 24, 64, 64]),
    Inception("inception4d", [112, 144, 288, 32, 64, 64]),
    Inception("inception4e", [256, 160, 320, 32, 128, 128]),
    Pool("maxpool4", 2),
    Inception("inception5a", [256, 160, 320, 32, 128, 128]),
    Inception("inception5b", [384, 192, 384, 48, 128, 128]),
];

/// Channels of the last features.
const LAST: usize = 1024;

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    let config: Config = value.parse()?;
    if config.transform_input {
        return Ok(refuse(
            "transform_input=True is not supported; give the data_preprocessor mean=[127.5, 127.5, 127.5] and \
             std=[127.5, 127.5, 127.5], which is the same",
        )?);
    }
    let rules = config.init_cfg.rules(|| Rules::none().and_trunc_normal(0.01, &["Conv2d", "Linear"]))?;
    Ok(Box::new(GoogLeNet {
        num_classes: usize::try_from(config.num_classes).ok().filter(|&n| n > 0),
        aux_logits: config.aux_logits,
        dropout: config.dropout,
        rules,
    }))
}

fn inception(net: &mut Net, name: &str, x: ValueId, widths: [usize; 6]) -> Result<ValueId> {
    let [one, reduced3, three, reduced5, five, pooled] = widths;
    let conv = |out, kernel| BasicConv::same(out, [kernel; 2]);
    joined(net, name, x, |net| {
        Ok(vec![
            conv(one, 1).build(net, "branch1", x)?,
            sequence(net, "branch2", x, &[conv(reduced3, 1), conv(three, 3)])?,
            sequence(net, "branch3", x, &[conv(reduced5, 1), conv(five, 3)])?,
            net.layer("branch4", &[x], |net| {
                let y = max_pool(net, "0", x, [3, 1, 1], true)?;
                conv(pooled, 1).build(net, "1", y)
            })?,
        ])
    })
}

/// Parameters of an auxiliary classifier of features with so many `channels`.
fn auxiliary(net: &mut Net, name: &str, channels: usize, classes: usize) -> Result<()> {
    let init = Init::TruncNormal { mean: 0.0, std: 0.01, bounds: [-2.0, 2.0] };
    unread_conv(net, &format!("{name}.conv"), [channels, 128, 1], init)?;
    unread_linear(net, &format!("{name}.fc1"), [2048, 1024], init)?;
    unread_linear(net, &format!("{name}.fc2"), [1024, classes], init)
}

impl Backbone for GoogLeNet {
    fn in_channels(&self) -> usize {
        3
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| {
            let y = BasicConv::padded(64, [7, 2, 3]).build(net, "conv1", x)?;
            let y = max_pool(net, "maxpool1", y, [3, 2, 0], true)?;
            let y = BasicConv::same(64, [1, 1]).build(net, "conv2", y)?;
            let y = BasicConv::same(192, [3, 3]).build(net, "conv3", y)?;
            let y = max_pool(net, "maxpool2", y, [3, 2, 0], true)?;
            let y = PARTS.into_iter().try_fold(y, |y, part| match part {
                Inception(name, widths) => inception(net, name, y, widths),
                Pool(name, kernel) => max_pool(net, name, y, [kernel, 2, 0], true),
            })?;
            let Some(classes) = self.num_classes else { return Ok(vec![y]) };
            if self.aux_logits {
                auxiliary(net, "aux1", 512, classes)?;
                auxiliary(net, "aux2", 528, classes)?;
            }
            let y = net.layer("avgpool", &[y], |net| Ok(net.this(GlobalAvgPool, &[y])?))?;
            let y = net.op("flatten", Flatten { axis: 1 }, &[y])?;
            let y = net.dropout("dropout", y, self.dropout, DropUnit::Element)?;
            Ok(vec![net.linear("fc", y, [LAST, classes], 0.01)?])
        })
    }
}
