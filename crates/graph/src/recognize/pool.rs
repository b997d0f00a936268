//! Poolings.

use super::Edit;
use super::conv::window;
use super::view::View;
use crate::ops::{GlobalAvgPool, Pool, PoolKind};
use crate::{Dim, Result};

/// `MaxPool`, `AveragePool` and `GlobalAveragePool` over two spatial axes; a `ReduceMean` over both.
pub(super) fn pass(view: &View<'_>, edit: &mut Edit<'_>) -> Result<()> {
    for found in view.all(&["MaxPool", "AveragePool"]) {
        let Some(x) = found.input(0) else { continue };
        let Some(kernel) = found.op.ints("kernel_shape")? else { continue };
        let sizes: Option<Vec<usize>> = kernel.iter().map(|&n| usize::try_from(n).ok()).collect();
        let Some(kernel) = sizes.and_then(|k| <[usize; 2]>::try_from(k).ok()) else { continue };
        let rank = view.fact(x).map_or(0, |f| f.rank());
        let Some(window) = window(&found, kernel)? else { continue };
        let [(t, b), (l, r)] = window.padding;
        let ceil_mode = found.op.flag("ceil_mode")?;
        let simple = rank == 4
            && view.is_f32(x)
            && found.node.outputs.len() == 1
            && t == b
            && l == r
            && window.dilation == [1, 1]
            && t <= kernel[0] / 2
            && l <= kernel[1] / 2;
        let padded = t + l > 0;
        let kind = match found.op.op_type.as_str() {
            "MaxPool" => PoolKind::Max,
            // Of a last window that reaches beyond the padding, versions of ONNX count different elements.
            _ if ceil_mode => continue,
            _ => {
                let counted = !padded || found.op.flag("count_include_pad")?;
                PoolKind::Average { count_include_pad: counted }
            }
        };
        if simple {
            let pool = Pool { kind, kernel, stride: window.stride, padding: [t, l], ceil_mode };
            // Of sizes that are open, the two may say different things of a last window that one of them drops.
            let known = view.fact(x).is_some_and(|f| f.shape.iter().skip(2).all(|d| d.known().is_some()));
            if known || !ceil_mode {
                edit.replace_with(view, &found, pool, &[x])?;
            }
        }
    }
    for found in view.all(&["GlobalAveragePool"]) {
        if let Some(x) = found.input(0)
            && view.is_f32(x)
            && view.fact(x).is_some_and(|f| f.rank() == 4)
        {
            edit.replace_with(view, &found, GlobalAvgPool, &[x])?;
        }
    }
    for found in view.all(&["ReduceMean"]) {
        let Some(x) = found.input(0) else { continue };
        let axes = match found.op.ints("axes")? {
            Some(axes) => Some(axes.to_vec()),
            None => found.input(1).and_then(|v| view.graph.value(v).ok()?.content.as_ref()?.to_ints()),
        };
        let spatial = axes.is_some_and(|mut axes| {
            axes.iter_mut().filter(|a| **a < 0).for_each(|a| *a += 4);
            axes.sort_unstable();
            axes == [2, 3]
        });
        let keeps = found.op.int("keepdims")?.unwrap_or(1) != 0;
        let rank = view.fact(x).map_or(0, |f| f.rank());
        let channels = view.fact(x).and_then(|f| f.shape.get(1)).and_then(Dim::known);
        if spatial && keeps && rank == 4 && channels.is_some() && view.is_f32(x) {
            edit.replace_with(view, &found, GlobalAvgPool, &[x])?;
        }
    }
    Ok(())
}
