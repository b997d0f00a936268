//! Elements in other places: views with strides, and elements by position.

use occam_graph::{Array, Data};

use crate::numbers::{Element, array, each_type};
use crate::view::count;
use crate::{Error, Result};

/// A view of elements: its shape, and where each axis steps to.
pub(crate) struct View {
    pub shape: Vec<usize>,
    pub start: usize,
    pub strides: Vec<isize>,
}

fn beyond() -> Error {
    Error::Op("a view reaches beyond its elements".into())
}

impl View {
    /// Without axes of one element, and with neighbours that are one run joined.
    fn joined(&self) -> Vec<(usize, isize)> {
        let mut axes: Vec<(usize, isize)> = Vec::new();
        for (&size, &stride) in self.shape.iter().zip(&self.strides).filter(|(n, _)| **n != 1) {
            match axes.last_mut() {
                Some((n, s))
                    if isize::try_from(size).ok().and_then(|k| stride.checked_mul(k)) == Some(*s) =>
                {
                    *n *= size;
                    *s = stride;
                }
                _ => axes.push((size, stride)),
            }
        }
        axes
    }

    /// Refuses a view that reads an element which is not among `len`.
    fn check(&self, len: usize) -> Result<()> {
        let (mut low, mut high) = (0isize, 0isize);
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            let Some(last) = size.checked_sub(1) else { return Ok(()) };
            let reach = isize::try_from(last).ok().and_then(|n| n.checked_mul(stride)).ok_or_else(beyond)?;
            let side = if reach < 0 { &mut low } else { &mut high };
            *side = side.checked_add(reach).ok_or_else(beyond)?;
        }
        let inside = self.start.checked_add_signed(low).is_some()
            && self.start.checked_add_signed(high).is_some_and(|i| i < len);
        if inside { Ok(()) } else { Err(beyond()) }
    }

    /// The elements of `x` that the view shows.
    ///
    /// # Errors
    /// It shows elements that `x` lacks, or too many.
    pub fn of(&self, x: &Array) -> Result<Array> {
        let total = count(&self.shape)?;
        self.check(x.len())?;
        let axes = self.joined();
        each_type!(x, v => array(&self.shape, read(v, self.start, &axes, total)))
    }
}

fn read<T: Copy>(v: &[T], start: usize, axes: &[(usize, isize)], total: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(total);
    if total == 0 {
        return out;
    }
    let (outer, &(size, stride)) = match axes.split_last() {
        Some((last, outer)) => (outer, last),
        None => (axes, &(1, 1)),
    };
    let mut index = vec![0usize; outer.len()];
    let mut at = start;
    loop {
        match stride {
            1 => out.extend_from_slice(v.get(at..at + size).unwrap_or_default()),
            0 => out.extend(v.get(at).into_iter().flat_map(|&x| std::iter::repeat_n(x, size))),
            _ => out.extend((0..size).filter_map(|i| {
                let offset = isize::try_from(i).unwrap_or(0).wrapping_mul(stride);
                v.get(at.wrapping_add_signed(offset)).copied()
            })),
        }
        let mut done = true;
        for (i, &(n, s)) in index.iter_mut().zip(outer).rev() {
            *i += 1;
            if *i < n {
                at = at.wrapping_add_signed(s);
                done = false;
                break;
            }
            *i = 0;
            let back = isize::try_from(n - 1).unwrap_or(0).wrapping_mul(s);
            at = at.wrapping_add_signed(back.wrapping_neg());
        }
        if done {
            return out;
        }
    }
}

/// Elements between neighbours, as steps of views.
pub(crate) fn steps(shape: &[usize]) -> Vec<isize> {
    crate::view::strides(shape).into_iter().map(|s| isize::try_from(s).unwrap_or(isize::MAX)).collect()
}

/// The axes of `x` in another order.
pub(crate) fn transposed(x: &Array, order: &[usize]) -> Result<Array> {
    let own = steps(x.shape());
    let shape = order.iter().filter_map(|&i| x.shape().get(i).copied()).collect();
    let strides = order.iter().filter_map(|&i| own.get(i).copied()).collect();
    View { shape, start: 0, strides }.of(x)
}

/// Elements `start..start + size` of an axis of `x`.
pub(crate) fn part(x: &Array, axis: usize, start: usize, size: usize) -> Result<Array> {
    let strides = steps(x.shape());
    let mut shape = x.shape().to_vec();
    if let Some(d) = shape.get_mut(axis) {
        *d = size;
    }
    let step = strides.get(axis).map_or(0, |s| s.unsigned_abs());
    View { shape, start: start.checked_mul(step).ok_or_else(beyond)?, strides }.of(x)
}

