//! Layers that work on each token by itself.

use occam_graph::ValueId;
use occam_graph::ops::{Activation, Binary};

use super::{features, linear};
use crate::drop::{Drop, drop};
use crate::{Init, Net, Result};

/// mmcv's `FFN`: `count` linear layers, all but the last to `width` features and with activation; the last leads back, and
/// `shortcut` is added.
#[derive(Debug, Clone, Copy)]
pub(super) struct FeedForward {
    pub width: usize,
    /// At least 2.
    pub count: usize,
    pub act: Activation,
    /// Probability that an element counts as 0, after every layer.
    pub drop: f64,
    /// Probability that a training example skips the layers.
    pub drop_path: f64,
}

impl FeedForward {
    /// Adds the module `ffn`.
    pub fn build(&self, net: &mut Net, x: ValueId, shortcut: ValueId) -> Result<ValueId> {
        let outer = features(net, x)?;
        let layer = |net: &mut Net, name: &str, x: ValueId, to: usize| {
            let from = features(net, x)?;
            // Glorot and Bengio, 2010.
            let bound = (6.0 / (from.saturating_add(to)).max(1) as f64).sqrt();
            linear(
                net,
                name,
                x,
                to,
                Init::Uniform { bounds: [-bound, bound] },
                Some(Init::Normal { std: 1e-6 }),
            )
        };
        let last = self.count.saturating_sub(1);
        net.layer("ffn", &[x, shortcut], |net| {
            let y = net.layer("layers", &[x], |net| {
                let mut y = x;
                for i in 0..last {
                    let from = y;
                    y = net.layer(&i.to_string(), &[from], |net| {
                        let y = layer(net, "0", from, self.width)?;
                        let y = net.layer("1", &[y], |net| Ok(net.this(self.act, &[y])?))?;
                        drop(net, "2", y, Drop::Elements, self.drop)
                    })?;
                }
                let y = layer(net, &last.to_string(), y, outer)?;
                drop(net, &(last + 1).to_string(), y, Drop::Elements, self.drop)
            })?;
            let y = drop(net, "dropout_layer", y, Drop::Paths, self.drop_path)?;
            Ok(net.op("add", Binary::Add, &[shortcut, y])?)
        })
    }
}
