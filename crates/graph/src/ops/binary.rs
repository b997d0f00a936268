//! Arithmetic on two values, element by element.

use super::{OpFamily, check_inputs};
use crate::axes::{input, output};
use crate::{AxisMap, Dim, Error, Fact, Result};

/// An operation on two values, with broadcasting from the last axis as in NumPy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a · b`
    Mul,
}

/// Size of an output axis, or none where the two do not broadcast.
pub(crate) fn broadcast(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a, b) {
        (Dim::Known(1), d) | (d, Dim::Known(1)) => Some(d.clone()),
        (a, b) if a == b => Some(a.clone()),
        (Dim::Known(_), Dim::Known(_)) => None,
        (Dim::Known(n), _) | (_, Dim::Known(n)) => Some(Dim::Known(*n)),
        (a, _) => Some(a.clone()),
    }
}

impl OpFamily for Binary {
    fn name(&self) -> &'static str {
        match self {
            Binary::Add => "Add",
            Binary::Mul => "Mul",
        }
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 2..=2)?;
        let &[a, b] = inputs else { return Ok(Vec::new()) };
        if a.dtype != b.dtype {
            return Err(Error::Op(format!("{a} and {b} have different types")));
        }
        let rank = a.rank().max(b.rank());
        let one = Dim::Known(1);
        let at = |f: &Fact, i: usize| {
            (i + f.rank()).checked_sub(rank).and_then(|i| f.shape.get(i)).unwrap_or(&one).clone()
        };
        let shape = (0..rank)
            .map(|i| broadcast(&at(a, i), &at(b, i)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::Op(format!("{a} and {b} do not broadcast")))?;
        Ok(vec![Fact { dtype: a.dtype, shape }])
    }

    /// An axis of an input that is broadcast (size 1 against more) has no link.
    fn axes(&self, inputs: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        let mut map = AxisMap::default();
        let Some(out) = outputs.first() else { return map };
        for (k, f) in inputs.iter().enumerate() {
            for (i, d) in f.shape.iter().enumerate() {
                let o = i + out.rank() - f.rank();
                let stretched = *d == Dim::Known(1) && out.shape.get(o) != Some(d);
                if !stretched {
                    map = map.same(input(k, i), output(0, o));
                }
            }
        }
        map
    }
}
