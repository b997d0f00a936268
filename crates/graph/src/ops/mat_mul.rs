//! Products of matrices.

use super::{OpFamily, check_inputs};
use crate::axes::{input, output};
use crate::{AxisMap, Bindings, Cost, Error, Fact, Result};

/// `a · b` of the last two axes, for every index of the axes before them, which both inputs share.
///
/// Inputs: `a [.., M, K]` and `b [.., K, O]`, or `b [.., O, K]` where `transpose_b` is set. Output `[.., M, O]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatMul {
    /// Whether `b` lies transposed.
    pub transpose_b: bool,
}

impl MatMul {
    /// The axes of `b` that are summed over and that are kept, for inputs of `rank`.
    fn axes_of_b(self, rank: usize) -> (usize, usize) {
        let (last, before) = (rank.saturating_sub(1), rank.saturating_sub(2));
        if self.transpose_b { (last, before) } else { (before, last) }
    }
}

impl OpFamily for MatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        if self.transpose_b { vec![("transpose_b", "true".into())] } else { Vec::new() }
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 2..=2)?;
        let &[a, b] = inputs else { return Ok(Vec::new()) };
        let misfit = || Error::Op(format!("{a} and {b} do not fit"));
        let rank = a.rank();
        if rank < 2 || b.rank() != rank || a.dtype != b.dtype {
            return Err(misfit());
        }
        let (summed, kept) = self.axes_of_b(rank);
        let mut out = a.clone();
        for (i, d) in out.shape.iter_mut().enumerate() {
            let other = match i {
                i if i == rank - 1 => b.shape.get(summed),
                i if i == rank - 2 => continue,
                i => b.shape.get(i),
            };
            let Some(other) = other.filter(|o| o.may_equal(d)) else { return Err(misfit()) };
            match b.shape.get(kept) {
                Some(o) if i == rank - 1 => *d = o.clone(),
                _ if d.known().is_none() => *d = other.clone(),
                _ => {}
            }
        }
        Ok(vec![out])
    }

    fn axes(&self, inputs: &[&Fact], _: &[&Fact]) -> AxisMap {
        let rank = inputs.first().map_or(0, |a| a.rank());
        let (summed, kept) = self.axes_of_b(rank);
        let (last, before) = (rank.saturating_sub(1), rank.saturating_sub(2));
        (0..before)
            .fold(AxisMap::default(), |m, i| {
                m.same(input(0, i), output(0, i)).same(input(1, i), output(0, i))
            })
            .same(input(0, before), output(0, before))
            .same(input(0, last), input(1, summed))
            .same(input(1, kept), output(0, last))
    }

    /// `numel(y) · K` multiply-accumulates.
    fn cost(&self, inputs: &[&Fact], outputs: &[&Fact], bindings: &Bindings) -> Result<Cost> {
        let mut cost = Cost::memory(outputs, bindings)?;
        if let Some(summed) = inputs.first().and_then(|a| a.shape.last()) {
            cost.macs = cost.activations.saturating_mul(summed.eval(bindings)? as u64);
        }
        Ok(cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dim;

    fn heads(rows: usize, columns: usize) -> Fact {
        Fact::f32([Dim::symbol("N"), 3.into(), rows.into(), columns.into()])
    }

    #[test]
    fn scores_of_attention() {
        let (q, k) = (heads(5, 8), heads(7, 8));
        let op = MatMul { transpose_b: true };
        let out = op.infer(&[&q, &k]).unwrap();
        assert_eq!(out[0].to_string(), "f32[N, 3, 5, 7]");
        let cost = op.cost(&[&q, &k], &[&out[0]], &Bindings::from([("N".into(), 2)])).unwrap();
        assert_eq!(cost.macs, 2 * 3 * 5 * 7 * 8);
        let map = op.axes(&[&q, &k], &[&out[0]]);
        assert!(map.links.iter().any(|l| (l.a, l.b) == (input(0, 3), input(1, 3))));
        assert!(map.links.iter().any(|l| (l.a, l.b) == (input(1, 2), output(0, 3))));
        let op = MatMul { transpose_b: false };
        assert_eq!(op.infer(&[&out[0], &heads(7, 8)]).unwrap()[0], heads(5, 8));
    }

    #[test]
    fn misfits_are_named() {
        let op = MatMul { transpose_b: false };
        for (a, b) in [(heads(5, 8), heads(7, 8)), (heads(5, 8), Fact::f32([8usize, 5]))] {
            let error = op.infer(&[&a, &b]).unwrap_err().to_string();
            assert!(error.contains("do not fit"), "{error}");
        }
        let vector = Fact::f32([8usize]);
        assert!(op.infer(&[&vector, &vector]).is_err());
    }
}
