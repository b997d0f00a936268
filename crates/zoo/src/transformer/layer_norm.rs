//! Layer normalization.

use occam_graph::ops::LayerNorm;
use occam_graph::{Role, ValueId};
use serde::Deserialize;

use super::features;
use crate::{Init, Net, Result};

/// `norm_cfg` of transformers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LayerNormCfg {
    #[serde(rename = "type")]
    _kind: Kind,
    #[serde(default = "yes")]
    /// Whether its weight and bias learn.
    requires_grad: bool,
    /// Added to the variance.
    #[serde(default = "small")]
    eps: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Kind {
    #[serde(rename = "LN")]
    LayerNorm,
}

fn yes() -> bool {
    true
}
fn small() -> f64 {
    1e-5
}

impl LayerNormCfg {
    /// `dict(type='LN', eps=..)`
    pub fn with_eps(eps: f64) -> Self {
        Self { _kind: Kind::LayerNorm, requires_grad: true, eps }
    }

    /// Adds the module `name`.
    ///
    /// # Errors
    /// The number of features is not known.
    pub fn build(&self, net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
        let features = [features(net, x)?];
        net.layer(name, &[x], |net| {
            let [weight, bias] = net.fixed(!self.requires_grad, |net| {
                Ok([
                    net.parameter("weight", &features, Role::Weight, Init::Constant(1.0))?,
                    net.parameter("bias", &features, Role::Weight, Init::Constant(0.0))?,
                ])
            })?;
            net.note_layer(&["LayerNorm", "Module"], &features, true);
            Ok(net.this(LayerNorm { eps: self.eps }, &[x, weight, bias])?)
        })
    }
}
