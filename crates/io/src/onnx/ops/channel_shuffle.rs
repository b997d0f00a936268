//! `Reshape`, `Transpose`, `Reshape`.

use occam_graph::ops::ChannelShuffle;
use occam_graph::{Array, Dim};

use super::OnnxForm;
use crate::Result;
use crate::onnx::proto::AttributeProto;
use crate::onnx::site::Site;
use crate::onnx::to_i64;

impl OnnxForm for ChannelShuffle {
    /// In between, all axes behind the channels are one: `[N, groups, C / groups, ..]`. In the shape of a `Reshape`, 0
    /// keeps an axis and −1 takes what is left.
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let (x, fact) = at.input(0)?;
        let Some(channels) = fact.shape.get(1).and_then(Dim::known) else {
            return Err(at.refused(format!("the channels of {fact} are not known")));
        };
        let spatial: Option<Vec<usize>> = fact.shape.iter().skip(2).map(Dim::known).collect();
        let x = x.to_owned();
        let split = vec![0, to_i64(self.groups)?, to_i64(channels / self.groups.max(1))?, -1];
        let split = at.constant("groups", &Array::from_i64([4], split)?)?;
        let y = at.before("split", "Reshape", &[&x, &split], []);
        let y = at.before("transpose", "Transpose", &[&y], [AttributeProto::ints("perm", [0, 2, 1, 3])]);
        let shape = match spatial {
            Some(spatial) => {
                let mut shape = vec![0, to_i64(channels)?];
                for d in spatial {
                    shape.push(to_i64(d)?);
                }
                at.constant("shape", &Array::from_i64([shape.len()], shape)?)?
            }
            // Two sizes that only a run knows: a `Reshape` finds out one.
            None => at.before("shape", "Shape", &[&x], []),
        };
        at.last("Reshape", &[&y, &shape], []);
        Ok(())
    }
}
