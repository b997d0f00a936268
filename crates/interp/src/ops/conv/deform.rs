//! Deformable convolution (arXiv:1703.06211, with a mask arXiv:1811.11168).

use occam_graph::Array;
use rayon::prelude::*;

use super::{Plan, add_bias, bias};
use crate::Result;
use crate::error::refuse;
use crate::numbers::to_f64;
use crate::ops::Operands;
use crate::product::{Layout, Sizes, multiply, narrow};
use crate::view::count;

/// The element at fractional `(y, x)` of a plane, interpolated linearly; zeros outside.
fn sample(plane: &[f64], [h, w]: [usize; 2], y: f64, x: f64) -> f64 {
    if !(y > -1.0 && x > -1.0 && y < h as f64 && x < w as f64) {
        return 0.0;
    }
    let (top, left) = (y.floor(), x.floor());
    let (dy, dx) = (y - top, x - left);
    let at = |i: f64, j: f64| {
        let inside = i >= 0.0 && j >= 0.0 && i < h as f64 && j < w as f64;
        if inside { plane.get(i as usize * w + j as usize).copied().unwrap_or(0.0) } else { 0.0 }
    };
    let upper = at(top, left) * (1.0 - dx) + at(top, left + 1.0) * dx;
    let lower = at(top + 1.0, left) * (1.0 - dx) + at(top + 1.0, left + 1.0) * dx;
    upper * (1.0 - dy) + lower * dy
}

/// A convolution each of whose taps is moved by an offset of its own.
pub(super) fn run(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, w, offset) = (c.array(0)?, c.array(1)?, c.array(2)?);
    let plan = Plan::of(c, x.shape(), w.shape())?;
    let (&[h, wide], &[kh, kw]) = (plan.spatial.as_slice(), plan.window.kernel.as_slice()) else {
        return refuse("deformable convolution of other than two axes is not supported");
    };
    let parts = match c.op.size("offset_group")?.unwrap_or(1) {
        n if n > 0 && plan.c.is_multiple_of(n) => n,
        n => return refuse(format!("{} channels cannot be split into {n} groups of offsets", plan.c)),
    };
    let (taps, pixels) = (count(&[kh, kw])?, plan.pixels());
    let places = [plan.n, parts * taps * 2].into_iter().chain(plan.at.iter().map(|p| p.count));
    if offset.shape() != places.collect::<Vec<_>>() {
        return refuse(format!("offsets {offset:?} do not fit input {x:?} and weight {w:?}"));
    }
    let mask = match c.get(4) {
        Some(m) if m.len() != plan.n * parts * taps * pixels => {
            return refuse(format!("mask {m:?} does not fit offsets {offset:?}"));
        }
        m => m.map(to_f64),
    };
    let (xs, ws, offsets) = (to_f64(x), to_f64(w), to_f64(offset));
    let columns_of = plan.at.get(1).map_or(1, |p| p.count).max(1);
    let origin = |i: usize, at: usize, tap: usize| {
        let stride = plan.window.stride.get(i).copied().unwrap_or(1);
        let dilation = plan.window.dilation.get(i).copied().unwrap_or(1);
        (at * stride + tap * dilation) as f64 - plan.at.get(i).map_or(0, |p| p.before) as f64
    };
    let depth = count(&[plan.c, taps])?;
    let mut y = vec![0.0; count(&plan.shape)?];
    let mut columns = vec![0.0; count(&[depth, pixels])?];
    let (cg, og) = (plan.c / plan.groups, plan.o / plan.groups);
    let per_part = (plan.c / parts).max(1);
    if y.is_empty() || depth == 0 {
        return Ok(vec![narrow(x.dtype(), &plan.shape, y)?]);
    }
    for (n, y) in y.chunks_mut(plan.o * pixels).enumerate() {
        columns.par_chunks_mut(pixels).enumerate().for_each(|(row, columns)| {
            let (channel, tap) = (row / taps, row % taps);
            let plane = xs.get((n * plan.c + channel) * h * wide..).unwrap_or_default();
            let first = (n * parts + channel / per_part) * taps + tap;
            let at = |i: usize| offsets.get(i).copied().unwrap_or(0.0);
            for (p, to) in columns.iter_mut().enumerate() {
                let dy = at(2 * first * pixels + p);
                let dx = at((2 * first + 1) * pixels + p);
                let (row, column) = (p / columns_of, p % columns_of);
                let v =
                    sample(plane, [h, wide], origin(0, row, tap / kw) + dy, origin(1, column, tap % kw) + dx);
                let m = mask.as_ref().and_then(|m| m.get(first * pixels + p)).copied().unwrap_or(1.0);
                *to = v * m;
            }
        });
        let sizes = Sizes { m: og, k: cg * taps, n: pixels };
        for (g, y) in y.chunks_mut(og * pixels).enumerate() {
            let w = ws.get(g * og * cg * taps..).unwrap_or_default();
            let columns = columns.get(g * cg * taps * pixels..).unwrap_or_default();
            let (of_w, of_columns) = (Layout::of(cg * taps, false), Layout::of(pixels, false));
            multiply(sizes, (w, of_w), (columns, of_columns), y, true)?;
        }
    }
    if let Some(b) = bias(c, 3, plan.o)? {
        add_bias(&mut y, &to_f64(b), pixels);
    }
    Ok(vec![narrow(x.dtype(), &plan.shape, y)?])
}
