//! Transposed convolution.

use occam_graph::Array;
use occam_graph::onnx::window::{Window, sizes};
use rayon::prelude::*;

use super::{add_bias, bias, groups, window};
use crate::error::refuse;
use crate::ops::Operands;
use crate::product::{Layout, Multiply, Sizes, in_wide, multiply};
use crate::view::{count, strides, walk};
use crate::{Error, Result};

/// Sizes of a transposed convolution.
struct Plan {
    n: usize,
    c: usize,
    o: usize,
    groups: usize,
    spatial: Vec<usize>,
    window: Window,
    /// Elements cut off before, by spatial axis.
    before: Vec<i64>,
    /// Spatial sizes of the result.
    to: Vec<usize>,
}

impl Plan {
    fn of(c: &Operands<'_>, x: &[usize], weight: &[usize]) -> Result<Self> {
        let misfit = || Error::Op(format!("weight {weight:?} does not fit input {x:?}"));
        let (&[n, channels, ref spatial @ ..], &[of, per_group, ..]) = (x, weight) else {
            return Err(misfit());
        };
        let groups = groups(c)?;
        let rank = spatial.len();
        if x.len() != weight.len() || rank == 0 || of != channels || !channels.is_multiple_of(groups) {
            return Err(misfit());
        }
        let window = window(c, weight)?;
        let extra = sizes(c.op, "output_padding", rank, 0, 0)?;
        let given = match c.op.ints("output_shape")?.filter(|l| !l.is_empty()) {
            Some(list) if list.len() == rank || list.len() == rank + 2 => list.get(list.len() - rank..),
            Some(list) => return refuse(format!("output_shape {list:?} must have {rank} elements")),
            None => None,
        };
        let o = count(&[per_group, groups])?;
        let (mut before, mut to) = (Vec::new(), Vec::new());
        for (i, (&size, &stride)) in spatial.iter().zip(&window.stride).enumerate() {
            let extra = extra.get(i).copied().unwrap_or(0);
            let full = size.saturating_sub(1).saturating_mul(stride) + extra + window.reach(i)?;
            let stated = given.and_then(|g| g.get(i)).copied();
            let (first, result) = match (stated, window.same()) {
                (None, None) => {
                    let (b, a) = window.given(i);
                    (b as i64, full as i64 - (b + a) as i64)
                }
                (stated, same) => {
                    let wanted = stated.unwrap_or(size.saturating_mul(stride) as i64);
                    let total = (full as i64).saturating_sub(wanted).max(0);
                    // An odd one is cut off after the result for SAME_UPPER alone.
                    (if same == Some(false) { total / 2 } else { total - total / 2 }, wanted)
                }
            };
            match usize::try_from(result) {
                Ok(n) => to.push(n),
                Err(_) => return refuse(format!("axis {} of the result has {result} elements", i + 2)),
            }
            before.push(first);
        }
        let shape: Vec<usize> = [n, o].into_iter().chain(to.iter().copied()).collect();
        count(&shape)?;
        Ok(Self { n, c: channels, o, groups, spatial: spatial.to_vec(), window, before, to })
    }

    fn shape(&self) -> Vec<usize> {
        [self.n, self.o].into_iter().chain(self.to.iter().copied()).collect()
    }

    /// Adds the rows `[K.., D..]` of an output channel to its plane.
    fn scatter<T: Multiply>(&self, rows: &[T], plane: &mut [T]) {
        let kernel = &self.window.kernel;
        let own = strides(&self.to);
        let ones = strides(kernel);
        let pixels: usize = self.spatial.iter().product();
        let from = strides(&self.spatial);
        walk(kernel, [&ones], |[tap]| {
            // By axis and position of the input: where the tap goes.
            let mut rest = tap;
            let mut lists: Vec<Vec<Option<usize>>> = Vec::with_capacity(kernel.len());
            for (i, one) in ones.iter().enumerate() {
                let k = rest / (*one).max(1);
                rest %= (*one).max(1);
                let at = |a: usize| {
                    let moved = a * self.window.stride.get(i)? + k * self.window.dilation.get(i)?;
                    let to = usize::try_from(moved as i64 - self.before.get(i)?).ok()?;
                    (to < *self.to.get(i)?).then_some(to * own.get(i)?)
                };
                lists.push((0..self.spatial.get(i).copied().unwrap_or(0)).map(at).collect());
            }
            let rows = rows.get(tap * pixels..(tap + 1) * pixels).unwrap_or_default();
            walk(&self.spatial, [&from], |[p]| {
                let (mut rest, mut to) = (p, Some(0));
                for (list, one) in lists.iter().zip(&from) {
                    let o = list.get(rest / (*one).max(1)).copied().flatten();
                    rest %= (*one).max(1);
                    to = to.zip(o).map(|(a, o)| a + o);
                }
                if let (Some(y), Some(&v)) = (to.and_then(|t| plane.get_mut(t)), rows.get(p)) {
                    *y = y.plus(v);
                }
            });
        });
    }

    fn run<T: Multiply>(&self, x: &[T], w: &[T]) -> Result<Vec<T>> {
        let plane = count(&self.to)?;
        let mut y = vec![T::default(); count(&self.shape())?];
        let (cg, og) = (self.c / self.groups, self.o / self.groups);
        let taps: usize = self.window.kernel.iter().product();
        let pixels: usize = self.spatial.iter().product();
        if y.is_empty() || pixels == 0 {
            return Ok(y);
        }
        let depth = count(&[og, taps])?;
        let sizes = Sizes { m: depth, k: cg, n: pixels };
        let mut rows = vec![T::default(); count(&[depth, pixels])?];
        for (i, y) in y.chunks_mut(og * plane).enumerate() {
            let (image, group) = (i / self.groups, i % self.groups);
            let x = x.get((image * self.c + group * cg) * pixels..).unwrap_or_default();
            let w = w.get(group * cg * depth..).unwrap_or_default();
            multiply(sizes, (w, Layout::of(depth, true)), (x, Layout::of(pixels, false)), &mut rows, true)?;
            y.par_chunks_mut(plane)
                .zip(rows.par_chunks(taps * pixels))
                .for_each(|(plane, rows)| self.scatter(rows, plane));
        }
        Ok(y)
    }
}

/// Every element of `x` adds the kernel, times itself, at its place.
pub(super) fn run(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, w) = (c.array(0)?, c.array(1)?);
    let plan = Plan::of(c, x.shape(), w.shape())?;
    let pixels: usize = plan.to.iter().product();
    let y = match bias(c, 2, plan.o)? {
        None => in_wide!(x.dtype(), plan.shape(), [x = x, w = w] => plan.run(x, w)?),
        Some(b) => in_wide!(x.dtype(), plan.shape(), [x = x, w = w, b = b] => {
            let mut y = plan.run(x, w)?;
            add_bias(&mut y, b, pixels);
            y
        }),
    };
    Ok(vec![y?])
}
