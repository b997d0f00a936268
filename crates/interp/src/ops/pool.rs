//! Poolings.

use occam_graph::onnx::Onnx;
use occam_graph::onnx::window::{Positions, Window, sizes};
use occam_graph::{Array, Data};
use rayon::prelude::*;

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::numbers::{Element, array, each_type, from_f64, to_f64};
use crate::product::narrow;
use crate::view::{count, strides};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("MaxPool", max),
    Eval::new("AveragePool", average),
    Eval::new("LpPool", lp),
    Eval::new("GlobalAveragePool", |c| global(c, |v| v.iter().sum::<f64>() / v.len() as f64)),
    Eval::new("GlobalMaxPool", |c| global(c, |v| v.iter().copied().fold(f64::NEG_INFINITY, f64::max))),
    Eval::new("GlobalLpPool", |c| {
        let p = order(c.op)?;
        global(c, move |v| v.iter().map(|x| x.abs().powf(p)).sum::<f64>().powf(1.0 / p))
    }),
    Eval::new("MaxUnpool", unpool),
];

/// The elements under a window at one position, along one axis.
#[derive(Debug, Clone, Copy)]
struct Covered {
    /// The first of them.
    first: usize,
    /// How many.
    count: usize,
    /// How many the window has in the padded input.
    padded: usize,
}

/// A window over the spatial axes of an input.
struct Windows {
    /// By spatial axis: what each position covers.
    axes: Vec<Vec<Covered>>,
    /// By spatial axis: elements of a plane between neighbours, and between taps.
    steps: Vec<(usize, usize)>,
    /// Elements of a plane.
    plane: usize,
    /// Shape of the output.
    shape: Vec<usize>,
}

/// Planes for which a window's elements are looked up once.
const PLANES: usize = 8;

/// How many multiples of `step` from `from` on lie below `end`, at most `most`.
fn taps(from: i64, end: i64, step: usize, most: usize) -> usize {
    let room = usize::try_from(end - from).unwrap_or(0);
    room.div_ceil(step.max(1)).min(most)
}

fn covered(p: Positions, at: usize, size: usize, kernel: usize, stride: usize, dilation: usize) -> Covered {
    let start = (at * stride) as i64 - p.before as i64;
    let skipped = taps(start, 0, dilation, kernel);
    let first = start + (skipped * dilation) as i64;
    Covered {
        first: usize::try_from(first).unwrap_or(0),
        count: taps(first, size as i64, dilation, kernel - skipped),
        padded: taps(start, (size + p.after) as i64, dilation, kernel),
    }
}

impl Windows {
    fn of(op: &Onnx, x: &Array) -> Result<Self> {
        let Some((outer, spatial)) = x.shape().split_at_checked(2).filter(|(_, s)| !s.is_empty()) else {
            return refuse(format!("the input must have rank 3 or more, found {x:?}"));
        };
        let window = Window::of_pool(op, spatial.len())?;
        let own = strides(spatial);
        let plane = count(spatial)?;
        let mut windows = Self { axes: Vec::new(), steps: Vec::new(), plane, shape: outer.to_vec() };
        let params = window.kernel.iter().zip(&window.stride).zip(&window.dilation);
        for (i, (((&kernel, &stride), &dilation), &size)) in params.zip(spatial).enumerate() {
            let p = window.positions(i, size)?;
            windows.shape.push(p.count);
            count(&windows.shape)?;
            windows
                .axes
                .push((0..p.count).map(|at| covered(p, at, size, kernel, stride, dilation)).collect());
            let own = own.get(i).copied().unwrap_or(1);
            windows.steps.push((own, dilation.saturating_mul(own)));
        }
        Ok(windows)
    }

    /// `f` of every window of every plane, row-major, given the plane, where the window's elements lie in it, and how many
    /// it has in the padded input.
    fn map<T: Element, U: Send + Default + Clone>(
        &self,
        x: &[T],
        f: impl Fn(&[T], &[usize], usize) -> U + Sync,
    ) -> Vec<U> {
        let spatial: Vec<usize> = self.axes.iter().map(Vec::len).collect();
        let each: usize = spatial.iter().product();
        let planes: usize = self.shape.iter().take(2).product();
        let mut y = vec![U::default(); each * planes];
        if y.is_empty() {
            return y;
        }
        y.par_chunks_mut(each * PLANES).enumerate().for_each(|(block, y)| {
            let mut at = vec![0usize; spatial.len()];
            let (mut here, mut next) = (Vec::new(), Vec::new());
            for o in 0..each {
                here.clear();
                here.push(0);
                let mut padded = 1usize;
                for ((axis, &a), (own, step)) in self.axes.iter().zip(&at).zip(&self.steps) {
                    let Some(c) = axis.get(a) else { continue };
                    padded = padded.saturating_mul(c.padded);
                    next.clear();
                    for &h in &here {
                        next.extend((0..c.count).map(|k| h + c.first * own + k * step));
                    }
                    std::mem::swap(&mut here, &mut next);
                }
                for (p, y) in y.iter_mut().skip(o).step_by(each).enumerate() {
                    let first = (block * PLANES + p) * self.plane;
                    *y = f(x.get(first..first + self.plane).unwrap_or_default(), &here, padded);
                }
                for (a, n) in at.iter_mut().zip(&spatial).rev() {
                    *a += 1;
                    if *a < *n {
                        break;
                    }
                    *a = 0;
                }
            }
        });
        y
    }
}

