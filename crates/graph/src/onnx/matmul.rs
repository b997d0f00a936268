//! Products of matrices.

use super::{Def, Site};
use crate::axes::{input, output};
use crate::ops::broadcast;
use crate::{AxisMap, Bindings, DType, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("MatMul", |s| matmul(s, 1, None)).axes(|s, _| matmul_axes(s, 1)).macs(matmul_macs),
    Def::new("MatMulInteger", |s| matmul(s, 1, Some(DType::I32)))
        .axes(|s, _| matmul_axes(s, 1))
        .macs(matmul_macs),
    Def::new("QLinearMatMul", |s| matmul(s, 3, Some(s.fact(7)?.dtype)))
        .axes(|s, _| matmul_axes(s, 3))
        .macs(matmul_macs),
    Def::new("Gemm", gemm).axes(gemm_axes).macs(gemm_macs),
];

/// `a [.., M, K]` and `b [.., K, O]` give `[.., M, O]`; a vector is a matrix whose axis is not in the result.
fn matmul(site: &Site<'_>, second: usize, dtype: Option<DType>) -> Result<Vec<Inferred>> {
    let (a, b) = (site.fact(0)?, site.fact(second)?);
    let misfit = || Error::Op(format!("{a} and {b} do not fit"));
    let (Some(k), rank) = (a.shape.last(), b.rank()) else { return Err(misfit()) };
    let other = b.shape.get(rank.saturating_sub(2)).ok_or_else(misfit)?;
    if !k.may_equal(other) || (dtype.is_none() && a.dtype != b.dtype) {
        return Err(misfit());
    }
    let batch = |f: &Fact| f.shape.iter().rev().skip(2).cloned().collect::<Vec<Dim>>();
    let (of_a, of_b) = (batch(a), batch(b));
    let mut shape = Vec::new();
    for i in 0..of_a.len().max(of_b.len()) {
        let one = Dim::Known(1);
        let (x, y) = (of_a.get(i).unwrap_or(&one), of_b.get(i).unwrap_or(&one));
        shape.push(broadcast(x, y).ok_or_else(misfit)?);
    }
    shape.reverse();
    if a.rank() > 1 {
        shape.extend(a.shape.get(a.rank() - 2).cloned());
    }
    if rank > 1 {
        shape.extend(b.shape.last().cloned());
    }
    Ok(vec![Inferred::new(dtype.unwrap_or(a.dtype), shape)])
}

fn matmul_axes(site: &Site<'_>, second: usize) -> AxisMap {
    let mut map = AxisMap::default();
    let (Ok(a), Ok(b)) = (site.fact(0), site.fact(second)) else { return map };
    let (ra, rb) = (a.rank(), b.rank());
    let b_at = site.op.position(second).unwrap_or(second);
    if ra == 0 || rb == 0 {
        return map;
    }
    map = map.same(input(0, ra - 1), input(b_at, rb.saturating_sub(2)));
    let batch = ra.saturating_sub(2).max(rb.saturating_sub(2));
    for (at, f, r) in [(0, a, ra), (b_at, b, rb)] {
        for i in 0..r.saturating_sub(2) {
            if f.shape.get(i) != Some(&Dim::Known(1)) {
                map = map.same(input(at, i), output(0, batch + i + 2 - r));
            }
        }
    }
    if ra > 1 {
        map = map.same(input(0, ra - 2), output(0, batch));
    }
    if rb > 1 {
        map = map.same(input(b_at, rb - 1), output(0, batch + usize::from(ra > 1)));
    }
    map
}

/// `numel(y) · K`
fn matmul_macs(site: &Site<'_>, outputs: &[&Fact], bindings: &Bindings) -> Result<u64> {
    let (Some(out), Some(k)) = (outputs.first(), site.fact(0)?.shape.last()) else { return Ok(0) };
    Ok(out.numel(bindings)?.saturating_mul(k.eval(bindings)? as u64))
}

/// Rows and columns of a matrix, transposed where the attribute says so.
fn matrix<'a>(site: &Site<'a>, index: usize, transposed: &str) -> Result<(&'a Dim, &'a Dim)> {
    let f = site.fact(index)?;
    match f.shape.as_slice() {
        [r, c] if site.op.flag(transposed)? => Ok((c, r)),
        [r, c] => Ok((r, c)),
        _ => Err(Error::Op(format!("input {index} must be a matrix, found {f}"))),
    }
}

/// `alpha · a' · b' + beta · c`, `[M, O]`.
fn gemm(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let ((m, k), (other, o)) = (matrix(site, 0, "transA")?, matrix(site, 1, "transB")?);
    let (a, b) = (site.fact(0)?, site.fact(1)?);
    if !k.may_equal(other) || a.dtype != b.dtype {
        return Err(Error::Op(format!("{a} and {b} do not fit")));
    }
    if let Some(c) = site.get(2).map(|c| c.fact) {
        let fits = c.rank() <= 2
            && c.shape.iter().rev().zip([o, m]).all(|(d, of)| *d == Dim::Known(1) || d.may_equal(of));
        if !fits {
            return Err(Error::Op(format!("{c} cannot be added to [{m}, {o}]")));
        }
    }
    Ok(vec![Inferred::new(a.dtype, [m.clone(), o.clone()])])
}

fn gemm_axes(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let flag = |name| site.op.flag(name).unwrap_or(false);
    let (ta, tb) = (usize::from(flag("transA")), usize::from(flag("transB")));
    let mut map = AxisMap::default()
        .same(input(0, ta), output(0, 0))
        .same(input(0, 1 - ta), input(1, tb))
        .same(input(1, 1 - tb), output(0, 1));
    if let (Some(c), Some(at)) = (site.get(2), site.op.position(2)) {
        let rank = c.fact.rank();
        for (i, d) in c.fact.shape.iter().enumerate() {
            if *d != Dim::Known(1) && rank <= 2 {
                map = map.same(input(at, i), output(0, i + 2 - rank));
            }
        }
    }
    map
}

fn gemm_macs(site: &Site<'_>, outputs: &[&Fact], bindings: &Bindings) -> Result<u64> {
    let (Some(out), (_, k)) = (outputs.first(), matrix(site, 0, "transA")?) else { return Ok(0) };
    Ok(out.numel(bindings)?.saturating_mul(k.eval(bindings)? as u64))
}

#[cfg(test)]
mod tests {
    use super::super::Onnx;
    use super::*;
    use crate::ops::OpFamily;

    #[test]
    fn batches_broadcast() {
        let n = Dim::symbol("N");
        let cases = [
            (Fact::f32([n.clone(), 3.into(), 4.into()]), Fact::f32([4usize, 5]), "f32[N, 3, 5]"),
            (Fact::f32([4usize]), Fact::f32([n.clone(), 4.into(), 5.into()]), "f32[N, 5]"),
            (Fact::f32([n, 1.into(), 3.into(), 4.into()]), Fact::f32([6usize, 4, 5]), "f32[N, 6, 3, 5]"),
            (Fact::f32([4usize]), Fact::f32([4usize]), "f32[]"),
        ];
        for (a, b, wanted) in cases {
            assert_eq!(Onnx::new("MatMul", 13, 2).infer(&[&a, &b]).unwrap()[0].to_string(), wanted);
        }
        let (a, b) = (Fact::f32([2usize, 3]), Fact::f32([2usize, 3]));
        assert!(Onnx::new("MatMul", 13, 2).infer(&[&a, &b]).unwrap_err().to_string().contains("do not fit"));
    }
}
