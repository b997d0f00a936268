//! Functions of elements and of runs of elements, on all cores where there are many.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::Result;
use crate::numbers::Element;
use crate::view::{broadcast, broadcast_strides, count, strides, walk};

/// Fewer elements are not worth a second core.
const SMALL: usize = 1 << 14;

/// `f` of every element.
pub(crate) fn map<A: Element, R: Element + Default>(a: &[A], f: impl Fn(A) -> R + Sync) -> Vec<R> {
    let mut out = vec![R::default(); a.len()];
    rows(&mut out, SMALL, &|i, out| {
        let from = a.get(i * SMALL..).unwrap_or_default();
        out.iter_mut().zip(from).for_each(|(o, &x)| *o = f(x));
    });
    out
}

/// Runs of `run` elements of `out`, each filled by `f`, which is given its number.
///
/// Called through a pointer: there are hundreds of functions and element types, and each would have a copy of what
/// spreads work over cores.
fn rows<R: Send>(out: &mut [R], run: usize, f: &(dyn Fn(usize, &mut [R]) + Sync)) {
    let few = SMALL.div_ceil(run.max(1));
    out.par_chunks_mut(run.max(1)).with_min_len(few).enumerate().for_each(|(i, out)| f(i, out));
}

/// `f` of the elements of two operands that broadcast, and their common shape.
///
/// # Errors
/// The shapes do not broadcast.
pub(crate) fn zip<A: Element, B: Element, R: Element + Default>(
    (a, a_shape): (&[A], &[usize]),
    (b, b_shape): (&[B], &[usize]),
    f: impl Fn(A, B) -> R + Sync,
) -> Result<(Vec<usize>, Vec<R>)> {
    let shape = broadcast(a_shape, b_shape)?;
    let mut out = vec![R::default(); count(&shape)?];
    if out.is_empty() {
        return Ok((shape, out));
    }
    let (sizes, a_strides, b_strides) =
        joined(&shape, broadcast_strides(a_shape, &shape), broadcast_strides(b_shape, &shape));
    let last = |s: &[usize]| s.last().copied().unwrap_or(0);
    let (run, a_step, b_step) = (sizes.last().copied().unwrap_or(1), last(&a_strides), last(&b_strides));
    let rest = sizes.len().saturating_sub(1);
    let start = |mut row: usize, strides: &[usize]| {
        let mut offset = 0;
        for (&size, &stride) in sizes.iter().zip(strides).take(rest).rev() {
            offset += row % size * stride;
            row /= size;
        }
        offset
    };
    // A scalar is cut into runs of its own.
    let row = |i: usize, out: &mut [R]| {
        let operand = |x: usize| x..x + run;
        let (i, j) = (start(i, &a_strides), start(i, &b_strides));
        match (a_step, b_step) {
            (0, 0) => {
                if let (Some(&x), Some(&y)) = (a.get(i), b.get(j)) {
                    out.fill(f(x, y));
                }
            }
            (0, _) => {
                if let (Some(&x), Some(b)) = (a.get(i), b.get(operand(j))) {
                    out.iter_mut().zip(b).for_each(|(o, &y)| *o = f(x, y));
                }
            }
            (_, 0) => {
                if let (Some(a), Some(&y)) = (a.get(operand(i)), b.get(j)) {
                    out.iter_mut().zip(a).for_each(|(o, &x)| *o = f(x, y));
                }
            }
            _ => {
                if let (Some(a), Some(b)) = (a.get(operand(i)), b.get(operand(j))) {
                    out.iter_mut().zip(a.iter().zip(b)).for_each(|(o, (&x, &y))| *o = f(x, y));
                }
            }
        }
    };
    rows(&mut out, run, &row);
    Ok((shape, out))
}

/// Neighbouring axes along which both operands go on evenly, made one; axes of size 1 are left out.
fn joined(shape: &[usize], a: Vec<usize>, b: Vec<usize>) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let (mut sizes, mut a_out, mut b_out): (Vec<usize>, Vec<usize>, Vec<usize>) = Default::default();
    for ((&size, a), b) in shape.iter().zip(a).zip(b).filter(|((s, _), _)| **s != 1) {
        if let (Some(s), Some(x), Some(y)) = (sizes.last_mut(), a_out.last_mut(), b_out.last_mut())
            && *x == a * size
            && *y == b * size
        {
            (*s, *x, *y) = (*s * size, a, b);
        } else {
            sizes.push(size);
            a_out.push(a);
            b_out.push(b);
        }
    }
    (sizes, a_out, b_out)
}

