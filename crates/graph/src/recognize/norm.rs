//! Normalizations that are one operator.

use super::Edit;
use super::view::View;
use crate::Result;
use crate::onnx::axis_of;
use crate::ops::{BatchNorm, LayerNorm};

/// `BatchNormalization` for inference; `LayerNormalization` over the last axis.
pub(super) fn pass(view: &View<'_>, edit: &mut Edit<'_>) -> Result<()> {
    for found in view.all(&["BatchNormalization"]) {
        let inference = found.node.outputs.len() == 1 && !found.op.flag("training_mode")?;
        let spatial = found.op.int("spatial")?.unwrap_or(1) != 0;
        let plain = found.node.inputs.iter().all(|&v| view.is_f32(v)) && found.node.inputs.len() == 5;
        if inference && spatial && plain {
            let eps = f64::from(found.op.float("epsilon")?.unwrap_or(1e-5));
            // What ONNX calls momentum is the weight of the running statistics.
            let momentum = 1.0 - tidy(found.op.float("momentum")?.unwrap_or(0.9).into());
            let norm = BatchNorm { eps: tidy(eps), momentum: tidy(momentum), frozen: false };
            edit.replace_with(view, &found, norm, &found.node.inputs)?;
        }
    }
    for found in view.all(&["LayerNormalization"]) {
        let [x, weight, bias] = found.node.inputs.as_slice() else { continue };
        let rank = view.fact(*x).map_or(0, |f| f.rank());
        let last = axis_of(found.op.int("axis")?.unwrap_or(-1), rank).is_ok_and(|a| a + 1 == rank);
        let vectors = [weight, bias].iter().all(|&&v| view.fact(v).is_some_and(|f| f.rank() == 1));
        if last && vectors && view.is_f32(*x) && found.node.outputs.len() == 1 {
            let eps = f64::from(found.op.float("epsilon")?.unwrap_or(1e-5));
            edit.replace_with(view, &found, LayerNorm { eps: tidy(eps) }, &[*x, *weight, *bias])?;
        }
    }
    Ok(())
}

/// The shortest number that is the same `f32`: `1e-5` where a file has `0.000009999999747378752`.
pub(super) fn tidy(x: f64) -> f64 {
    (x as f32).to_string().parse().unwrap_or(x)
}
