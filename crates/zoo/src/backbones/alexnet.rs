//! AlexNet.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{DropUnit, Flatten};
use serde::Deserialize;

use super::Backbone;
use super::max_pool::max_pool;
use super::res_block::square;
use crate::init_cfg::Rules;
use crate::{Init, Net, Result};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "minus_one")]
    num_classes: i64,
}

fn minus_one() -> i64 {
    -1
}

/// `AlexNet` (Krizhevsky, 2014, arXiv:1404.5997): five convolutions, three poolings and, where scores are wanted, three
/// linear layers.
///
/// | key | default | |
/// |---|---|---|
/// | `num_classes` | -1 | where above 0, linear layers with dropout classify images of 224x224 pixels; else the last features are returned |
///
/// Convolutions and linear layers are first uniform in ±1 / √fan_in. Parameters take mmcls' names, which are torchvision's
/// too: `features.0`, `features.3`, .., `classifier.1`, `classifier.4`, `classifier.6`.
pub struct AlexNet {
    /// Outputs of the classifier, where there is one.
    num_classes: Option<usize>,
}

/// Channels, taps, stride and padding of a convolution, and whether a pooling follows.
const LAYERS: [([usize; 4], bool); 5] = [
    ([64, 11, 4, 2], true),
    ([192, 5, 1, 2], true),
    ([384, 3, 1, 1], false),
    ([256, 3, 1, 1], false),
    ([256, 3, 1, 1], true),
];

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, occam_config::Error> {
    let config: Config = value.parse()?;
    let num_classes = usize::try_from(config.num_classes).ok().filter(|&n| n > 0);
    Ok(Box::new(AlexNet { num_classes }))
}

impl AlexNet {
    fn features(net: &mut Net, x: ValueId) -> Result<ValueId> {
        net.layer("features", &[x], |net| {
            let (mut y, mut place) = (x, 0);
            for ([out, kernel, stride, padding], pooled) in LAYERS {
                let conv = square(stride, padding, 1);
                y = net.conv2d_with(&place.to_string(), y, [out, kernel], conv, true, Init::Constant(0.0))?;
                y = net.relu(&(place + 1).to_string(), y)?;
                place += 2;
                if pooled {
                    y = max_pool(net, &place.to_string(), y, [3, 2, 0], false)?;
                    place += 1;
                }
            }
            Ok(y)
        })
    }

    /// Scores of 6x6 features.
    fn classifier(net: &mut Net, x: ValueId, num_classes: usize) -> Result<ValueId> {
        const SIZES: [usize; 3] = [256 * 6 * 6, 4096, 4096];
        let x = net.op("flatten", Flatten { axis: 1 }, &[x])?;
        net.layer("classifier", &[x], |net| {
            let y = net.dropout("0", x, 0.5, DropUnit::Element)?;
            let y = net.linear("1", y, [SIZES[0], SIZES[1]], 0.01)?;
            let y = net.relu("2", y)?;
            let y = net.dropout("3", y, 0.5, DropUnit::Element)?;
            let y = net.linear("4", y, [SIZES[1], SIZES[2]], 0.01)?;
            let y = net.relu("5", y)?;
            net.linear("6", y, [SIZES[2], num_classes], 0.01)
        })
    }
}

impl Backbone for AlexNet {
    fn in_channels(&self) -> usize {
        3
    }

    fn build(&self, net: &mut Net, x: ValueId) -> Result<Vec<ValueId>> {
        net.ruled(&Rules::none(), |net| {
            let y = Self::features(net, x)?;
            Ok(vec![match self.num_classes {
                Some(classes) => Self::classifier(net, y, classes)?,
                None => y,
            }])
        })
    }
}
