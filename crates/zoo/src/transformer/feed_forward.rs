//! Layers that work on each token by itself.

use occam_graph::ValueId;
use occam_graph::ops::{Activation, Binary, DropUnit};

use super::{features, linear, settled_linear};
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
    /// Whether the layers get their first values here, as in mmcls' encoder layers, and not by rules.
    pub settled: bool,
}

impl FeedForward {
    /// Adds the module `ffn`.
    pub fn build(&self, net: &mut Net, x: ValueId, shortcut: ValueId) -> Result<ValueId> {
        let outer = features(net, x)?;
        let layer = |net: &mut Net, name: &str, x: ValueId, to: usize| {
            if !self.settled {
                return linear(net, name, x, to, true);
            }
            let from = features(net, x)?;
            // Glorot and Bengio, 2010; mmcls' encoder layers fill these themselves.
            let bound = (6.0 / (from.saturating_add(to)).max(1) as f64).sqrt();
            let inits = [Init::Uniform { bounds: [-bound, bound] }, Init::Normal { std: 1e-6 }];
            settled_linear(net, name, x, to, inits)
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
                        net.dropout("2", y, self.drop, DropUnit::Element)
                    })?;
                }
                let y = layer(net, &last.to_string(), y, outer)?;
                net.dropout(&(last + 1).to_string(), y, self.drop, DropUnit::Element)
            })?;
            let y = net.dropout("dropout_layer", y, self.drop_path, DropUnit::Sample)?;
            Ok(net.op("add", Binary::Add, &[shortcut, y])?)
        })
    }
}
