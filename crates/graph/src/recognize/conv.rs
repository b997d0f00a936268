//! Convolutions.

use super::Edit;
use super::view::View;
use crate::ops::Conv;
use crate::{Graph, Op, Result};

/// `Conv` over two spatial axes.
pub(super) fn pass(view: &View<'_>, edit: &mut Edit<'_>) -> Result<()> {
    for found in view.all(&["Conv"]) {
        let (Some(x), Some(weight)) = (found.input(0), found.input(1)) else { continue };
        let rank = view.fact(x).map_or(0, |f| f.rank());
        let kernel = view.fact(weight).and_then(|f| f.known_shape());
        let Some([_, _, kh, kw]) = kernel.as_deref().and_then(|k| <[usize; 4]>::try_from(k).ok()) else {
            continue;
        };
        if rank != 4 || !view.is_f32(x) || !view.is_f32(weight) {
            continue;
        }
        let Some(window) = window(&found, [kh, kw])? else { continue };
        let conv = Conv {
            stride: window.stride,
            padding: window.padding,
            dilation: window.dilation,
            groups: found.op.size("group")?.unwrap_or(1),
        };
        edit.replace_with(view, &found, conv, &found.node.inputs)?;
    }
    Ok(())
}

/// How a window moves over two spatial axes.
pub(super) struct Window {
    pub stride: [usize; 2],
    pub padding: [(usize, usize); 2],
    pub dilation: [usize; 2],
}

/// The window of a convolution or a pooling; none where it is not over two axes, or its padding follows from the input.
pub(super) fn window(found: &super::view::Found<'_>, kernel: [usize; 2]) -> Result<Option<Window>> {
    let two = |name: &str| -> Result<Option<[usize; 2]>> {
        let Some(ints) = found.op.ints(name)? else { return Ok(Some([1, 1])) };
        let sizes: Option<Vec<usize>> = ints.iter().map(|&n| usize::try_from(n).ok()).collect();
        Ok(sizes.and_then(|s| s.try_into().ok()))
    };
    let (Some(stride), Some(dilation)) = (two("strides")?, two("dilations")?) else { return Ok(None) };
    let padding = match found.op.text("auto_pad")?.unwrap_or("NOTSET") {
        "NOTSET" | "" => match found.op.ints("pads")? {
            None => [(0, 0); 2],
            Some(pads) => {
                let sizes: Option<Vec<usize>> = pads.iter().map(|&n| usize::try_from(n).ok()).collect();
                match sizes.as_deref() {
                    Some(&[t, l, b, r]) => [(t, b), (l, r)],
                    _ => return Ok(None),
                }
            }
        },
        "VALID" => [(0, 0); 2],
        // At a step of 1 the padding does not depend on the input's size.
        same @ ("SAME_UPPER" | "SAME_LOWER") if stride == [1, 1] => {
            let [h, w] = [0, 1].map(|i| {
                let (k, d) = if i == 0 { (kernel[0], dilation[0]) } else { (kernel[1], dilation[1]) };
                let total = k.saturating_sub(1).saturating_mul(d);
                let (small, large) = (total / 2, total - total / 2);
                if same == "SAME_UPPER" { (small, large) } else { (large, small) }
            });
            [h, w]
        }
        _ => return Ok(None),
    };
    Ok(Some(Window { stride, padding, dilation }))
}

/// Convolutions with a bias in a graph without batch normalization: it was folded into them.
pub(super) fn folded(graph: &Graph) -> Result<Vec<String>> {
    if graph.nodes().any(|(_, n)| matches!(n.op, Op::BatchNorm(_))) {
        return Ok(Vec::new());
    }
    let biased = |n: &crate::Node| matches!(n.op, Op::Conv(_)) && n.inputs.len() == 3;
    Ok(graph.nodes().filter(|(_, n)| biased(n)).map(|(_, n)| n.name.clone()).collect())
}
