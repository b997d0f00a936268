//! Global average pooling.

use occam_config::{Registry, Value};
use occam_graph::ValueId;
use occam_graph::ops::{Flatten, GlobalAvgPool};
use serde::Deserialize;

use super::Neck;
use crate::error::refuse;
use crate::{Net, Result};

/// Mean over all spatial positions: every `[N, C, H, W]` becomes `[N, C]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GlobalAveragePooling {
    /// Number of spatial axes; only 2 so far.
    pub dim: usize,
}

impl Default for GlobalAveragePooling {
    fn default() -> Self {
        Self { dim: 2 }
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Neck>, occam_config::Error> {
    let neck: GlobalAveragePooling = value.parse()?;
    if neck.dim != 2 {
        return Err(occam_config::Error::new("GlobalAveragePooling: only `dim=2` is supported"));
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
                let pooled = net.layer("gap", &[x], |net| Ok(net.this(GlobalAvgPool, &[x])?))?;
                Ok(net.op("flatten", Flatten { axis: 1 }, &[pooled])?)
            })
            .collect()
    }
}
