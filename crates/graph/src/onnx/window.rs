//! Windows that move over the spatial axes of `[N, C, ..]`: what convolutions and poolings share.

use super::{Onnx, Site};
use crate::{Dim, Error, Result};

/// Where zeros around the input come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Padding {
    /// They are given.
    Given,
    /// As many as make the output `ceil(size / stride)`; an odd one is put before the input where `lower`.
    Same { lower: bool },
}

/// How a window moves, by spatial axis.
#[derive(Debug, Clone)]
pub struct Window {
    /// Its size.
    pub kernel: Vec<usize>,
    /// Its step.
    pub stride: Vec<usize>,
    /// Distance of its taps.
    pub dilation: Vec<usize>,
    /// Zeros before and after, where they are given.
    pads: Vec<(usize, usize)>,
    padding: Padding,
    /// Whether the last window may reach beyond the padding.
    ceil: bool,
}

/// A window's positions along one axis of known size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// Zeros before the input.
    pub before: usize,
    /// Zeros after it.
    pub after: usize,
    /// How many positions there are.
    pub count: usize,
}

/// Numbers of windows are at most this, so that products of two can be counted.
const MOST: i64 = 1 << 30;

/// A list of sizes with an element for each of `rank` axes; all are `default` where it is absent.
///
/// # Errors
/// It is of another type or length, an element is below `least` or beyond what can be counted.
pub fn sizes(op: &Onnx, name: &str, rank: usize, least: i64, default: usize) -> Result<Vec<usize>> {
    let Some(list) = op.ints(name)?.filter(|l| !l.is_empty()) else { return Ok(vec![default; rank]) };
    if list.len() != rank {
        return Err(Error::Op(format!("attribute `{name}` must have {rank} elements, found {list:?}")));
    }
    let size = |&n: &i64| usize::try_from(n).ok().filter(|_| (least..=MOST).contains(&n));
    list.iter()
        .map(|n| {
            size(n).ok_or_else(|| Error::Op(format!("{list:?} of attribute `{name}` are not supported")))
        })
        .collect()
}

impl Window {
    /// The window that an operator's attributes describe; `kernel` is its size, known from its weights or from
    /// `kernel_shape`.
    ///
    /// # Errors
    /// Attributes are of another type, of wrong lengths, or out of range.
    pub fn of(op: &Onnx, kernel: Vec<usize>) -> Result<Self> {
        let rank = kernel.len();
        if let Some(k) = kernel.iter().find(|k| !(1..=MOST as usize).contains(*k)) {
            return Err(Error::Op(format!("a kernel of size {k} is not supported")));
        }
        let flat = sizes(op, "pads", 2 * rank, 0, 0)?;
        let (before, after) = flat.split_at(rank);
        let pads = before.iter().copied().zip(after.iter().copied());
        let (padding, pads) = match op.text("auto_pad")?.unwrap_or("NOTSET") {
            "NOTSET" | "" => (Padding::Given, pads.collect()),
            "VALID" => (Padding::Given, vec![(0, 0); rank]),
            "SAME_UPPER" => (Padding::Same { lower: false }, vec![(0, 0); rank]),
            "SAME_LOWER" => (Padding::Same { lower: true }, vec![(0, 0); rank]),
            other => return Err(Error::Op(format!("auto_pad `{other}` is not supported"))),
        };
        Ok(Self {
            stride: sizes(op, "strides", rank, 1, 1)?,
            dilation: sizes(op, "dilations", rank, 1, 1)?,
            ceil: op.flag("ceil_mode")?,
            kernel,
            pads,
            padding,
        })
    }

    /// The window of an operator whose attribute `kernel_shape` is its size.
    ///
    /// # Errors
    /// As [`Window::of`]; `kernel_shape` is absent.
    pub fn of_pool(op: &Onnx, rank: usize) -> Result<Self> {
        if op.ints("kernel_shape")?.is_none() {
            return Err(Error::Op("attribute `kernel_shape` is missing".into()));
        }
        Self::of(op, sizes(op, "kernel_shape", rank, 1, 1)?)
    }

    /// Stride, distance of taps, and elements from the first tap to behind the last, of an axis.
    fn along(&self, axis: usize) -> Result<(usize, usize)> {
        match (self.kernel.get(axis), self.stride.get(axis), self.dilation.get(axis)) {
            (Some(&k), Some(&s), Some(&d)) => Ok((s, d * (k - 1) + 1)),
            _ => Err(Error::Op(format!("the window has no axis {axis}"))),
        }
    }

    /// Zeros before and after, where they are given; for an operator that goes the other way.
    pub fn given(&self, axis: usize) -> (usize, usize) {
        self.pads.get(axis).copied().unwrap_or_default()
    }

    /// Whether zeros follow from the sizes, and whether an odd one goes before the input.
    pub fn same(&self) -> Option<bool> {
        match self.padding {
            Padding::Given => None,
            Padding::Same { lower } => Some(lower),
        }
    }

