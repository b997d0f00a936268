//! Padding.

use super::{Call, Run, axis_of, one};
use crate::error::refuse;
use crate::{Operand, Result};

pub(super) const TABLE: &[(&str, Run)] = &[("Pad", pad)];

fn pad(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let mut x = c.tensor(0)?;
    let Some(pads) = c.ints_of("pads", 1)? else { return Ok(None) };
    let axes = match c.ints(3)? {
        Some(axes) => axes.into_iter().map(|a| axis_of(a, x.rank())).collect::<Result<Vec<_>>>()?,
        None => (0..x.rank()).collect(),
    };
    if pads.len() != 2 * axes.len() || c.operand(2).is_some_and(Operand::is_tracked) {
        return Ok(None);
    }
    let (before, behind) = pads.split_at(axes.len());
    let mut both = vec![(0usize, 0usize); x.rank()];
    for ((&axis, &a), &b) in axes.iter().zip(before).zip(behind) {
        // A negative pad cuts elements away.
        let size = x.dim(axis)? as i64;
        let (cut, left) = (a.min(0).unsigned_abs(), size.saturating_add(a.min(0)).saturating_add(b.min(0)));
        let (Ok(cut), Ok(left)) = (usize::try_from(cut), usize::try_from(left)) else { return Ok(None) };
        if left == 0 || a.max(b) > 1 << 24 {
            return Ok(None);
        }
        x = x.narrow(axis, cut, left)?;
        if let Some(pair) = both.get_mut(axis) {
            *pair = (usize::try_from(a.max(0)).unwrap_or(0), usize::try_from(b.max(0)).unwrap_or(0));
        }
    }
    let mode = c.op.text("mode")?.unwrap_or("constant");
    if mode == "constant" {
        let value = match c.op.float("value")? {
            Some(v) => f64::from(v),
            None => c.floats(2)?.and_then(|v| v.first().copied()).unwrap_or(0.0),
        };
        return one(x.pad_with(&both, value as f32)?);
    }
    for (axis, &(a, b)) in both.iter().enumerate() {
        if (a, b) == (0, 0) {
            continue;
        }
        let size = x.dim(axis)? as i64;
        let places: Option<Vec<usize>> =
            (-(a as i64)..size + b as i64).map(|i| source(mode, i, size)).collect();
        match places {
            Some(places) => x = x.select(axis, &places)?,
            None => return refuse("Pad", format!("mode `{mode}` cannot pad {x:?} by {a} and {b}")),
        }
    }
    one(x)
}

/// Which element of `size` is at place `i` of the padded axis.
fn source(mode: &str, i: i64, size: i64) -> Option<usize> {
    let at = match mode {
        "edge" => i.clamp(0, size - 1),
        "wrap" => i.rem_euclid(size),
        "reflect" if size == 1 => 0,
        "reflect" => {
            let period = 2 * (size - 1);
            let at = i.rem_euclid(period);
            if at < size { at } else { period - at }
        }
        _ => return None,
    };
    usize::try_from(at).ok()
}