/// The largest element of every window, and where it lies in the input. NaN is larger than any number; of equal elements
/// the first counts.
fn max(c: &Operands<'_>) -> Result<Vec<Array>> {
    fn of<T: Element + Default>(w: &Windows, x: &[T]) -> Vec<(T, usize)> {
        w.map(x, |plane, at, _| {
            let mut best = (T::from_f64(f64::NEG_INFINITY), 0);
            for (i, &o) in at.iter().enumerate() {
                let Some(&v) = plane.get(o) else { continue };
                let nan = v.partial_cmp(&v).is_none();
                if i == 0 || v > best.0 || nan {
                    best = (v, o);
                }
                if nan {
                    break;
                }
            }
            best
        })
    }
    fn results<T: Element + Default>(
        c: &Operands<'_>,
        w: &Windows,
        x: &[T],
        spatial: &[usize],
    ) -> Result<Vec<Array>> {
        let best = of(w, x);
        let y = array(&w.shape, best.iter().map(|b| b.0).collect())?;
        if c.op.outputs.get(1) != Some(&true) {
            return Ok(vec![y]);
        }
        let columns = c.op.flag("storage_order")?;
        let each: usize = w.axes.iter().map(Vec::len).product();
        // Column-major places count the first spatial axis fastest.
        let place = |o: usize| {
            let (mut rest, mut index) = (o, Vec::with_capacity(spatial.len()));
            for &n in spatial.iter().rev() {
                index.push(rest % n.max(1));
                rest /= n.max(1);
            }
            index.iter().zip(spatial.iter().rev()).fold(0, |sum, (i, n)| sum * n + i)
        };
        let indices = best.iter().enumerate().map(|(i, &(_, o))| {
            let o = if columns { place(o) } else { o };
            (i / each.max(1) * w.plane + o) as i64
        });
        Ok(vec![y, array(&w.shape, indices.collect())?])
    }
    let x = c.array(0)?;
    let w = Windows::of(c.op, x)?;
    let spatial = x.shape().get(2..).unwrap_or_default();
    each_type!(x, v => results(c, &w, v, spatial))
}

/// The mean of every window; zeros around the input count where `count_include_pad`.
fn average(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let w = Windows::of(c.op, x)?;
    let zeros = c.op.flag("count_include_pad")?;
    let parts = |at: &[usize], padded: usize| if zeros { padded } else { at.len() };
    Ok(vec![match x.data() {
        Data::F32(v) => {
            let mean = |plane: &[f32], at: &[usize], padded| {
                let sum: f32 = at.iter().filter_map(|&o| plane.get(o)).sum();
                sum / parts(at, padded) as f32
            };
            array(&w.shape, w.map(v, mean))?
        }
        _ if x.dtype().is_float() => {
            let mean = |plane: &[f64], at: &[usize], padded| {
                let sum: f64 = at.iter().filter_map(|&o| plane.get(o)).sum();
                sum / parts(at, padded) as f64
            };
            from_f64(x.dtype(), &w.shape, &w.map(&to_f64(x), mean))?
        }
        _ => return refuse(format!("floats wanted, found {x:?}")),
    }])
}

/// The exponent of a norm.
fn order(op: &Onnx) -> Result<f64> {
    match op.size("p")?.unwrap_or(2) {
        0 => refuse("attribute `p` must be at least 1"),
        p => Ok(p as f64),
    }
}

/// `(Σ |x|^p)^(1/p)` of every window.
fn lp(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let w = Windows::of(c.op, x)?;
    let p = order(c.op)?;
    let norm = |plane: &[f64], at: &[usize], _| {
        let sum: f64 = at.iter().filter_map(|&o| plane.get(o)).map(|x| x.abs().powf(p)).sum();
        sum.powf(1.0 / p)
    };
    Ok(vec![from_f64(x.dtype(), &w.shape, &w.map(&to_f64(x), norm))?])
}

/// `f` of every plane.
fn global(c: &Operands<'_>, f: impl Fn(&[f64]) -> f64 + Sync) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let Some((outer, spatial)) = x.shape().split_at_checked(2).filter(|(_, s)| !s.is_empty()) else {
        return refuse(format!("the input must have rank 3 or more, found {x:?}"));
    };
    let (planes, plane) = (count(outer)?, count(spatial)?);
    let shape: Vec<usize> = outer.iter().copied().chain(spatial.iter().map(|_| 1)).collect();
    let v = to_f64(x);
    let y: Vec<f64> = if plane == 0 {
        vec![f(&[]); planes]
    } else {
        v.par_chunks(plane).with_min_len((1usize << 14).div_ceil(plane)).map(&f).collect()
    };
    Ok(vec![narrow(x.dtype(), &shape, y)?])
}