    /// Elements from the first tap to behind the last.
    ///
    /// # Errors
    /// There is no such axis.
    pub fn reach(&self, axis: usize) -> Result<usize> {
        Ok(self.along(axis)?.1)
    }

    /// Where the window lies along an axis of `size`.
    ///
    /// `count = floor((size + before + after − reach) / stride) + 1`, or `ceil` where the operator asks for it, in which
    /// case a window that would start behind the input is dropped.
    ///
    /// # Errors
    /// The window is larger than the padded input.
    pub fn positions(&self, axis: usize, size: usize) -> Result<Positions> {
        let (stride, reach) = self.along(axis)?;
        if let Padding::Same { lower } = self.padding {
            let count = size.div_ceil(stride);
            let total = (count.saturating_sub(1) * stride).saturating_add(reach).saturating_sub(size);
            let (small, large) = (total / 2, total - total / 2);
            let (before, after) = if lower { (large, small) } else { (small, large) };
            return Ok(Positions { before, after, count });
        }
        let (before, after) = self.given(axis);
        let room = size.checked_add(before + after).and_then(|n| n.checked_sub(reach)).ok_or_else(|| {
            Error::Op(format!(
                "window of {reach} is larger than {size} with {before} before and {after} after"
            ))
        })?;
        let mut count = if self.ceil { room.div_ceil(stride) } else { room / stride } + 1;
        if self.ceil && (count - 1) * stride >= size + before {
            count -= 1;
        }
        Ok(Positions { before, after, count })
    }

    /// How many positions there are along an axis of `size`.
    ///
    /// # Errors
    /// As [`Window::positions`].
    pub fn output(&self, site: &Site<'_>, axis: usize, size: &Dim) -> Result<Dim> {
        if let Some(size) = size.known() {
            return Ok(self.positions(axis, size)?.count.into());
        }
        let (stride, reach) = self.along(axis)?;
        if self.same().is_some() {
            return size.ceil_div(stride);
        }
        let (before, after) = self.given(axis);
        let room = size.offset((before + after) as i64 - reach as i64)?;
        if !self.ceil {
            return room.floor_div(stride)?.offset(1);
        }
        // Whether the last window starts behind the input depends on the size, unless it cannot.
        if after + stride <= reach {
            room.ceil_div(stride)?.offset(1)
        } else {
            Ok(site.unknown(format!("axis{axis}")))
        }
    }

    /// How many positions there are along every axis of `spatial`.
    ///
    /// # Errors
    /// As [`Window::positions`].
    pub fn outputs(&self, site: &Site<'_>, spatial: &[Dim]) -> Result<Vec<Dim>> {
        spatial.iter().enumerate().map(|(i, d)| self.output(site, i, d)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::Attribute;

    fn window(attributes: &[(&str, Attribute)], kernel: &[usize]) -> Result<Window> {
        let mut op = Onnx::new("MaxPool", 22, 1);
        for (name, a) in attributes {
            op.attributes.insert((*name).into(), a.clone());
        }
        Window::of(&op, kernel.to_vec())
    }

    #[test]
    fn positions_follow_the_attributes() {
        let ints = |v: &[i64]| Attribute::Ints(v.to_vec());
        let text = |s: &str| Attribute::String(s.into());
        let at = |a: &[(&str, Attribute)], k: usize, size: usize| {
            let p = window(a, &[k]).unwrap().positions(0, size).unwrap();
            (p.before, p.after, p.count)
        };
        assert_eq!(at(&[("strides", ints(&[2])), ("pads", ints(&[1, 2]))], 3, 7), (1, 2, 4));
        assert_eq!(at(&[("auto_pad", text("SAME_UPPER"))], 2, 5), (0, 1, 5));
        assert_eq!(at(&[("auto_pad", text("SAME_LOWER"))], 2, 5), (1, 0, 5));
        let ceil = |s: i64, pads: &[i64]| {
            [("strides", ints(&[s])), ("pads", ints(pads)), ("ceil_mode", Attribute::Int(1))]
        };
        assert_eq!(at(&ceil(2, &[0, 0]), 3, 6).2, 3);
        // The last window would start behind the input.
        assert_eq!(at(&ceil(2, &[0, 0]), 1, 2).2, 1);
    }

    #[test]
    fn misfits_are_refused() {
        let ints = |v: &[i64]| Attribute::Ints(v.to_vec());
        for (name, value) in [("strides", ints(&[0])), ("strides", ints(&[1, 1])), ("pads", ints(&[-1, 0]))] {
            assert!(window(&[(name, value)], &[3]).is_err(), "{name}");
        }
        assert!(window(&[], &[0]).is_err());
        assert!(window(&[], &[3]).unwrap().positions(0, 2).is_err());
    }
}
