//! GELU, written out.

use super::Edit;
use super::view::{Found, View, near};
use crate::ops::Activation;
use crate::{Result, ValueId};

/// `x · (erf(x / √2) + 1) / 2`, in any order of the factors, and its approximation
/// `x · (tanh(√(2/π) · (x + 0.044715 · x³)) + 1) / 2`.
pub(super) fn pass(view: &View<'_>, edit: &mut Edit<'_>) -> Result<()> {
    let inner = ["Erf", "Tanh"];
    for found in view.all(&inner) {
        let tanh = found.op.op_type == "Tanh";
        let Some(argument) = found.input(0) else { continue };
        let x = if tanh { cubic(view, argument) } else { root(view, argument) };
        let (Some(x), Some(y)) = (x.filter(|&x| view.is_f32(x)), found.output()) else { continue };
        let Some(sum) = view.only_reader(y, "Add") else { continue };
        if view.with_scalar(&sum).is_none_or(|(_, one)| !near(one, 1.0)) {
            continue;
        }
        if let Some(last) = sum.output().and_then(|v| half_of_product(view, v, x))
            && edit.replace_with(view, &last, Activation::Gelu { tanh }, &[x])?
        {
            edit.report.written_out.push(("GELU", last.node.name.clone()));
        }
    }
    Ok(())
}

/// `x` of `x / √2`.
fn root(view: &View<'_>, v: ValueId) -> Option<ValueId> {
    let root = std::f64::consts::SQRT_2;
    if let Some(div) = view.from(v, "Div") {
        let (x, factor) = view.with_scalar(&div)?;
        return (near(factor, root) && div.input(0) == Some(x)).then_some(x);
    }
    let (x, factor) = view.with_scalar(&view.from(v, "Mul")?)?;
    near(factor, 1.0 / root).then_some(x)
}

/// `x` of `√(2/π) · (x + 0.044715 · x³)`.
fn cubic(view: &View<'_>, v: ValueId) -> Option<ValueId> {
    let (sum, factor) = view.with_scalar(&view.from(v, "Mul")?)?;
    if !near(factor, std::f64::consts::FRAC_2_PI.sqrt()) {
        return None;
    }
    let sum = view.from(sum, "Add")?;
    let (a, b) = (sum.input(0)?, sum.input(1)?);
    let cube = |x: ValueId, scaled: ValueId| {
        let (cube, factor) = view.with_scalar(&view.from(scaled, "Mul")?)?;
        let is_cube = match view.from(cube, "Pow") {
            Some(pow) => pow.input(0) == Some(x) && pow.input(1).and_then(|e| view.scalar(e)) == Some(3.0),
            None => {
                let outer = view.from(cube, "Mul")?;
                let square = view.from(view.other(&outer, x)?, "Mul")?;
                square.input(0) == Some(x) && square.input(1) == Some(x)
            }
        };
        (is_cube && near(factor, 0.044_715)).then_some(x)
    };
    cube(a, b).or_else(|| cube(b, a))
}

/// The last node of `(x · v) / 2`, `(x / 2) · v` or `x · (v / 2)`.
fn half_of_product<'a>(view: &View<'a>, v: ValueId, x: ValueId) -> Option<Found<'a>> {
    let half = |found: &Found<'_>| -> Option<ValueId> {
        let (y, factor) = view.with_scalar(found)?;
        let right = match found.op.op_type.as_str() {
            "Div" => near(factor, 2.0) && found.input(0) == Some(y),
            _ => near(factor, 0.5),
        };
        right.then_some(y)
    };
    let halved = |y: ValueId| {
        let by = |name| view.from(y, name).and_then(|f| half(&f));
        by("Mul").or_else(|| by("Div"))
    };
    let reader = |v: ValueId| view.only_reader(v, "Mul").or_else(|| view.only_reader(v, "Div"));
    let next = reader(v)?;
    if half(&next) == Some(v) {
        let last = view.only_reader(next.output()?, "Mul")?;
        return (view.other(&last, next.output()?) == Some(x)).then_some(last);
    }
    let other = view.other(&next, v).filter(|_| next.op.op_type == "Mul")?;
    if other == x {
        let last = reader(next.output()?)?;
        return (half(&last) == next.output()).then_some(last);
    }
    (halved(other) == Some(x)).then_some(next)
}
