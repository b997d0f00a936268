//! MNASNet.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Binary, Conv, DropUnit, Flatten, GlobalAvgPool};
use serde::Deserialize;

use super::Backbone;
use super::res_block::square;
use crate::error::refuse;
use crate::init_cfg::{InitCfg, Rules};
use crate::width::make_divisible;
use crate::{Net, NormCfg, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    alpha: f64,
    #[serde(default = "thousand")]
    num_classes: i64,
    #[serde(default = "fifth")]
    dropout: f64,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn thousand() -> i64 {
    1000
}
fn fifth() -> f64 {
    0.2
}

/// `MNASNet` (Tan et al., 2019, arXiv:1807.11626), the variant B1: inverted residuals without squeeze and excitation.
///
/// mmcls has no such network: component, arguments and parameter names are torchvision's.
///
/// | key | default | |
/// |---|---|---|
/// | `alpha` | | factor of all widths but the last; torchvision has weights for 0.5, 0.75, 1.0 and 1.3 |
/// | `num_classes` | 1000 | a linear layer of the means of all channels gives the scores; where below 1, the last features are returned |
/// | `dropout` | 0.2 | share of the means left out before that layer in training |
/// | `init_cfg` | `Kaiming` for convolutions, `Constant` 1 for norms, `Kaiming`, uniform by `fan_out` with gain 1, for linear layers | |
///
/// Norm layers give a batch a weight of 0.0003 in their running statistics.
///
/// Parameters: `layers.0`, `layers.1`, .., `layers.8.0.layers.0`, .., `classifier.1`.
pub struct MnasNet {
    alpha: f64,
    /// Outputs of the classifier, where there is one.
    num_classes: Option<usize>,
    dropout: f64,
    rules: Rules,
}

/// A stack of inverted residuals, of which only the first has the stride and no shortcut.
#[derive(Debug, Clone, Copy)]
struct Stack {
    out: usize,
    kernel: usize,
    stride: usize,
    expansion: usize,
    count: usize,
}

const fn stack([out, kernel, stride, expansion, count]: [usize; 5]) -> Stack {
    Stack { out, kernel, stride, expansion, count }
}

const STACKS: [Stack; 6] = [
    stack([24, 3, 2, 3, 3]),
    stack([40, 5, 2, 3, 3]),
    stack([80, 5, 2, 6, 3]),
    stack([96, 3, 1, 6, 2]),
    stack([192, 5, 2, 6, 4]),
    stack([320, 3, 1, 6, 1]),
];

/// Channels of the first and the second convolution, before they are scaled, and of the last.
const ENDS: [usize; 3] = [32, 16, 1280];

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    let config: Config = value.parse()?;
    if !(config.alpha > 0.0 && config.alpha <= 100.0) {
        return Ok(refuse(format!("alpha={} must be above 0 and at most 100", config.alpha))?);
    }
    let rules = config.init_cfg.rules(|| Rules::backbone().and_uniform_fan_out(&["Linear"]))?;
    Ok(Box::new(MnasNet {
        alpha: config.alpha,
        num_classes: usize::try_from(config.num_classes).ok().filter(|&n| n > 0),
        dropout: config.dropout,
        rules,
    }))
}

/// A convolution with its norm layer and, where `active`, ReLU: modules `place`, `place + 1` and `place + 2`.
fn convolved(
    net: &mut Net,
    place: usize,
    x: ValueId,
    [out, kernel]: [usize; 2],
    conv: Conv,
    active: bool,
) -> Result<ValueId> {
    let norm = NormCfg { momentum: 1.0 - 0.9997, ..NormCfg::default() };
    let y = net.conv2d(&place.to_string(), x, out, kernel, conv)?;
    let y = net.norm(&(place + 1).to_string(), y, &norm, 1.0)?;
    if active { net.relu(&(place + 2).to_string(), y) } else { Ok(y) }
}

fn inverted_residual(net: &mut Net, x: ValueId, block: Stack) -> Result<ValueId> {
    let Stack { out, kernel, stride, expansion, .. } = block;
    let channels = net.channels(x)?;
    let mid = channels.saturating_mul(expansion);
    let y = net.layer("layers", &[x], |net| {
        let y = convolved(net, 0, x, [mid, 1], square(1, 0, 1), true)?;
        let each = Conv { groups: mid, ..square(stride, kernel / 2, 1) };
        let y = convolved(net, 3, y, [mid, kernel], each, true)?;
        convolved(net, 6, y, [out, 1], square(1, 0, 1), false)
    })?;
    if stride != 1 || channels != out {
        return Ok(y);
    }
    Ok(net.op("add", Binary::Add, &[y, x])?)
}

impl MnasNet {
    fn width(&self, channels: usize) -> usize {
        make_divisible(channels as f64 * self.alpha, 8)
    }

    fn layers(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let [first, second, last] = ENDS;
        let (first, second) = (self.width(first), self.width(second));
        net.layer("layers", &[x], |net| {
            let y = convolved(net, 0, x, [first, 3], square(2, 1, 1), true)?;
            let y = convolved(net, 3, y, [first, 3], Conv { groups: first, ..square(1, 1, 1) }, true)?;
            let mut y = convolved(net, 6, y, [second, 1], square(1, 0, 1), false)?;
            for (i, stack) in STACKS.into_iter().enumerate() {
                let from = y;
                y = net.layer(&(8 + i).to_string(), &[from], |net| {
                    (0..stack.count).try_fold(from, |y, j| {
                        let stride = if j == 0 { stack.stride } else { 1 };
                        let block = Stack { out: self.width(stack.out), stride, ..stack };
                        net.layer(&j.to_string(), &[y], |net| inverted_residual(net, y, block))
                    })
                })?;
            }
            convolved(net, 8 + STACKS.len(), y, [last, 1], square(1, 0, 1), true)
        })
    }
}

impl Backbone for MnasNet {
    fn in_channels(&self) -> usize {
        3
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| {
            let y = self.layers(net, x)?;
            let Some(classes) = self.num_classes else { return Ok(vec![y]) };
            let y = net.op("pool", GlobalAvgPool, &[y])?;
            let y = net.op("flatten", Flatten { axis: 1 }, &[y])?;
            let scores = net.layer("classifier", &[y], |net| {
                let y = net.dropout("0", y, self.dropout, DropUnit::Element)?;
                net.linear("1", y, [ENDS[2], classes], 0.01)
            })?;
            Ok(vec![scores])
        })
    }
}
