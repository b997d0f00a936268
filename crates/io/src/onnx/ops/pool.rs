//! `MaxPool`, `AveragePool`.

use occam_graph::ops::{Pool, PoolKind};
use occam_graph::{Array, Dim};

use super::OnnxForm;
use crate::Result;
use crate::onnx::proto::AttributeProto;
use crate::onnx::site::{Site, flag, ints};
use crate::onnx::to_i64;

/// The first version of the operators that has `ceil_mode`.
const CEIL_MODE: i64 = 10;

/// How the number of windows along an axis is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rounding {
    /// Both ways give the same number.
    Either,
    Down,
    /// The last window reaches this far beyond the input; not known where the size is not.
    Up(Option<usize>),
}

/// PyTorch drops a last window that would start in the padding, ONNX before opset 22 does not say so: there, the
/// number is in fact rounded down. Sizes, strides and paddings are those that shape inference has accepted.
fn rounding(pool: &Pool, axis: usize, size: &Dim) -> Rounding {
    if !pool.ceil_mode {
        return Rounding::Down;
    }
    let Some(size) = size.known() else { return Rounding::Up(None) };
    let (kernel, stride, padding) = (pool.kernel[axis], pool.stride[axis], pool.padding[axis]);
    let room = (size + 2 * padding).saturating_sub(kernel);
    let last = room.div_ceil(stride) * stride;
    if last == room {
        Rounding::Either
    } else if last >= size + padding {
        Rounding::Down
    } else {
        Rounding::Up(Some((last + kernel).saturating_sub(size + padding)))
    }
}

impl OnnxForm for Pool {
    /// ONNX rounds both axes one way. Where PyTorch does not, the number of windows is rounded down and the axis that
    /// should be rounded up gets more padding.
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let (_, x) = at.input(0)?;
        let [_, _, height, width] = x.shape.as_slice() else {
            return Err(at.refused(format!("input must have rank 4, found {x}")));
        };
        let [top, left] = self.padding;
        let rounding = [rounding(self, 0, height), rounding(self, 1, width)];
        match rounding {
            [Rounding::Up(Some(bottom)), Rounding::Down] => write_uneven(self, at, bottom, left),
            [Rounding::Down, Rounding::Up(Some(right))] => write_uneven(self, at, top, right),
            _ => {
                let up = rounding.iter().any(|r| matches!(r, Rounding::Up(_)));
                if up && at.opset() < CEIL_MODE {
                    return Err(at.refused(format!(
                        "the number of its windows is rounded up, which operators of version {CEIL_MODE} on do"
                    )));
                }
                at.whole(op_type(self), attributes(self, [top, left, top, left], up, at.opset())?);
                Ok(())
            }
        }
    }
}

fn op_type(pool: &Pool) -> &'static str {
    match pool.kind {
        PoolKind::Max => "MaxPool",
        PoolKind::Average { .. } => "AveragePool",
    }
}

/// `pads`: before both axes, then behind them.
fn attributes(pool: &Pool, pads: [usize; 4], ceil_mode: bool, opset: i64) -> Result<Vec<AttributeProto>> {
    let mut attributes =
        vec![ints("kernel_shape", &pool.kernel)?, ints("strides", &pool.stride)?, ints("pads", &pads)?];
    if opset >= CEIL_MODE {
        attributes.push(flag("ceil_mode", ceil_mode));
    }
    if let PoolKind::Average { count_include_pad } = pool.kind {
        attributes.push(flag("count_include_pad", count_include_pad));
    }
    Ok(attributes)
}

/// Padding of another size behind the input than before.
fn write_uneven(pool: &Pool, at: &mut Site<'_>, bottom: usize, right: usize) -> Result<()> {
    let [top, left] = pool.padding;
    if pool.kind != (PoolKind::Average { count_include_pad: true }) {
        at.whole(op_type(pool), attributes(pool, [top, left, bottom, right], false, at.opset())?);
        return Ok(());
    }
    // The pool's own padding counts, what the last window needs beyond it does not: the former becomes part of the
    // input.
    let [v, h] = [to_i64(top)?, to_i64(left)?];
    let pads = at.constant("pads", &Array::from_i64([8], vec![0, 0, v, h, 0, 0, v, h])?)?;
    let x = at.input(0)?.0.to_owned();
    let padded = at.before("pad", "Pad", &[&x, &pads], []);
    let inner = Pool { kind: PoolKind::Average { count_include_pad: false }, ..*pool };
    let rest = [0, 0, bottom.saturating_sub(top), right.saturating_sub(left)];
    at.last(op_type(pool), &[&padded], attributes(&inner, rest, false, at.opset())?);
    Ok(())
}
