//! Sums of products by letters for axes, of one and two operands.

use super::{Call, Run, one};
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] = &[("Einsum", einsum)];

/// The letters of the operands and of the result; none where one has a letter twice, or an ellipsis.
fn parse(equation: &str) -> Option<(Vec<Vec<char>>, Vec<char>)> {
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let operands: Vec<Vec<char>> = left.split(',').map(|o| o.chars().collect()).collect();
    let all: Vec<char> = operands.iter().flatten().copied().collect();
    let result = match right {
        Some(letters) => letters.chars().collect(),
        None => {
            let mut once: Vec<char> =
                all.iter().copied().filter(|c| all.iter().filter(|d| *d == c).count() == 1).collect();
            once.sort_unstable();
            once
        }
    };
    let twice = |v: &[char]| v.iter().enumerate().any(|(i, c)| v.iter().take(i).any(|d| d == c));
    let fits = all.iter().chain(&result).all(|c| c.is_ascii_alphabetic())
        && !operands.iter().any(|o| twice(o))
        && !twice(&result)
        && result.iter().all(|c| all.contains(c));
    fits.then_some((operands, result))
}

/// `x` with the axes that `kept` refuses summed away, and its letters.
fn summed(x: &Tensor, letters: &[char], kept: impl Fn(&char) -> bool) -> Result<(Tensor, Vec<char>)> {
    let mut y = x.clone();
    for (axis, letter) in letters.iter().enumerate() {
        if !kept(letter) {
            y = y.sum_axis(axis)?;
        }
    }
    let left: Vec<char> = letters.iter().copied().filter(&kept).collect();
    let shape: Vec<usize> =
        y.shape().into_iter().zip(letters).filter(|(_, c)| kept(c)).map(|(d, _)| d).collect();
    Ok((y.reshape(&shape)?, left))
}

/// The axes in the order of `to`.
fn ordered(x: &Tensor, letters: &[char], to: &[char]) -> Result<Tensor> {
    let perm: Vec<usize> = to.iter().filter_map(|c| letters.iter().position(|d| d == c)).collect();
    if perm.iter().copied().eq(0..perm.len()) { Ok(x.clone()) } else { x.permute(&perm) }
}

fn einsum(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let Some((operands, result)) = parse(c.op.text("equation")?.unwrap_or_default()) else { return Ok(None) };
    let tensors = (0..c.len()).map(|i| c.tensor(i)).collect::<Result<Vec<_>>>()?;
    if tensors.len() != operands.len() || tensors.iter().zip(&operands).any(|(t, o)| t.rank() != o.len()) {
        return Ok(None);
    }
    match (tensors.as_slice(), operands.as_slice()) {
        ([x], [letters]) => {
            let (y, left) = summed(x, letters, |l| result.contains(l))?;
            one(ordered(&y, &left, &result)?)
        }
        ([a, b], [left, right]) => {
            let (a, left) = summed(a, left, |l| result.contains(l) || right.contains(l))?;
            let (b, right) = summed(b, right, |l| result.contains(l) || left.contains(l))?;
            let of = |f: &dyn Fn(&char) -> bool, v: &[char]| -> Vec<char> {
                v.iter().copied().filter(|l| f(l)).collect()
            };
            let batch = of(&|l| right.contains(l) && result.contains(l), &left);
            let inner = of(&|l| right.contains(l) && !result.contains(l), &left);
            let rows = of(&|l| !right.contains(l), &left);
            let columns = of(&|l| !left.contains(l), &right);
            let size = |x: &Tensor, letters: &[char], v: &[char]| -> Vec<usize> {
                let shape = x.shape();
                let at = |l: &char| letters.iter().position(|d| d == l).and_then(|i| shape.get(i)).copied();
                v.iter().map(|l| at(l).unwrap_or(1)).collect()
            };
            let (batches, row_sizes) = (size(&a, &left, &batch), size(&a, &left, &rows));
            let (inners, column_sizes) = (size(&a, &left, &inner), size(&b, &right, &columns));
            if size(&b, &right, &batch) != batches || size(&b, &right, &inner) != inners {
                return Ok(None);
            }
            let count = |v: &[usize]| v.iter().product::<usize>();
            let (n, m) = (count(&batches), count(&row_sizes));
            let (k, w) = (count(&inners), count(&column_sizes));
            let a = ordered(&a, &left, &[batch.clone(), rows.clone(), inner.clone()].concat())?;
            let b = ordered(&b, &right, &[batch.clone(), inner, columns.clone()].concat())?;
            let y = a.reshape(&[n, m, k])?.matmul(&b.reshape(&[n, k, w])?)?;
            let y = y.reshape(&[batches, row_sizes, column_sizes].concat())?;
            one(ordered(&y, &[batch, rows, columns].concat(), &result)?)
        }
        _ => Ok(None),
    }
}
