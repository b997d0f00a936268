//! SqueezeNet.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Concat, DropUnit, Flatten, GlobalAvgPool};
use serde::Deserialize;

use super::Backbone;
use super::max_pool::max_pool;
use super::res_block::square;
use crate::arch::named;
use crate::init_cfg::{InitCfg, Rules};
use crate::{Init, Net, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "first")]
    version: String,
    #[serde(default = "thousand")]
    num_classes: i64,
    #[serde(default = "half")]
    dropout: f64,
    #[serde(default)]
    init_cfg: InitCfg,
}

fn first() -> String {
    "1_0".into()
}
fn thousand() -> i64 {
    1000
}
fn half() -> f64 {
    0.5
}

/// `SqueezeNet` (Iandola et al., 2016, arXiv:1602.07360): fire modules, which squeeze the channels by a 1x1 convolution and
/// expand them by 1x1 and 3x3 ones side by side.
///
/// mmcls has no such network: component, arguments and parameter names are torchvision's.
///
/// | key | default | |
/// |---|---|---|
/// | `version` | `'1_0'` | or `'1_1'`, which takes less than half the work |
/// | `num_classes` | 1000 | a 1x1 convolution and the mean over all places give the scores; where below 1, the last features are returned |
/// | `dropout` | 0.5 | share of the elements left out before that convolution in training |
/// | `init_cfg` | `Kaiming`, uniform by `fan_in`, for convolutions | the last convolution is normal with deviation 0.01 in any case |
///
/// Parameters: `features.0`, `features.3.squeeze`, `features.3.expand1x1`, `features.3.expand3x3`, .., `classifier.1`.
pub struct SqueezeNet {
    layers: &'static [Layer],
    /// Outputs of the classifier, where there is one.
    num_classes: Option<usize>,
    dropout: f64,
    rules: Rules,
}

/// An entry of `features`.
#[derive(Debug, Clone, Copy)]
enum Layer {
    /// A convolution to so many channels with so many taps, stride 2, and ReLU, which is an entry of its own.
    Stem([usize; 2]),
    /// Pooling over 3x3, stride 2; sizes are rounded up.
    Pool,
    /// Channels to which a fire module squeezes, and which each half of it expands to.
    Fire([usize; 2]),
}

use Layer::{Fire, Pool, Stem};

const VERSIONS: [(&str, &[Layer]); 2] = [
    (
        "1_0",
        &[
            Stem([96, 7]),
            Pool,
            Fire([16, 64]),
            Fire([16, 64]),
            Fire([32, 128]),
            Pool,
            Fire([32, 128]),
            Fire([48, 192]),
            Fire([48, 192]),
            Fire([64, 256]),
            Pool,
            Fire([64, 256]),
        ],
    ),
    (
        "1_1",
        &[
            Stem([64, 3]),
            Pool,
            Fire([16, 64]),
            Fire([16, 64]),
            Pool,
            Fire([32, 128]),
            Fire([32, 128]),
            Pool,
            Fire([48, 192]),
            Fire([48, 192]),
            Fire([64, 256]),
            Fire([64, 256]),
        ],
    ),
];

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    let config: Config = value.parse()?;
    let rules = config.init_cfg.rules(|| Rules::none().and_kaiming_uniform(&["Conv2d"]))?;
    Ok(Box::new(SqueezeNet {
        layers: named(&config.version, &VERSIONS)?,
        num_classes: usize::try_from(config.num_classes).ok().filter(|&n| n > 0),
        dropout: config.dropout,
        rules,
    }))
}

/// A 1x1 or 3x3 convolution with bias and ReLU, under torchvision's names.
fn convolved(net: &mut Net, name: &str, x: ValueId, [out, kernel]: [usize; 2]) -> Result<ValueId> {
    let y = net.conv2d_with(name, x, [out, kernel], square(1, kernel / 2, 1), true, Init::Constant(0.0))?;
    net.relu(&format!("{name}_activation"), y)
}

fn fire(net: &mut Net, name: &str, x: ValueId, [squeezed, expanded]: [usize; 2]) -> Result<ValueId> {
    net.layer(name, &[x], |net| {
        let y = convolved(net, "squeeze", x, [squeezed, 1])?;
        let small = convolved(net, "expand1x1", y, [expanded, 1])?;
        let large = convolved(net, "expand3x3", y, [expanded, 3])?;
        Ok(net.op("concat", Concat { axis: 1 }, &[small, large])?)
    })
}

impl SqueezeNet {
    fn features(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        net.layer("features", &[x], |net| {
            let (mut y, mut place) = (x, 0);
            for layer in self.layers {
                let name = place.to_string();
                place += 1;
                y = match *layer {
                    Stem(sides) => {
                        let y =
                            net.conv2d_with(&name, y, sides, square(2, 0, 1), true, Init::Constant(0.0))?;
                        place += 1;
                        net.relu("1", y)?
                    }
                    Pool => max_pool(net, &name, y, [3, 2, 0], true)?,
                    Fire(widths) => fire(net, &name, y, widths)?,
                };
            }
            Ok(y)
        })
    }

    fn classifier(&self, net: &mut Net, x: ValueId, num_classes: usize) -> Result<ValueId> {
        let y = net.layer("classifier", &[x], |net| {
            let y = net.dropout("0", x, self.dropout, DropUnit::Element)?;
            let init = Init::Normal { std: 0.01 };
            let y =
                net.settled(|net| net.conv2d_with("1", y, [num_classes, 1], square(1, 0, 1), true, init))?;
            let y = net.relu("2", y)?;
            net.layer("3", &[y], |net| Ok(net.this(GlobalAvgPool, &[y])?))
        })?;
        Ok(net.op("flatten", Flatten { axis: 1 }, &[y])?)
    }
}

impl Backbone for SqueezeNet {
    fn in_channels(&self) -> usize {
        3
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&self.rules, |net| {
            let y = self.features(net, x)?;
            Ok(vec![match self.num_classes {
                Some(classes) => self.classifier(net, y, classes)?,
                None => y,
            }])
        })
    }
}
