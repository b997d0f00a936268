//! Scaled dot-product attention.

use occam_graph::onnx::{Attribute, Onnx};
use occam_graph::{Array, DType};

use super::gather::taken;
use super::{Eval, Operands, evaluate};
use crate::error::refuse;
use crate::moves::{concatenated, transposed};
use crate::numbers::{from_f64, to_f64};
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[Eval::new("Attention", attention)];

fn run(op: Onnx, operands: &[Array]) -> Result<Array> {
    evaluate(&op, operands)?.into_iter().next().ok_or_else(|| Error::Op("nothing was computed".into()))
}

/// An operand as `[batch, heads, length, size]`; one of three axes has its heads in the last.
fn split(c: &Operands<'_>, index: usize, attribute: &str) -> Result<Array> {
    let x = c.array(index)?;
    let &[batch, length, hidden] = x.shape() else { return Ok(x.clone()) };
    match c.op.size(attribute)? {
        Some(heads) if heads > 0 && hidden.is_multiple_of(heads) => {
            transposed(&x.reshape([batch, length, heads, hidden / heads])?, &[0, 2, 1, 3])
        }
        other => refuse(format!("the last axis of {x:?} does not make heads, `{attribute}` is {other:?}")),
    }
}

/// `softmax(q · kᵀ · scale + bias) · v`, bias the mask and what `is_causal` leaves out: keys behind the query. A query that sees
/// no key gives zeros.
///
/// Whether `softcap` comes before or after the mask, and which products modes 1 and 2 of `qk_matmul_output_mode` mean, was
/// changed within one version of the operator, so these are refused.
fn attention(c: &Operands<'_>) -> Result<Vec<Array>> {
    let mode = c.op.int("qk_matmul_output_mode")?.unwrap_or(0);
    let wanted = c.op.outputs.get(3) == Some(&true);
    let cap = f64::from(c.op.float("softcap")?.unwrap_or(0.0));
    let (mask, causal) = (c.get(3), c.op.flag("is_causal")?);
    if wanted && !matches!(mode, 0 | 3) {
        return refuse(format!("`qk_matmul_output_mode` {mode} is not supported, only 0 and 3"));
    }
    if cap > 0.0 && mask.is_some() {
        return refuse("`softcap` with a mask is not supported");
    }
    if c.get(6).is_some() {
        return refuse("lengths of keys without padding (input 6) are not supported");
    }
    let (q, mut k, mut v) =
        (split(c, 0, "q_num_heads")?, split(c, 1, "kv_num_heads")?, split(c, 2, "kv_num_heads")?);
    let mut past = 0;
    if let (Some(keys), Some(values)) = (c.get(4), c.get(5)) {
        past = keys.shape().get(2).copied().unwrap_or(0);
        (k, v) = (concatenated(&[keys.clone(), k], 2)?, concatenated(&[values.clone(), v], 2)?);
    }
    let (&[_, heads, length, size], &[_, of_keys, keys, _]) = (q.shape(), k.shape()) else {
        return refuse(format!("four axes wanted, found {q:?} and {k:?}"));
    };
    let dtype = q.dtype();
    let number = |x: f64| from_f64(dtype, &[], &[x]);
    let scale = c.op.float("scale")?.map_or_else(|| 1.0 / (size as f64).sqrt(), f64::from);
    let binary = |name: &str, a: Array, b: Array| run(Onnx::new(name, 14, 2), &[a, b]);
    let product = |a: Array, b: Array| run(Onnx::new("MatMul", 13, 2), &[a, b]);
    let turned = transposed(&repeated(&k, heads, of_keys)?, &[0, 1, 3, 2])?;
    let products = binary("Mul", product(q, turned)?, number(scale)?)?;
    let mut scores = products.clone();
    if cap > 0.0 {
        let small = binary("Div", scores, number(cap)?)?;
        scores = binary("Mul", run(Onnx::new("Tanh", 13, 1), &[small])?, number(cap)?)?;
    }
    if let Some(mask) = mask {
        let bias = match mask.dtype() {
            DType::Bool => {
                run(Onnx::new("Where", 16, 3), &[mask.clone(), number(0.0)?, number(f64::NEG_INFINITY)?])?
            }
            _ => mask.clone(),
        };
        scores = binary("Add", scores, bias)?;
    }
    if causal {
        let hidden =
            |i: usize| if i % keys.max(1) > i / keys.max(1) + past { f64::NEG_INFINITY } else { 0.0 };
        let bias: Vec<f64> = (0..length * keys).map(hidden).collect();
        scores = binary("Add", scores, from_f64(dtype, &[length, keys], &bias)?)?;
    }
    let weights = softmax(c, &scores, keys)?;
    let mut y = product(weights.clone(), repeated(&v, heads, of_keys)?)?;
    if c.array(0)?.shape().len() == 3 {
        let &[batch, _, _, size] = y.shape() else { return refuse(format!("four axes wanted, found {y:?}")) };
        y = transposed(&y, &[0, 2, 1, 3])?.reshape([batch, length, heads * size])?;
    }
    Ok(vec![y, k, v, if mode == 3 { weights } else { products }])
}

