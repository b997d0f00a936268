//! Zeros around planes, as many as their sizes need.

use super::{OpFamily, check_inputs, check_rank};
use crate::axes::{input, output};
use crate::{AxisMap, Dim, Error, Fact, Result};

/// Zeros around two spatial axes, so that a window of `kernel` taps with `stride` and `dilation` covers all elements and
/// has `ceil(size / stride)` places: TensorFlow's `SAME`, as mmcv's `Conv2dAdaptivePadding` and `AdaptivePadding`.
///
/// With `reach = dilation · (kernel − 1) + 1`, an axis gets
/// `max((ceil(size / stride) − 1) · stride + reach − size, 0)` zeros, half of them before (rounded down), or all of them
/// behind where `corner` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptivePad {
    /// Size of the window, by axis.
    pub kernel: [usize; 2],
    /// Step of the window, by axis.
    pub stride: [usize; 2],
    /// Distance of the window's taps, by axis.
    pub dilation: [usize; 2],
    /// Whether all zeros lie behind the elements.
    pub corner: bool,
}

impl AdaptivePad {
    /// Elements between the first and the last tap along one spatial axis, both included; and the step. None where one is
    /// 0 or too large.
    fn window(&self, axis: usize) -> Option<(usize, usize)> {
        let (&kernel, &stride, &dilation) =
            (self.kernel.get(axis)?, self.stride.get(axis)?, self.dilation.get(axis)?);
        if kernel == 0 || stride == 0 || dilation == 0 {
            return None;
        }
        let reach = dilation.checked_mul(kernel - 1)?.checked_add(1)?;
        i64::try_from(reach).ok()?;
        i64::try_from(stride).ok()?;
        Some((reach, stride))
    }

    /// Zeros that any size needs beyond those that fill it up to a multiple of the stride: `reach − stride`, by axis.
    ///
    /// # Errors
    /// A size of the window is 0 or too large.
    pub fn excess(&self) -> Result<[i64; 2]> {
        let excess = |axis| {
            let (reach, stride) = self.window(axis)?;
            i64::try_from(reach).ok()?.checked_sub(i64::try_from(stride).ok()?)
        };
        match (excess(0), excess(1)) {
            (Some(h), Some(w)) => Ok([h, w]),
            _ => Err(Error::Op("kernel, stride and dilation must be at least 1, and not too large".into())),
        }
    }

    /// Zeros before and behind `size` elements of spatial axis 0 or 1.
    ///
    /// # Errors
    /// A size of the window is 0 or too large.
    pub fn padding(&self, axis: usize, size: usize) -> Result<(usize, usize)> {
        self.excess()?;
        let Some((reach, stride)) = self.window(axis) else {
            return Err(Error::Op(format!("there is no spatial axis {axis}")));
        };
        let last = size.div_ceil(stride).saturating_sub(1).saturating_mul(stride);
        let total = last.saturating_add(reach).saturating_sub(size);
        let before = if self.corner { 0 } else { total / 2 };
        Ok((before, total - before))
    }
}

impl OpFamily for AdaptivePad {
    fn name(&self) -> &'static str {
        "AdaptivePad"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut list = vec![
            ("kernel", format!("{}x{}", self.kernel[0], self.kernel[1])),
            ("stride", format!("{}x{}", self.stride[0], self.stride[1])),
        ];
        if self.dilation != [1, 1] {
            list.push(("dilation", format!("{}x{}", self.dilation[0], self.dilation[1])));
        }
        if self.corner {
            list.push(("corner", "true".into()));
        }
        list
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        let Some(&x) = inputs.first() else { return Ok(Vec::new()) };
        check_rank(x, 4, "input")?;
        let excess = self.excess()?;
        let mut out = x.clone();
        for (axis, (d, excess)) in out.shape.iter_mut().skip(2).zip(excess).enumerate() {
            *d = match (d.known(), self.window(axis)) {
                (Some(size), _) => {
                    let (before, after) = self.padding(axis, size)?;
                    Dim::Known(size).plus(&Dim::Known(before.saturating_add(after)))?
                }
                (None, Some((1, _)) | None) => d.clone(),
                (None, Some((_, stride))) if excess >= 0 => {
                    d.ceil_div(stride)?.times(&Dim::Known(stride))?.offset(excess)?
                }
                (None, Some((reach, stride))) => {
                    return Err(Error::Op(format!(
                        "a window of {reach} elements with stride {stride} needs known sizes, found {x}"
                    )));
                }
            };
        }
        Ok(vec![out])
    }

    fn axes(&self, _: &[&Fact], _: &[&Fact]) -> AxisMap {
        AxisMap::default().same(input(0, 0), output(0, 0)).same(input(0, 1), output(0, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bindings;

    fn pad(kernel: usize, stride: usize) -> AdaptivePad {
        AdaptivePad { kernel: [kernel; 2], stride: [stride; 2], dilation: [1, 1], corner: false }
    }

    #[test]
    fn odd_sizes_get_more_before() {
        assert_eq!(pad(3, 2).padding(0, 224).unwrap(), (0, 1));
        assert_eq!(pad(3, 2).padding(0, 225).unwrap(), (1, 1));
        assert_eq!(pad(5, 2).padding(1, 14).unwrap(), (1, 2));
        assert_eq!(pad(5, 1).padding(0, 7).unwrap(), (2, 2));
        assert_eq!(pad(1, 2).padding(0, 7).unwrap(), (0, 0));
        assert_eq!(AdaptivePad { corner: true, ..pad(16, 16) }.padding(0, 50).unwrap(), (0, 14));
        assert_eq!(AdaptivePad { dilation: [2, 1], ..pad(3, 2) }.padding(0, 8).unwrap(), (1, 2));
    }

    #[test]
    fn symbols_give_the_same_sizes() {
        let free = Fact::f32([Dim::symbol("N"), 3.into(), Dim::symbol("H"), Dim::symbol("W")]);
        for (op, size) in [(pad(3, 2), 9), (pad(3, 2), 10), (pad(7, 3), 11), (pad(4, 4), 13), (pad(1, 2), 5)]
        {
            let known = Fact::f32([1usize, 3, size, size + 1]);
            let bindings = Bindings::from([("N".into(), 1), ("H".into(), size), ("W".into(), size + 1)]);
            let found = op.infer(&[&free]).unwrap()[0].eval_shape(&bindings).unwrap();
            assert_eq!(found, op.infer(&[&known]).unwrap()[0].known_shape().unwrap(), "{op:?}");
        }
        let error = pad(2, 4).infer(&[&free]).unwrap_err().to_string();
        assert!(error.contains("needs known sizes"), "{error}");
        assert!(pad(0, 1).infer(&[&free]).is_err() && pad(3, 0).infer(&[&free]).is_err());
    }
}
