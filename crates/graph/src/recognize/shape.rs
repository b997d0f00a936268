//! What moves elements without changing them.

use std::collections::HashMap;

use super::Edit;
use super::view::View;
use crate::onnx::axis_of;
use crate::ops::{Concat, Flatten, Slice, Softmax, Transpose};
use crate::{Op, Result, Source, ValueId};

/// `Concat`, `Transpose`, `Softmax`, `Flatten`, a `Reshape` that flattens, a `Slice` along one axis; what does nothing in
/// inference goes.
pub(super) fn pass(view: &View<'_>, edit: &mut Edit<'_>) -> Result<()> {
    let names = &["Concat", "Transpose", "Softmax", "Flatten", "Reshape", "Slice"];
    for found in view.all(names) {
        let Some(x) = found.input(0).filter(|&x| view.is_f32(x)) else { continue };
        let (Some(fact), Some(out)) = (view.fact(x), found.output().and_then(|v| view.fact(v))) else {
            continue;
        };
        let rank = fact.rank();
        let axis = |default: i64| axis_of(found.op.int("axis")?.unwrap_or(default), rank);
        let op: Option<Op> = match found.op.op_type.as_str() {
            "Concat" => axis(0).ok().map(|axis| Concat { axis }.into()),
            "Transpose" => {
                let perm: Option<Vec<usize>> = match found.op.ints("perm")? {
                    None => Some((0..rank).rev().collect()),
                    Some(perm) => perm.iter().map(|&p| usize::try_from(p).ok()).collect(),
                };
                perm.map(|perm| Transpose { perm }.into())
            }
            // Before version 13 all axes from this one on were normalized together.
            "Softmax" => {
                let new = found.op.version >= 13;
                axis(if new { -1 } else { 1 })
                    .ok()
                    .filter(|&axis| new || axis + 1 == rank)
                    .map(|axis| Softmax { axis }.into())
            }
            "Flatten" | "Reshape" => {
                let axis = out.rank().saturating_sub(1);
                Some(Flatten { axis }.into()).filter(|_| axis > 0 && axis < rank)
            }
            _ => slice(view, &found).map(Into::into),
        };
        let inputs: Vec<_> = match found.op.op_type.as_str() {
            "Concat" => found.node.inputs.clone(),
            _ => vec![x],
        };
        let Some(op) = op.filter(|_| inputs.iter().all(|&v| view.is_f32(v))) else { continue };
        let facts = view.graph.facts(&inputs)?;
        if op.family().infer(&facts).is_ok_and(|f| f.first() == Some(out)) {
            edit.replace_with(view, &found, op, &inputs)?;
        }
    }
    // One after another: each stands for what the first of them reads.
    let mut stands: HashMap<ValueId, ValueId> = HashMap::new();
    for found in view.all(&["Identity", "Dropout"]) {
        let (Some(x), Some(y)) = (found.input(0), found.output()) else { continue };
        let x = stands.get(&x).copied().unwrap_or(x);
        // Where only running tells whether values are dropped, the operator decides.
        let decided = |v: ValueId| view.constant(v).is_some();
        if found.op.op_type == "Dropout" && found.input(2).is_some_and(|mode| !decided(mode)) {
            continue;
        }
        let inner = matches!(view.graph.value(x)?.source, Source::Node(..));
        let returned = view.graph.outputs().iter().any(|(_, v)| *v == y);
        if found.node.outputs.len() == 1 && (inner || !returned) {
            edit.patch.replace(y, x);
            stands.insert(y, x);
        }
    }
    Ok(())
}

/// A `Slice` along one axis in steps of 1 with known bounds.
fn slice(view: &View<'_>, found: &super::view::Found<'_>) -> Option<Slice> {
    let fact = view.fact(found.input(0)?)?;
    let ints = |name: &str, index: usize| -> Option<Vec<i64>> {
        match found.op.ints(name).ok()? {
            Some(v) => Some(v.to_vec()),
            None => view.graph.value(found.input(index)?).ok()?.content.as_ref()?.to_ints(),
        }
    };
    let (starts, ends) = (ints("starts", 1)?, ints("ends", 2)?);
    let axes = ints("axes", 3).unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = if found.input(4).is_some() { ints("steps", 4)? } else { vec![1] };
    let ([start], [end], [axis], [1]) =
        (starts.as_slice(), ends.as_slice(), axes.as_slice(), steps.as_slice())
    else {
        return None;
    };
    let axis = axis_of(*axis, fact.rank()).ok()?;
    let size = i64::try_from(fact.shape.get(axis)?.known()?).ok()?;
    let at = |n: i64| if n < 0 { n.saturating_add(size).max(0) } else { n.min(size) };
    let (start, end) = (usize::try_from(at(*start)).ok()?, usize::try_from(at(*end)).ok()?);
    (start < end).then_some(Slice { axis, start, end })
}