/// The softmax of every row of `keys`, in the type that `softmax_precision` names; zeros for a row without a key.
fn softmax(c: &Operands<'_>, scores: &Array, keys: usize) -> Result<Array> {
    let cast = |x: &Array, to: i64| {
        run(Onnx::new("Cast", 13, 1).with("to", Attribute::Int(to)), std::slice::from_ref(x))
    };
    let like = |x: Array| run(Onnx::new("CastLike", 15, 2), &[x, scores.clone()]);
    let rows = to_f64(scores);
    let wide = c.op.int("softmax_precision")?.map_or_else(|| Ok(scores.clone()), |to| cast(scores, to))?;
    let weights = like(run(Onnx::new("Softmax", 13, 1), &[wide])?)?;
    let blind = |row: &[f64]| row.iter().all(|&x| x == f64::NEG_INFINITY);
    if !rows.chunks(keys.max(1)).any(blind) {
        return Ok(weights);
    }
    let mut seen = to_f64(&weights);
    for (weights, row) in seen.chunks_mut(keys.max(1)).zip(rows.chunks(keys.max(1))) {
        if blind(row) {
            weights.fill(0.0);
        }
    }
    from_f64(scores.dtype(), scores.shape(), &seen)
}

/// Keys or values of `own` heads for `heads` of queries: each serves as many neighbours.
fn repeated(x: &Array, heads: usize, own: usize) -> Result<Array> {
    if heads == own {
        return Ok(x.clone());
    }
    if own == 0 || !heads.is_multiple_of(own) {
        return refuse(format!("{own} heads of keys do not serve {heads} of queries"));
    }
    let places: Vec<usize> = (0..heads).map(|h| h / (heads / own)).collect();
    let mut shape = x.shape().to_vec();
    if let Some(n) = shape.get_mut(1) {
        *n = heads;
    }
    taken(x, 1, &places, &shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use occam_graph::Data;

    fn f(shape: &[usize], v: &[f32]) -> Array {
        Array::from_f32(shape, v.to_vec()).unwrap()
    }

    fn near(found: &Array, wanted: &[f32]) {
        for (a, b) in found.as_f32().unwrap().iter().zip(wanted) {
            assert!((a - b).abs() < 1e-5, "{:?}, not {wanted:?}", found.as_f32());
        }
        assert_eq!(found.len(), wanted.len());
    }

    /// Equal scores weigh equally, so results are means of the values that a query sees.
    #[test]
    fn queries_see_what_masks_leave() {
        let q = f(&[1, 2, 2, 1], &[0.0; 4]);
        let (k, v) = (f(&[1, 1, 2, 1], &[1.0, 2.0]), f(&[1, 1, 2, 1], &[4.0, 8.0]));
        let op = Onnx::new("Attention", 23, 3);
        let operands = [q.clone(), k.clone(), v.clone()];
        near(&evaluate(&op, &operands).unwrap()[0], &[6.0, 6.0, 6.0, 6.0]);
        let causal = op.clone().with("is_causal", Attribute::Int(1));
        near(&evaluate(&causal, &operands).unwrap()[0], &[4.0, 6.0, 4.0, 6.0]);
        let mask = Array::new([2, 2], Data::Bool(vec![false, false, false, true])).unwrap();
        let masked = Onnx { inputs: vec![true; 4], ..op.clone() };
        near(&evaluate(&masked, &[q, k.clone(), v.clone(), mask]).unwrap()[0], &[0.0, 8.0, 0.0, 8.0]);
        let flat = [f(&[1, 2, 2], &[0.0; 4]), k.reshape([1, 2, 1]).unwrap(), v.reshape([1, 2, 1]).unwrap()];
        let flat_op = causal.with("q_num_heads", Attribute::Int(2)).with("kv_num_heads", Attribute::Int(1));
        let y = evaluate(&flat_op, &flat).unwrap();
        assert_eq!(y[0].shape(), [1, 2, 2]);
        near(&y[0], &[4.0, 4.0, 6.0, 6.0]);
        let mut scores = op.with("qk_matmul_output_mode", Attribute::Int(1));
        scores.outputs = vec![true, false, false, true];
        assert!(evaluate(&scores, &operands).unwrap_err().to_string().contains("not supported"));
    }

    #[test]
    fn the_past_goes_before() {
        let (q, k, v) = (f(&[1, 1, 1, 1], &[0.0]), f(&[1, 1, 1, 1], &[1.0]), f(&[1, 1, 1, 1], &[6.0]));
        let past = f(&[1, 1, 1, 1], &[2.0]);
        let op = Onnx {
            inputs: vec![true, true, true, false, true, true],
            outputs: vec![true; 3],
            ..Onnx::new("Attention", 23, 3)
        };
        let y = evaluate(&op, &[q, k, v, past.clone(), past]).unwrap();
        near(&y[0], &[4.0]);
        near(&y[1], &[2.0, 1.0]);
        near(&y[2], &[2.0, 6.0]);
    }
}
