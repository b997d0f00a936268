//! The largest elements, and those that differ.

use std::cmp::Ordering;

use occam_graph::onnx::axis_of;
use occam_graph::{Array, Data};

use super::gather::taken;
use super::shape::axis;
use super::{Eval, Operands};
use crate::error::refuse;
use crate::moves::{at, size};
use crate::numbers::{Element, each_type};
use crate::view::count;
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[Eval::new("TopK", top_k), Eval::new("Unique", unique)];

/// Numbers in order; what is no number comes last, equal to its like.
fn compare<T: Element>(a: &T, b: &T) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| a.to_f64().is_nan().cmp(&b.to_f64().is_nan()))
}

/// Of elements that are equal the first are taken.
fn top_k(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let axis = axis(c, -1, x.shape().len())?;
    let k = match c.op.int("k")? {
        Some(k) => k,
        None => c.int(1)?.ok_or_else(|| Error::Op("its number of elements is missing".into()))?,
    };
    let k = size(k)?;
    let largest = c.op.int("largest")?.unwrap_or(1) != 0;
    let mut shape = x.shape().to_vec();
    let Some(d) = shape.get_mut(axis) else { return refuse("a scalar has no axes") };
    let n = std::mem::replace(d, k);
    if k > n {
        return refuse(format!("it asks for {k} of {n} elements"));
    }
    let total = count(&shape)?;
    let inner: usize = shape.iter().skip(axis + 1).product();
    let outer: usize = shape.iter().take(axis).product();
    fn pick<T: Element>(v: &[T], n: usize, largest: bool, place: impl Fn(usize) -> usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| match (v.get(place(a)), v.get(place(b))) {
            (Some(x), Some(y)) if largest => compare(y, x),
            (Some(x), Some(y)) => compare(x, y),
            _ => Ordering::Equal,
        });
        order
    }
    let mut positions = vec![0usize; total];
    let mut indices = vec![0i64; total];
    for o in 0..outer {
        for i in 0..inner {
            let place = |j: usize| (o * n + j) * inner + i;
            let order = each_type!(x, v => pick(v, n, largest, place));
            for (rank, &j) in order.iter().take(k).enumerate() {
                let to = (o * k + rank) * inner + i;
                if let (Some(p), Some(index)) = (positions.get_mut(to), indices.get_mut(to)) {
                    *p = place(j);
                    *index = j as i64;
                }
            }
        }
    }
    Ok(vec![at(x, &shape, &positions)?, Array::new(shape, Data::I64(indices))?])
}

/// Slices along an axis (elements of all, without one) that differ, in ascending order or that of their first places.
fn unique(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let sorted = c.op.int("sorted")?.unwrap_or(1) != 0;
    let (x, axis) = match c.op.int("axis")? {
        Some(axis) => (x.clone(), axis_of(axis, x.shape().len())?),
        None => (x.reshape([x.len()])?, 0),
    };
    let mut shape = x.shape().to_vec();
    let Some(&n) = shape.get(axis) else { return refuse("a scalar has no axes") };
    let inner: usize = shape.iter().skip(axis + 1).product();
    let outer: usize = shape.iter().take(axis).product();
    fn order_of<T: Element>(v: &[T], [outer, n, inner]: [usize; 3], a: usize, b: usize) -> Ordering {
        let run =
            |o: usize, i: usize| v.get((o * n + i) * inner..(o * n + i + 1) * inner).unwrap_or_default();
        let pairs = (0..outer).flat_map(|o| run(o, a).iter().zip(run(o, b)));
        pairs.map(|(x, y)| compare(x, y)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
    let sizes = [outer, n, inner];
    let order = |a: usize, b: usize| each_type!(x, v => order_of(v, sizes, a, b));
    let mut by_value: Vec<usize> = (0..n).collect();
    by_value.sort_by(|&a, &b| order(a, b));
    // Groups of equal slices; sorting is stable, so that the first of a group is its first place.
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for i in by_value {
        match groups.last_mut() {
            Some(group) if group.first().is_some_and(|&g| order(g, i).is_eq()) => group.push(i),
            _ => groups.push(vec![i]),
        }
    }
    if !sorted {
        groups.sort_by_key(|g| g.first().copied());
    }
    let firsts: Vec<usize> = groups.iter().filter_map(|g| g.first().copied()).collect();
    let mut inverse = vec![0i64; n];
    for (k, group) in groups.iter().enumerate() {
        for &i in group {
            if let Some(to) = inverse.get_mut(i) {
                *to = k as i64;
            }
        }
    }
    if let Some(d) = shape.get_mut(axis) {
        *d = firsts.len();
    }
    let list = |v: Vec<i64>| Array::from_i64([v.len()], v);
    Ok(vec![
        taken(&x, axis, &firsts, &shape)?,
        list(firsts.iter().map(|&i| i as i64).collect())?,
        list(inverse)?,
        list(groups.iter().map(|g| g.len() as i64).collect())?,
    ])
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;
    use crate::evaluate;

    #[test]
    fn of_equal_elements_the_first() {
        let x = Array::from_f32([4], vec![1.0, 3.0, 3.0, 2.0]).unwrap();
        let op = Onnx { outputs: vec![true, true], ..Onnx::new("TopK", 9, 1) };
        let run = |k: i64| evaluate(&op.clone().with("k", Attribute::Int(k)), std::slice::from_ref(&x));
        assert_eq!(run(3).unwrap()[1].as_i64().unwrap(), [1, 2, 3]);
        assert!(run(5).is_err());
        assert!(run(-1).is_err());
    }

    #[test]
    fn unique_in_order_of_places() {
        let x = Array::from_i64([6], vec![2, 1, 1, 3, 4, 3]).unwrap();
        let op = Onnx { outputs: vec![true; 4], ..Onnx::new("Unique", 11, 1) };
        let all = evaluate(&op.with("sorted", Attribute::Int(0)), &[x]).unwrap();
        let found: Vec<&[i64]> = all.iter().map(|a| a.as_i64().unwrap()).collect();
        assert_eq!(found, [&[2, 1, 3, 4][..], &[0, 1, 3, 4], &[0, 1, 1, 2, 3, 2], &[1, 2, 2, 1]]);
    }
}
