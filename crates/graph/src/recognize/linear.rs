//! Linear layers and products of matrices.

use super::Edit;
use super::view::{Found, View};
use crate::ops::{Linear, MatMul};
use crate::{Array, Data, Fact, Result, ValueId};

/// `Gemm` and `MatMul` with a parameter, with the `Add` of a bias, are linear layers; a `MatMul` of two computed values stays
/// a product.
pub(super) fn pass(view: &View<'_>, edit: &mut Edit<'_>) -> Result<()> {
    for found in view.all(&["Gemm"]) {
        let (Some(x), Some(w)) = (found.input(0), found.input(1)) else { continue };
        let one = |name: &str| -> Result<bool> { Ok(found.op.float(name)?.unwrap_or(1.0) == 1.0) };
        let bias = found.input(2);
        let features = view.fact(w).and_then(Fact::known_shape);
        let transposed = found.op.flag("transB")?;
        let Some([rows, columns]) = features.and_then(|f| <[usize; 2]>::try_from(f).ok()) else { continue };
        let outputs = if transposed { rows } else { columns };
        let vector = bias.is_none_or(|b| {
            view.fact(b).and_then(Fact::known_shape).is_some_and(|s| s == [outputs]) && view.is_f32(b)
        });
        let plain = one("alpha")? && (bias.is_none() || one("beta")?) && !found.op.flag("transA")?;
        if !plain || !vector || !view.is_f32(x) || view.fact(x).is_none_or(|f| f.rank() != 2) {
            continue;
        }
        let inputs = &found.node.inputs;
        if transposed || transpose(view, edit, w, &found, inputs)? {
            edit.replace_with(view, &found, Linear, inputs)?;
        }
    }
    for found in view.all(&["MatMul"]) {
        let (Some(a), Some(b)) = (found.input(0), found.input(1)) else { continue };
        if !view.is_f32(a) || !view.is_f32(b) {
            continue;
        }
        let ranks = (view.fact(a).map_or(0, Fact::rank), view.fact(b).map_or(0, Fact::rank));
        let is_param = view.graph.value(b)?.role().is_some();
        if is_param && ranks.1 == 2 && ranks.0 >= 2 {
            match bias(view, &found, b) {
                Some((add, bias)) => {
                    if transpose(view, edit, b, &add, &[a, b, bias])? {
                        edit.replace_with(view, &add, Linear, &[a, b, bias])?;
                        // It would read the weight as it lay before.
                        edit.patch.remove(found.id);
                        edit.report.written_out.push(("Linear", add.node.name.clone()));
                    }
                }
                None => {
                    if transpose(view, edit, b, &found, &[a, b])? {
                        edit.replace_with(view, &found, Linear, &[a, b])?;
                    }
                }
            }
        } else if ranks.0 == ranks.1 && ranks.0 >= 2 {
            edit.replace_with(view, &found, MatMul { transpose_b: false }, &[a, b])?;
        }
    }
    Ok(())
}

/// Side of the squares that [`flipped`] goes by: two of them lie in the fastest cache.
const SIDE: usize = 32;

/// A matrix `[rows, columns]` as `[columns, rows]`.
fn flipped(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; data.len()];
    for row in (0..rows).step_by(SIDE) {
        for column in (0..columns).step_by(SIDE) {
            for c in column..columns.min(column + SIDE) {
                for r in row..rows.min(row + SIDE) {
                    if let (Some(to), Some(&x)) = (out.get_mut(c * rows + r), data.get(r * columns + c)) {
                        *to = x;
                    }
                }
            }
        }
    }
    out
}

/// The only reader of a product with the weight `w`, where it adds a bias.
fn bias<'a>(view: &View<'a>, found: &Found<'_>, w: ValueId) -> Option<(Found<'a>, ValueId)> {
    let product = found.output()?;
    let add = view.only_reader(product, "Add")?;
    let bias = view.other(&add, product)?;
    let outputs = view.fact(w)?.shape.get(1)?.known()?;
    let fits = view.fact(bias)?.known_shape()? == [outputs] && view.is_f32(bias);
    let value = view.graph.value(bias).ok()?;
    (fits && (value.role().is_some() || value.constant().is_some())).then_some((add, bias))
}

/// Makes a weight `[I, O]` lie as `[O, I]`; whether it can: it is a parameter that nothing else reads and the graph does not
/// return, and `found` can be a linear layer of `inputs` then.
fn transpose(
    view: &View<'_>,
    edit: &mut Edit<'_>,
    w: ValueId,
    found: &Found<'_>,
    inputs: &[ValueId],
) -> Result<bool> {
    let value = view.graph.value(w)?;
    if value.role().is_none() || view.uses(w) != 1 {
        return Ok(false);
    }
    let Some(array) = edit.weights.get(&value.name) else { return Ok(false) };
    let (&[rows, columns], Data::F32(data)) = (array.shape(), array.data()) else { return Ok(false) };
    let fact = Fact::f32([columns, rows]);
    if !edit.fits(view, found, &Linear.into(), inputs, Some((w, &fact)))? {
        return Ok(false);
    }
    let flipped = flipped(data, rows, columns);
    edit.facts.push((w, fact));
    edit.weights.insert(value.name.clone(), Array::from_f32([columns, rows], flipped)?);
    Ok(true)
}

#[cfg(test)]
mod tests {
    #[test]
    fn matrices_are_flipped_square_by_square() {
        let (rows, columns) = (37, 70);
        let data: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let out = super::flipped(&data, rows, columns);
        assert!((0..rows).all(|r| (0..columns).all(|c| out[c * rows + r] == data[r * columns + c])));
        assert_eq!(super::flipped(&[], 0, 3), Vec::<f32>::new());
    }
}
