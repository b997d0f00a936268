//! Values with a border, or without.

use occam_graph::onnx::{PadAxis, axes_of, axis_of, centered, pad_axes};
use occam_graph::{Array, Data};

use super::{Eval, Operands};
use crate::error::refuse;
use crate::moves::sizes;
use crate::numbers::{Element, each_type, elements, from_f64};
use crate::view::count;
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[Eval::new("Pad", pad), Eval::new("CenterCropPad", center)];

/// What is outside of a value.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

impl Mode {
    /// The element that stands at `i` of an axis of `n`.
    fn source(self, i: i64, n: i64) -> Option<i64> {
        match self {
            _ if (0..n).contains(&i) => Some(i),
            Mode::Constant => None,
            Mode::Edge => Some(i.clamp(0, n - 1)),
            Mode::Wrap => Some(i.rem_euclid(n)),
            Mode::Reflect if n == 1 => Some(0),
            Mode::Reflect => {
                let i = i.rem_euclid(2 * (n - 1));
                Some(i.min(2 * (n - 1) - i))
            }
        }
    }
}

/// `x` with the elements of `map` on an axis; `value` where there is none.
fn along(x: &Array, axis: usize, map: &[Option<usize>], value: &Array) -> Result<Array> {
    fn run<T: Element>(
        v: &[T],
        value: &Array,
        [outer, size, inner]: [usize; 3],
        map: &[Option<usize>],
    ) -> Result<Data> {
        let value =
            elements::<T>(value)?.first().copied().ok_or_else(|| Error::Op("no value given".into()))?;
        let mut out = Vec::with_capacity(outer * map.len() * inner);
        for o in 0..outer {
            for place in map {
                match place {
                    Some(i) => {
                        let from = (o * size + i) * inner;
                        out.extend_from_slice(v.get(from..from + inner).unwrap_or_default());
                    }
                    None => out.extend(std::iter::repeat_n(value, inner)),
                }
            }
        }
        Ok(T::wrap(out))
    }
    let mut shape = x.shape().to_vec();
    let Some(size) = shape.get_mut(axis) else { return refuse(format!("axis {axis} is beyond {x:?}")) };
    let own = std::mem::replace(size, map.len());
    count(&shape)?;
    let outer = shape.iter().take(axis).product();
    let inner = shape.iter().skip(axis + 1).product();
    let data = each_type!(x, v => run(v, value, [outer, own, inner], map))?;
    Ok(Array::new(shape, data)?)
}

fn padded(x: &Array, pads: &[PadAxis], mode: Mode, value: &Array) -> Result<Array> {
    let mut shape = Vec::with_capacity(pads.len());
    for (p, &n) in pads.iter().zip(x.shape()) {
        let size = i64::try_from(n).ok().and_then(|n| n.checked_add(p.before)?.checked_add(p.after));
        match size.and_then(|n| usize::try_from(n).ok()) {
            Some(size) => shape.push(size),
            None => return refuse(format!("{p:?} of size {n} leave no size")),
        }
    }
    count(&shape)?;
    let mut out = x.clone();
    let changed = pads.iter().enumerate().filter(|(_, p)| **p != PadAxis::default());
    for (axis, p) in changed {
        let n = i64::try_from(out.shape().get(axis).copied().unwrap_or(0)).unwrap_or(0);
        if n == 0 && mode != Mode::Constant {
            return refuse(format!("there is nothing in axis {axis} of {x:?} to pad with"));
        }
        let all = -p.before..n.saturating_add(p.after);
        let map: Vec<Option<usize>> =
            all.map(|i| mode.source(i, n).and_then(|i| usize::try_from(i).ok())).collect();
        out = along(&out, axis, &map, value)?;
    }
    Ok(out)
}

fn pad(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let mode = match c.op.text("mode")?.unwrap_or("constant") {
        "constant" => Mode::Constant,
        "reflect" => Mode::Reflect,
        "edge" => Mode::Edge,
        "wrap" if c.op.version >= 19 => Mode::Wrap,
        other => return refuse(format!("mode `{other}` is not supported")),
    };
    let pads = c.ints_of("pads", 1)?.ok_or_else(|| Error::Op("its pads are missing".into()))?;
    let pads = pad_axes(&pads, c.ints(3)?.as_deref(), x.shape().len())?;
    if pads.iter().any(|p| p.before == i64::MIN) {
        return refuse("a pad is too large");
    }
    let value = match c.get(2) {
        Some(value) => value.clone(),
        None => from_f64(x.dtype(), &[1], &[c.op.float("value")?.unwrap_or(0.0).into()])?,
    };
    Ok(vec![padded(x, &pads, mode, &value)?])
}

fn center(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let rank = x.shape().len();
    let target = c.ints(1)?.unwrap_or_default();
    sizes(&target)?;
    let axes = match c.op.ints("axes")? {
        None => (0..rank).collect(),
        Some(axes) => {
            axes_of(axes, rank)?;
            axes.iter().map(|&a| Ok(axis_of(a, rank)?)).collect::<Result<Vec<_>>>()?
        }
    };
    if axes.len() != target.len() {
        return refuse(format!("{} sizes given for {} axes", target.len(), axes.len()));
    }
    let mut pads = vec![PadAxis::default(); rank];
    for (&axis, &size) in axes.iter().zip(&target) {
        let own = x.shape().get(axis).and_then(|&n| i64::try_from(n).ok()).unwrap_or(0);
        if let Some(p) = pads.get_mut(axis) {
            *p = centered(own, size);
        }
    }
    Ok(vec![padded(x, &pads, Mode::Constant, &from_f64(x.dtype(), &[1], &[0.0])?)?])
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;
    use crate::evaluate;

    fn run(version: i64, mode: &str, pads: &[i64]) -> Result<Vec<i64>> {
        let x = Array::from_i64([3], vec![1, 2, 3]).unwrap();
        let op = Onnx::new("Pad", version, 2).with("mode", Attribute::String(mode.as_bytes().to_vec()));
        let pads = Array::from_i64([pads.len()], pads.to_vec()).unwrap();
        Ok(evaluate(&op, &[x, pads])?[0].as_i64().unwrap().to_vec())
    }

    #[test]
    fn modes_as_numpy() {
        assert_eq!(run(19, "constant", &[1, 2]).unwrap(), [0, 1, 2, 3, 0, 0]);
        assert_eq!(run(19, "constant", &[-1, 1]).unwrap(), [2, 3, 0]);
        assert_eq!(run(19, "edge", &[1, 2]).unwrap(), [1, 1, 2, 3, 3, 3]);
        assert_eq!(run(19, "reflect", &[3, 3]).unwrap(), [2, 3, 2, 1, 2, 3, 2, 1, 2]);
        assert_eq!(run(19, "wrap", &[1, 4]).unwrap(), [3, 1, 2, 3, 1, 2, 3, 1]);
        assert!(run(18, "wrap", &[1, 1]).is_err());
        assert!(run(19, "constant", &[-2, -2]).is_err());
        assert!(run(19, "constant", &[i64::MIN, 0]).is_err());
        assert!(run(19, "constant", &[1 << 60, 0]).is_err());
    }

    #[test]
    fn pads_were_attributes() {
        let op = Onnx::new("Pad", 10, 1)
            .with("pads", Attribute::Ints(vec![1, 0]))
            .with("value", Attribute::Float(7.0));
        let x = Array::from_f32([1], vec![2.0]).unwrap();
        assert_eq!(evaluate(&op, &[x]).unwrap()[0].as_f32().unwrap(), [7.0, 2.0]);
    }
}
