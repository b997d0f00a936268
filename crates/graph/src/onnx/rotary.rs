//! Rotary position embedding (Su et al., 2021, arXiv:2104.09864).

use super::{Def, Onnx, Site};
use crate::axes::{input, output};
use crate::{AxisMap, Error, Inferred, Result};

pub(super) const TABLE: &[Def] =
    &[Def::new("RotaryEmbedding", rotary).axes(|_, _| AxisMap::default().same(input(0, 0), output(0, 0)))];

/// Sizes of an operand of `RotaryEmbedding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotary {
    /// Images, sequences or samples.
    pub batch: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Length of a sequence.
    pub length: usize,
    /// Elements of a head.
    pub size: usize,
    /// How many of them are rotated, in pairs.
    pub rotated: usize,
}

impl Rotary {
    /// Sizes of an operand of this shape: `[batch, heads, length, size]` or `[batch, length, heads · size]`.
    ///
    /// # Errors
    /// The shape has another rank, or does not fit the attributes.
    pub fn of(op: &Onnx, shape: &[usize]) -> Result<Self> {
        let misfit = || Error::Op(format!("takes 4 axes, or 3 and `num_heads`, found {shape:?}"));
        let (batch, heads, length, size) = match *shape {
            [batch, heads, length, size] => (batch, heads, length, size),
            [batch, length, hidden] => {
                let heads = op.size("num_heads")?.filter(|&n| n > 0).ok_or_else(misfit)?;
                if !hidden.is_multiple_of(heads) {
                    return Err(misfit());
                }
                (batch, heads, length, hidden / heads)
            }
            _ => return Err(misfit()),
        };
        let rotated = op.size("rotary_embedding_dim")?.filter(|&n| n > 0).unwrap_or(size);
        if rotated > size || !rotated.is_multiple_of(2) {
            return Err(Error::Op(format!("{rotated} of {size} elements cannot be rotated in pairs")));
        }
        Ok(Self { batch, heads, length, size, rotated })
    }
}

/// The shape and type of operand 0; the cosines and sines have its type, `[positions, half]` where positions are given and
/// `[batch, length, half]` where not.
fn rotary(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, cosines, sines) = (site.fact(0)?, site.fact(1)?, site.fact(2)?);
    if !x.dtype.is_float() || !matches!(x.rank(), 3 | 4) {
        return Err(Error::Op(format!("takes floats with 3 or 4 axes, found {x}")));
    }
    let rank = if site.get(3).is_some() { 2 } else { 3 };
    for cache in [cosines, sines] {
        if cache.dtype != x.dtype || cache.rank() != rank {
            let wanted = format!("cosines and sines of type {} with {rank} axes", x.dtype);
            return Err(Error::Op(format!("takes {wanted}, found {cache}")));
        }
    }
    if let Some(shape) = x.known_shape() {
        Rotary::of(site.op, &shape)?;
    }
    Ok(vec![x.clone().into()])
}
