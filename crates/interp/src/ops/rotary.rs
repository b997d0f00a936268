//! Rotary position embedding.

use occam_graph::Array;
use occam_graph::onnx::rotary::Rotary;

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::moves::position;
use crate::numbers::{from_f64, to_f64};

pub(super) const TABLE: &[Eval] = &[Eval::new("RotaryEmbedding", rotary)];

/// Turns pairs `(a, b)` of each head's elements by the angle of their position: `(a·cos − b·sin, a·sin + b·cos)`. A pair
/// is an element of the first half with that of the second, or two neighbours (`interleaved`); elements behind
/// `rotary_embedding_dim` stay.
fn rotary(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, cosines, sines) = (c.array(0)?, c.array(1)?, c.array(2)?);
    let Rotary { batch, heads, length, size, rotated } = Rotary::of(c.op, x.shape())?;
    let half = rotated / 2;
    let rows: Vec<usize> = match c.get(3) {
        Some(places) if places.shape() != [batch, length] => {
            return refuse(format!("positions of shape [{batch}, {length}] wanted, found {places:?}"));
        }
        Some(_) => {
            let count = cosines.shape().first().copied().unwrap_or(0);
            let places = c.ints(3)?.unwrap_or_default();
            places.into_iter().map(|p| position(p, count)).collect::<Result<_>>()?
        }
        None => (0..batch * length).collect(),
    };
    // Angles behind those of the rotated elements are not read.
    let width = cosines.shape().last().copied().unwrap_or(0);
    let all = match (c.get(3), cosines.shape()) {
        (Some(_), &[_, _]) => true,
        (None, shape) => *shape == [batch, length, width],
        _ => false,
    };
    if !all || width < half || cosines.shape() != sines.shape() {
        return refuse(format!("{cosines:?} and {sines:?} do not hold {half} angles a position of {x:?}"));
    }
    let (cos, sin) = (to_f64(cosines), to_f64(sines));
    let mut y = to_f64(x);
    let interleaved = c.op.flag("interleaved")?;
    // With 3 axes the heads of a position lie side by side, with 4 the positions of a head.
    let flat = x.shape().len() == 3;
    for (i, head) in y.chunks_mut(size.max(1)).enumerate() {
        let place =
            if flat { i / heads.max(1) } else { i / (heads * length).max(1) * length + i % length.max(1) };
        let row = rows.get(place).copied().unwrap_or(0) * width;
        for k in 0..half {
            let (a, b) = if interleaved { (2 * k, 2 * k + 1) } else { (k, k + half) };
            if let (Some(&u), Some(&v), Some(cos), Some(sin)) =
                (head.get(a), head.get(b), cos.get(row + k), sin.get(row + k))
            {
                for (at, turned) in [(a, u * cos - v * sin), (b, u * sin + v * cos)] {
                    if let Some(e) = head.get_mut(at) {
                        *e = turned;
                    }
                }
            }
        }
    }
    Ok(vec![from_f64(x.dtype(), x.shape(), &y)?])
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;
    use crate::evaluate;

    fn f(shape: &[usize], v: &[f32]) -> Array {
        Array::from_f32(shape, v.to_vec()).unwrap()
    }

    #[test]
    fn pairs_are_turned() {
        // A quarter and a half turn.
        let (cos, sin) = (f(&[1, 2, 1], &[0.0, -1.0]), f(&[1, 2, 1], &[1.0, 0.0]));
        let x = f(&[1, 1, 2, 3], &[1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
        let op = Onnx::new("RotaryEmbedding", 23, 3).with("rotary_embedding_dim", Attribute::Int(2));
        let y = evaluate(&op, &[x.clone(), cos.clone(), sin.clone()]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [-2.0, 1.0, 5.0, -3.0, -4.0, 6.0]);
        let places = Array::from_i64([1, 2], vec![1, 0]).unwrap();
        let (cos, sin) = (cos.reshape([2, 1]).unwrap(), sin.reshape([2, 1]).unwrap());
        let more = [f(&[1, 2, 2], &[0.0, 9.0, -1.0, 9.0]), f(&[1, 2, 2], &[1.0, 9.0, 0.0, 9.0])];
        let y = evaluate(&op, &[x.clone(), more[0].clone(), more[1].clone()]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [-2.0, 1.0, 5.0, -3.0, -4.0, 6.0]);
        let op = Onnx { inputs: vec![true; 4], ..op };
        let y = evaluate(&op, &[x.clone(), cos.clone(), sin.clone(), places]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [-1.0, -2.0, 5.0, -4.0, 3.0, 6.0]);
        let beyond = Array::from_i64([1, 2], vec![2, 0]).unwrap();
        assert!(evaluate(&op, &[x, cos, sin, beyond]).is_err());
    }

    #[test]
    fn heads_lie_side_by_side_in_three_axes() {
        let (cos, sin) = (f(&[1, 1, 2], &[0.0, 1.0]), f(&[1, 1, 2], &[1.0, 0.0]));
        let x = f(&[1, 1, 8], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let op = Onnx::new("RotaryEmbedding", 23, 3).with("num_heads", Attribute::Int(2));
        let y = evaluate(&op, &[x.clone(), cos.clone(), sin.clone()]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [-3.0, 2.0, 1.0, 4.0, -7.0, 6.0, 5.0, 8.0]);
        let y = evaluate(&op.with("interleaved", Attribute::Int(1)), &[x, cos, sin]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [-2.0, 1.0, 3.0, 4.0, -6.0, 5.0, 7.0, 8.0]);
    }
}
