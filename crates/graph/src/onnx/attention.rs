//! Scaled dot-product attention (Vaswani et al., 2017, arXiv:1706.03762).

use super::{Def, Site};
use crate::axes::{input, output};
use crate::{AxisMap, Bindings, DType, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[Def::new("Attention", attention)
    .axes(|_, _| AxisMap::default().same(input(0, 0), output(0, 0)))
    .macs(macs)];

/// Sizes of queries, keys or values: `[batch, heads, length, size]`, or `[batch, length, heads · size]` with attribute `heads`.
fn heads(site: &Site<'_>, index: usize, attribute: &str) -> Result<[Dim; 4]> {
    let fact = site.fact(index)?;
    if !fact.dtype.is_float() {
        return Err(Error::Op(format!("input {index} must hold floats, found {fact}")));
    }
    match fact.shape.as_slice() {
        [n, h, l, d] => Ok([n.clone(), h.clone(), l.clone(), d.clone()]),
        [n, l, hidden] => {
            let count = site.op.size(attribute)?.filter(|&n| n > 0);
            let count =
                count.ok_or_else(|| Error::Op(format!("attribute `{attribute}` must be 1 or more")))?;
            if hidden.known().is_some_and(|h| h % count != 0) {
                return Err(Error::Op(format!("{hidden} elements do not make {count} heads")));
            }
            Ok([n.clone(), Dim::Known(count), l.clone(), hidden.floor_div(count)?])
        }
        _ => Err(Error::Op(format!("input {index} must have 3 or 4 axes, found {fact}"))),
    }
}

/// Queries, keys and values with the length of all keys, those of the past included.
fn operands(site: &Site<'_>) -> Result<([Dim; 4], [Dim; 4], [Dim; 4])> {
    let q = heads(site, 0, "q_num_heads")?;
    let mut k = heads(site, 1, "kv_num_heads")?;
    let mut v = heads(site, 2, "kv_num_heads")?;
    for (i, of) in [(4, &mut k), (5, &mut v)] {
        let Some(past) = site.get(i).map(|p| p.fact) else { continue };
        match past.shape.as_slice() {
            [_, _, length, _] => of[2] = length.plus(&of[2])?,
            _ => return Err(Error::Op(format!("the past must have 4 axes, found {past}"))),
        }
    }
    if !q[3].may_equal(&k[3]) || !k[1].may_equal(&v[1]) || !k[2].may_equal(&v[2]) {
        let facts = [site.fact(0)?, site.fact(1)?, site.fact(2)?].map(ToString::to_string);
        return Err(Error::Op(format!("queries, keys and values do not fit: {}", facts.join(", "))));
    }
    Ok((q, k, v))
}

/// The result, keys and values with those of the past, and products of queries and keys.
fn attention(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let ([n, h, l, _], k, v) = operands(site)?;
    let x = site.fact(0)?;
    let fact = |dtype: DType, shape: Vec<Dim>| Inferred::from(Fact { dtype, shape });
    let scores = vec![n.clone(), h.clone(), l.clone(), k[2].clone()];
    let y = if x.rank() == 3 { vec![n, l, h.times(&v[3])?] } else { vec![n, h, l, v[3].clone()] };
    Ok(vec![
        fact(x.dtype, y),
        fact(site.fact(1)?.dtype, k.to_vec()),
        fact(site.fact(2)?.dtype, v.to_vec()),
        fact(x.dtype, scores),
    ])
}

/// Products of queries and keys, and of their softmax and values.
fn macs(site: &Site<'_>, _: &[&Fact], bindings: &Bindings) -> Result<u64> {
    let ([n, h, l, d], k, v) = operands(site)?;
    let at = |d: &Dim| Ok::<_, Error>(d.eval(bindings)? as u64);
    let scores =
        [&n, &h, &l, &k[2]].into_iter().try_fold(1u64, |p, d| Ok::<_, Error>(p.saturating_mul(at(d)?)))?;
    Ok(scores.saturating_mul(at(&d)?.saturating_add(at(&v[3])?)))
}

#[cfg(test)]
mod tests {
    use super::super::{Attribute, Onnx};
    use super::*;
    use crate::ops::OpFamily;

    #[test]
    fn heads_may_lie_in_one_axis() {
        let op = Onnx::new("Attention", 23, 3);
        let (q, k, v) =
            (Fact::f32([2usize, 6, 5, 8]), Fact::f32([2usize, 3, 7, 8]), Fact::f32([2usize, 3, 7, 10]));
        let y = op.infer(&[&q, &k, &v]).unwrap();
        assert_eq!(y[0].to_string(), "f32[2, 6, 5, 10]");
        assert_eq!(op.cost(&[&q, &k, &v], &[&y[0]], &Bindings::new()).unwrap().macs, 2 * 6 * 5 * 7 * 18);
        let flat = op.with("q_num_heads", Attribute::Int(6)).with("kv_num_heads", Attribute::Int(3));
        let (q, k, v) = (Fact::f32([2usize, 5, 48]), Fact::f32([2usize, 7, 24]), Fact::f32([2usize, 7, 30]));
        assert_eq!(flat.infer(&[&q, &k, &v]).unwrap()[0].to_string(), "f32[2, 5, 60]");
        let wrong = Fact::f32([2usize, 7, 27]);
        assert!(flat.infer(&[&q, &wrong, &v]).unwrap_err().to_string().contains("do not fit"));
    }
}