/// The elements of `x` at row-major `positions`.
///
/// # Errors
/// One is beyond them.
pub(crate) fn at(x: &Array, shape: &[usize], positions: &[usize]) -> Result<Array> {
    each_type!(x, v => {
        let all = positions.iter().map(|&i| v.get(i).copied()).collect::<Option<Vec<_>>>();
        array(shape, all.ok_or_else(beyond)?)
    })
}

/// Arrays of one type side by side along `axis`.
///
/// # Errors
/// They differ in type, or in another axis.
pub(crate) fn concatenated(all: &[Array], axis: usize) -> Result<Array> {
    let Some(first) = all.first() else { return Err(Error::Op("nothing to join".into())) };
    let mut shape = first.shape().to_vec();
    let mut total = 0usize;
    for (i, x) in all.iter().enumerate() {
        let same = x.shape().len() == shape.len()
            && x.shape().iter().zip(&shape).enumerate().all(|(a, (m, n))| a == axis || m == n);
        if !same || x.dtype() != first.dtype() {
            return Err(Error::Op(format!("input {i} is {x:?}, but input 0 is {first:?}")));
        }
        total = total.saturating_add(x.shape().get(axis).copied().unwrap_or(0));
    }
    if let Some(d) = shape.get_mut(axis) {
        *d = total;
    }
    let len = count(&shape)?;
    let outer: usize = shape.iter().take(axis).product();
    fn join<T: Element>(all: &[Array], outer: usize, len: usize) -> Result<Data> {
        let parts = all.iter().map(crate::numbers::elements::<T>).collect::<Result<Vec<_>>>()?;
        let mut out = Vec::with_capacity(len);
        for i in 0..outer {
            for v in &parts {
                let run = v.len() / outer;
                out.extend_from_slice(v.get(i * run..(i + 1) * run).unwrap_or_default());
            }
        }
        Ok(T::wrap(out))
    }
    fn typed<T: Element>(_: &[T], all: &[Array], outer: usize, len: usize) -> Result<Data> {
        join::<T>(all, outer, len)
    }
    let data = each_type!(first, v => typed(v, all, outer, len))?;
    Ok(Array::new(shape, data)?)
}

/// `n` as a position among `size`, counted from the end where it is negative.
pub(crate) fn position(n: i64, size: usize) -> Result<usize> {
    let from_front = if n < 0 { n.checked_add_unsigned(size as u64) } else { Some(n) };
    from_front
        .and_then(|i| usize::try_from(i).ok())
        .filter(|&i| i < size)
        .ok_or_else(|| Error::Op(format!("position {n} is beyond size {size}")))
}

/// `n` as a size.
pub(crate) fn size(n: i64) -> Result<usize> {
    usize::try_from(n).map_err(|_| Error::Op(format!("size {n} is negative")))
}

/// All of them as sizes.
pub(crate) fn sizes(all: &[i64]) -> Result<Vec<usize>> {
    all.iter().map(|&n| size(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_read_what_they_show() {
        let x = Array::from_i64([2, 3], (0..6).collect()).unwrap();
        assert_eq!(transposed(&x, &[1, 0]).unwrap().as_i64().unwrap(), [0, 3, 1, 4, 2, 5]);
        let back = View { shape: vec![2, 3], start: 5, strides: vec![-3, -1] };
        assert_eq!(back.of(&x).unwrap().as_i64().unwrap(), [5, 4, 3, 2, 1, 0]);
        let wide = View { shape: vec![2, 3, 2], start: 0, strides: vec![3, 1, 0] };
        assert_eq!(wide.of(&x).unwrap().as_i64().unwrap(), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
        assert!(View { shape: vec![3, 3], start: 0, strides: vec![3, 1] }.of(&x).is_err());
        assert!(View { shape: vec![2], start: 0, strides: vec![-1] }.of(&x).is_err());
        assert!(View { shape: vec![1 << 30, 1 << 30], start: 0, strides: vec![0, 0] }.of(&x).is_err());
    }

    #[test]
    fn joins_along_any_axis() {
        let x = Array::from_i64([2, 1], vec![1, 2]).unwrap();
        let y = Array::from_i64([2, 2], vec![3, 4, 5, 6]).unwrap();
        assert_eq!(concatenated(&[x.clone(), y.clone()], 1).unwrap().as_i64().unwrap(), [1, 3, 4, 2, 5, 6]);
        assert!(concatenated(&[x, y], 0).is_err());
    }
}
