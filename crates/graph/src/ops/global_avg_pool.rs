//! Global average pooling.

use super::{OpFamily, check_inputs};
use crate::axes::{input, output};
use crate::{AxisMap, Dim, Error, Fact, Result};

/// Mean over all spatial axes: `[N, C, ..]` to `[N, C, 1, ..]`, as `torch.nn.AdaptiveAvgPool2d(1)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalAvgPool;

impl OpFamily for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "GlobalAvgPool"
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        let Some(&x) = inputs.first() else { return Ok(Vec::new()) };
        if x.rank() < 3 {
            return Err(Error::Op(format!("input must have a spatial axis, found {x}")));
        }
        let shape =
            x.shape.iter().enumerate().map(|(i, d)| if i < 2 { d.clone() } else { Dim::Known(1) }).collect();
        Ok(vec![Fact { dtype: x.dtype, shape }])
    }

    fn axes(&self, _: &[&Fact], _: &[&Fact]) -> AxisMap {
        AxisMap::default().same(input(0, 0), output(0, 0)).same(input(0, 1), output(0, 1))
    }
}
