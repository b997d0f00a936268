//! Generalized-mean pooling.

use occam_config::{Registry, Value};
use occam_graph::ops::{Flatten, GemPool};
use occam_graph::{Role, ValueId};
use serde::Deserialize;

use super::Neck;
use crate::error::refuse;
use crate::{Init, Net, Result};

/// A power mean over all spatial positions: every `[N, C, H, W]` becomes `[N, C]`; see [`GemPool`].
///
/// | key | default | |
/// |---|---|---|
/// | `p` | 3 | the power, of at least 1; the parameter `p`, which all inputs share |
/// | `p_trainable` | True | whether it learns |
/// | `eps` | 1e-6 | smaller features count as this |
/// | `clamp` | True | only True: powers of negative numbers are no numbers |
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneralizedMeanPooling {
    /// First value of the power.
    pub p: f64,
    /// Least feature.
    pub eps: f64,
    /// Whether smaller features count as the least.
    pub clamp: bool,
    /// Whether the power learns.
    pub p_trainable: bool,
}

impl Default for GeneralizedMeanPooling {
    fn default() -> Self {
        Self { p: 3.0, eps: 1e-6, clamp: true, p_trainable: true }
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Neck>, occam_config::Error> {
    let neck: GeneralizedMeanPooling = value.parse()?;
    if neck.p.is_nan() || neck.p < 1.0 {
        return Err(occam_config::Error::new(format!(
            "GeneralizedMeanPooling: p={} must be at least 1",
            neck.p
        )));
    }
    if !neck.clamp {
        return Err(occam_config::Error::new("GeneralizedMeanPooling: only `clamp=True` is supported"));
    }
    Ok(Box::new(neck))
}

impl Neck for GeneralizedMeanPooling {
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<ValueId>> {
        if features.is_empty() {
            return refuse("GeneralizedMeanPooling needs at least one feature map");
        }
        let p = net.fixed(!self.p_trainable, |net| {
            net.parameter("p", &[1], Role::Weight, Init::Constant(self.p as f32))
        })?;
        features
            .iter()
            .map(|&x| {
                let pooled = net.op("gem", GemPool { eps: self.eps }, &[x, p])?;
                Ok(net.op("flatten", Flatten { axis: 1 }, &[pooled])?)
            })
            .collect()
    }
}
