//! Global average pooling.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Flatten, GlobalAvgPool};
use serde::Deserialize;

use super::Neck;
use crate::error::refuse;
use crate::{Net, Result};

/// Mean over all spatial positions: every `[N, C, ..]` becomes `[N, C]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GlobalAveragePooling {
    /// Number of spatial axes: 1, 2 or 3. 2 by default.
    pub dim: usize,
}

impl Default for GlobalAveragePooling {
    fn default() -> Self {
        Self { dim: 2 }
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Neck>, occam_config::Error> {
    let neck: GlobalAveragePooling = value.parse()?;
    if !(1..=3).contains(&neck.dim) {
        return Err(occam_config::Error::new(format!(
            "GlobalAveragePooling: dim={} must be 1, 2 or 3",
            neck.dim
        )));
    }
    Ok(Box::new(neck))
}

impl Neck for GlobalAveragePooling {
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<ValueId>> {
        if features.is_empty() {
            return refuse("GlobalAveragePooling needs at least one feature map");
        }
        features
            .iter()
            .map(|&x| {
                let fact = net.fact(x)?;
                if fact.rank() != self.dim + 2 {
                    return refuse(format!("GlobalAveragePooling: dim={} does not fit {fact}", self.dim));
                }
                let pooled = net.layer("gap", &[x], |net| Ok(net.this(GlobalAvgPool, &[x])?))?;
                Ok(net.op("flatten", Flatten { axis: 1 }, &[pooled])?)
            })
            .collect()
    }
}