/// Elements of `shape` repeated to the shape `to`, to which they broadcast.
///
/// # Errors
/// They do not.
pub(crate) fn repeated<'a, A: Element>(a: &'a [A], shape: &[usize], to: &[usize]) -> Result<Cow<'a, [A]>> {
    if shape == to {
        return Ok(a.into());
    }
    if broadcast(shape, to)? != to {
        return crate::error::refuse(format!("{shape:?} does not broadcast to {to:?}"));
    }
    let mut out = Vec::with_capacity(count(to)?);
    walk(to, [&broadcast_strides(shape, to)], |[i]| out.extend(a.get(i)));
    Ok(out.into())
}

/// An array's elements seen as runs along some of its axes.
pub(crate) struct Lanes {
    /// Where each run starts, row-major over the other axes.
    pub starts: Vec<usize>,
    /// Where its elements lie after that, row-major over its axes.
    pub offsets: Vec<usize>,
}

impl Lanes {
    /// The runs along the flagged axes of `shape`.
    ///
    /// # Errors
    /// There are more than memory could hold, of which each may be empty.
    pub fn new(shape: &[usize], along: &[bool]) -> Result<Self> {
        let all = strides(shape);
        let pick = |wanted: bool, v: &[usize]| -> Vec<usize> {
            v.iter().zip(along).filter(|&(_, &f)| f == wanted).map(|(&x, _)| x).collect()
        };
        let visit = |wanted: bool| {
            let own = pick(wanted, shape);
            let mut places = Vec::with_capacity(count(&own)?);
            walk(&own, [&pick(wanted, &all)], |[i]| places.push(i));
            Ok::<_, crate::Error>(places)
        };
        Ok(Self { starts: visit(false)?, offsets: visit(true)? })
    }

    /// The runs along one axis.
    ///
    /// # Errors
    /// As [`Lanes::new`].
    pub fn axis(shape: &[usize], axis: usize) -> Result<Self> {
        let flags: Vec<bool> = (0..shape.len()).map(|i| i == axis).collect();
        Self::new(shape, &flags)
    }

    /// One run's elements.
    pub fn run<'a, A: Element>(
        &'a self,
        a: &'a [A],
        start: usize,
    ) -> impl DoubleEndedIterator<Item = A> + Clone + 'a {
        self.offsets.iter().filter_map(move |&o| a.get(start + o).copied())
    }

    /// `f` of every run.
    pub fn fold<A: Element, R: Send>(&self, a: &[A], f: impl Fn(usize) -> R + Sync) -> Vec<R> {
        self.each(a.is_empty(), &f)
    }

    fn each<R: Send>(&self, empty: bool, f: &(dyn Fn(usize) -> R + Sync)) -> Vec<R> {
        let runs = if empty { SMALL } else { SMALL.div_ceil(self.offsets.len().max(1)) };
        self.starts.par_iter().with_min_len(runs).map(|&start| f(start)).collect()
    }

    /// Every run as `f` leaves it.
    pub fn map<A: Element, R: Element + Default>(
        &self,
        a: &[A],
        f: impl Fn(usize, &mut Vec<R>) + Sync,
    ) -> Vec<R> {
        self.laid(a.len(), &f)
    }

    fn laid<R: Element + Default>(&self, count: usize, f: &(dyn Fn(usize, &mut Vec<R>) + Sync)) -> Vec<R> {
        let runs = SMALL.div_ceil(self.offsets.len().max(1));
        let parts: Vec<Vec<R>> = self
            .starts
            .par_chunks(runs)
            .map(|starts| {
                let mut part = Vec::with_capacity(starts.len() * self.offsets.len());
                starts.iter().for_each(|&start| f(start, &mut part));
                part
            })
            .collect();
        let mut out = vec![R::default(); count];
        let places = self.starts.iter().flat_map(|s| self.offsets.iter().map(move |o| s + o));
        for (place, x) in places.zip(parts.into_iter().flatten()) {
            if let Some(o) = out.get_mut(place) {
                *o = x;
            }
        }
        out
    }

    /// Every run as `f` leaves it, which is given where the run starts and its elements as `f64`.
    pub fn rewrite<A: Element + Default>(&self, a: &[A], f: impl Fn(usize, &mut [f64]) + Sync) -> Vec<A> {
        self.map(a, |start, out| {
            let mut run: Vec<f64> = self.run(a, start).map(A::to_f64).collect();
            f(start, &mut run);
            out.extend(run.into_iter().map(A::from_f64));
        })
    }
}