/// Zeros with the elements at the places that `MaxPool` took them from; places count in the output that the attributes say.
fn unpool(c: &Operands<'_>) -> Result<Vec<Array>> {
    fn put<T: Element>(x: &[T], places: &[i64], from: &[usize], to: &[usize]) -> Result<Array> {
        let mut y = vec![T::from_i64(0); count(to)?];
        let (own, other) = (strides(from), strides(to));
        for (&v, &place) in x.iter().zip(places) {
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            let (mut rest, mut at, mut inside) = (place, 0usize, true);
            for (i, (own, other)) in own.iter().zip(&other).enumerate() {
                let index = rest / (*own).max(1);
                rest %= (*own).max(1);
                inside &= to.get(i).is_some_and(|&n| index < n);
                at = at.saturating_add(index.saturating_mul(*other));
            }
            match y.get_mut(at) {
                Some(y) if inside => *y = v,
                _ => return refuse(format!("place {place} lies outside the output {to:?}")),
            }
        }
        array(to, y)
    }
    let (x, places) = (c.array(0)?, c.array(1)?);
    if x.shape() != places.shape() {
        return refuse(format!("{x:?} and its places {places:?} differ in shape"));
    }
    let Some((outer, spatial)) = x.shape().split_at_checked(2).filter(|(_, s)| !s.is_empty()) else {
        return refuse(format!("the input must have rank 3 or more, found {x:?}"));
    };
    let window = Window::of_pool(c.op, spatial.len())?;
    let strides = sizes(c.op, "strides", spatial.len(), 1, 1)?;
    let mut own = outer.to_vec();
    for (i, ((&n, &s), &k)) in spatial.iter().zip(&strides).zip(&window.kernel).enumerate() {
        let (before, after) = window.given(i);
        let full = n.saturating_sub(1).saturating_mul(s).saturating_add(k);
        match full.checked_sub(before + after) {
            Some(n) => own.push(n),
            None => return refuse("the padding is larger than the output"),
        }
    }
    let to = match c.ints(2)? {
        None => own.clone(),
        Some(given) => {
            let sizes: Option<Vec<usize>> = given.iter().map(|&n| usize::try_from(n).ok()).collect();
            match sizes.filter(|s| s.len() == own.len()) {
                Some(sizes) => sizes,
                None => return refuse(format!("output shape {given:?} does not fit {x:?}")),
            }
        }
    };
    count(&own)?;
    let places = crate::numbers::to_i64(places)?;
    Ok(vec![each_type!(x, v => put(v, &places, &own, &to))?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use occam_graph::onnx::Attribute;

    fn pool(name: &str, ints: &[(&str, &[i64])]) -> Onnx {
        let with = |op: Onnx, (k, v): &(&str, &[i64])| op.with(k, Attribute::Ints(v.to_vec()));
        ints.iter().fold(Onnx::new(name, 22, 1), with)
    }

    fn square(n: usize) -> Array {
        Array::from_f32([1, 1, n, n], (0..n * n).map(|v| v as f32).collect()).unwrap()
    }

    #[test]
    fn largest_and_where() {
        let mut op = pool("MaxPool", &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])]);
        op.outputs = vec![true; 2];
        let y = evaluate(&op, &[square(4)]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [5.0, 7.0, 13.0, 15.0]);
        assert_eq!(y[1].as_i64().unwrap(), [5, 7, 13, 15]);
        let y = evaluate(&op.with("storage_order", Attribute::Int(1)), &[square(4)]).unwrap();
        assert_eq!(y[1].as_i64().unwrap(), [5, 13, 7, 15]);
    }

    #[test]
    fn padding_counts_where_asked() {
        let op = pool("AveragePool", &[("kernel_shape", &[2, 2]), ("pads", &[1, 1, 0, 0])]);
        let y = evaluate(&op, &[square(2)]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [0.0, 0.5, 1.0, 1.5]);
        let y = evaluate(&op.with("count_include_pad", Attribute::Int(1)), &[square(2)]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [0.0, 0.25, 0.5, 1.5]);
    }

    #[test]
    fn places_outside_are_refused() {
        let x = Array::from_f32([1, 1, 1], vec![3.0]).unwrap();
        let mut op = pool("MaxUnpool", &[("kernel_shape", &[2]), ("strides", &[2])]);
        op.inputs = vec![true; 2];
        let at = |place| evaluate(&op, &[x.clone(), Array::from_i64([1, 1, 1], vec![place]).unwrap()]);
        assert_eq!(at(1).unwrap()[0].as_f32().unwrap(), [0.0, 3.0]);
        assert!(at(2).is_err() && at(-1).is_err());
    }
}
