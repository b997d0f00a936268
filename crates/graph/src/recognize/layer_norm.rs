//! Layer normalization, written out.

use super::Edit;
use super::norm::tidy;
use super::view::{Found, View};
use crate::ops::LayerNorm;
use crate::{Result, ValueId};

/// `(x − mean(x)) / √(mean((x − mean(x))²) + ε) · γ + β` with means over the last axis.
pub(super) fn pass(view: &View<'_>, edit: &mut Edit<'_>) -> Result<()> {
    for sqrt in view.all(&["Sqrt"]) {
        if let Some((last, inputs, eps)) = norm(view, &sqrt)
            && edit.replace_with(view, &last, LayerNorm { eps: tidy(eps) }, &inputs)?
        {
            edit.report.written_out.push(("LayerNorm", last.node.name.clone()));
        }
    }
    Ok(())
}

/// The last node, its operands and ε.
fn norm<'a>(view: &View<'a>, sqrt: &Found<'a>) -> Option<(Found<'a>, [ValueId; 3], f64)> {
    let (variance, eps) = view.with_scalar(&view.from(sqrt.input(0)?, "Add")?)?;
    let square = mean_of(view, variance)?;
    let centered = match view.from(square, "Pow") {
        Some(pow) if view.scalar(pow.input(1)?) == Some(2.0) => pow.input(0)?,
        Some(_) => return None,
        None => {
            let mul = view.from(square, "Mul")?;
            (mul.input(0) == mul.input(1)).then(|| mul.input(0))??
        }
    };
    // Old exporters center twice.
    let sub = view.from(centered, "Sub")?;
    let x = sub.input(0)?;
    if mean_of(view, sub.input(1)?)? != x || !view.is_f32(x) {
        return None;
    }
    let div = view.only_reader(sqrt.output()?, "Div")?;
    let top = view.from(div.input(0)?, "Sub")?;
    if top.input(0) != Some(x) || mean_of(view, top.input(1)?)? != x {
        return None;
    }
    let mul = view.only_reader(div.output()?, "Mul")?;
    let weight = view.other(&mul, div.output()?)?;
    let add = view.only_reader(mul.output()?, "Add")?;
    let bias = view.other(&add, mul.output()?)?;
    let vector = |v: ValueId| view.fact(v).is_some_and(|f| f.rank() == 1) && view.is_f32(v);
    (vector(weight) && vector(bias)).then_some((add, [x, weight, bias], eps))
}

/// What `v` is the mean of, over the last axis.
fn mean_of(view: &View<'_>, v: ValueId) -> Option<ValueId> {
    let mean = view.from(v, "ReduceMean")?;
    let x = mean.input(0)?;
    let axes = match mean.op.ints("axes").ok()? {
        Some(axes) => axes.to_vec(),
        None => view.graph.value(mean.input(1)?).ok()?.content.as_ref()?.to_ints()?,
    };
    let last = i64::try_from(view.fact(x)?.rank()).ok()? - 1;
    let keeps = mean.op.int("keepdims").ok()?.unwrap_or(1) != 0;
    (keeps && (axes == [-1] || axes == [last])).then_some(x)
}
