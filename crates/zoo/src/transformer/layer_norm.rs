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
        layer_norm(net, name, x, self.requires_grad, self.eps, &["LayerNorm", "Module"])
    }
}

/// `norm_cfg` of networks that norm the channels of images: mmcls' `LN2d`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LayerNorm2dCfg {
    #[serde(rename = "type")]
    _kind: ImageKind,
    /// Whether its weight and bias learn.
    #[serde(default = "yes")]
    requires_grad: bool,
    /// Added to the variance.
    #[serde(default = "small")]
    eps: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum ImageKind {
    #[serde(rename = "LN2d")]
    LayerNorm2d,
}

impl LayerNorm2dCfg {
    /// `dict(type='LN2d', eps=1e-6)`
    pub fn small_eps() -> Self {
        Self { _kind: ImageKind::LayerNorm2d, requires_grad: true, eps: 1e-6 }
    }

    /// Adds the module `name`; channels are the last axis of `x`.
    ///
    /// # Errors
    /// The number of channels is not known.
    pub fn build(&self, net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
        layer_norm(net, name, x, self.requires_grad, self.eps, &["LayerNorm2d", "LayerNorm"])
    }
}

/// The module `name`, of these classes, over the last axis.
fn layer_norm(
    net: &mut Net,
    name: &str,
    x: ValueId,
    learns: bool,
    eps: f64,
    classes: &'static [&'static str],
) -> Result<ValueId> {
    let features = [features(net, x)?];
    net.layer(name, &[x], |net| {
        let [weight, bias] = net.fixed(!learns, |net| {
            Ok([
                net.parameter("weight", &features, Role::Weight, Init::Constant(1.0))?,
                net.parameter("bias", &features, Role::Weight, Init::Constant(0.0))?,
            ])
        })?;
        net.note_layer(classes, &features, true);
        Ok(net.this(LayerNorm { eps }, &[x, weight, bias])?)
    })
}
