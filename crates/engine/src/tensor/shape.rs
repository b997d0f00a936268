//! Changing shapes, picking and joining.

use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::{Dispatch, Shape};
use burn::tensor::ops::PadMode;

use occam_graph::{DType, Data};

use super::Tensor;
use crate::Result;
use crate::error::refuse;
use crate::kernels::TrainKernels;

impl Tensor {
    /// The same elements in row-major order under another shape.
    ///
    /// # Errors
    /// The element counts differ.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor> {
        if shape.iter().product::<usize>() != self.len() {
            return refuse("reshape", format!("{self:?} cannot be viewed as {shape:?}"));
        }
        let (inner, shape) = (self.inner.clone(), Shape::from(shape.to_vec()));
        Ok(Tensor::wrap(if self.inner_type().is_float() {
            Dispatch::float_reshape(inner, shape)
        } else {
            Dispatch::int_reshape(inner, shape)
        }))
    }

    /// Exchanges two axes.
    ///
    /// # Errors
    /// There is no such axis, or the elements are no floats.
    pub fn swap_axes(&self, a: usize, b: usize) -> Result<Tensor> {
        self.need_float("swap_axes")?;
        self.need_axis("swap_axes", a)?;
        self.need_axis("swap_axes", b)?;
        Ok(Tensor::wrap(Dispatch::float_swap_dims(self.inner.clone(), a, b)))
    }

    /// Axis `i` of the result is axis `perm[i]`.
    ///
    /// # Errors
    /// `perm` has not every axis once, or the elements are no floats.
    pub fn permute(&self, perm: &[usize]) -> Result<Tensor> {
        self.need_float("permute")?;
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.rank()) {
            return refuse("permute", format!("{perm:?} is no order of the axes of {self:?}"));
        }
        Ok(Tensor::wrap(Dispatch::float_permute(self.inner.clone(), perm)))
    }

    /// Repeats the elements along axes of size 1, up to `shape`.
    ///
    /// # Errors
    /// Another size differs, or the elements are no floats.
    pub fn expand(&self, shape: &[usize]) -> Result<Tensor> {
        self.need_float("expand")?;
        let fits =
            shape.len() == self.rank() && self.shape().iter().zip(shape).all(|(&d, &n)| d == n || d == 1);
        if !fits {
            return refuse("expand", format!("{self:?} cannot be repeated to {shape:?}"));
        }
        Ok(Tensor::wrap(Dispatch::float_expand(self.inner.clone(), Shape::from(shape.to_vec()))))
    }

    /// Zeros before and behind the elements of every axis.
    ///
    /// # Errors
    /// `padding` has not one pair an axis, or the elements are no floats.
    pub fn pad(&self, padding: &[(usize, usize)]) -> Result<Tensor> {
        self.pad_with(padding, 0.0)
    }

    /// [`Tensor::pad`] with another value.
    ///
    /// # Errors
    /// As there.
    pub fn pad_with(&self, padding: &[(usize, usize)], value: f32) -> Result<Tensor> {
        self.need_float("pad")?;
        if padding.len() != self.rank() {
            return refuse("pad", format!("{} pairs for {self:?}", padding.len()));
        }
        Ok(Tensor::wrap(Dispatch::float_pad(self.inner.clone(), padding, PadMode::Constant(value))))
    }

    /// `y[.., j, ..] = x[.., indices[.., j, ..], ..]` along `axis`, as `torch.gather`.
    ///
    /// # Errors
    /// Ranks differ, `indices` are no integers, or one is outside `0..size`.
    pub fn gather(&self, axis: usize, indices: &Tensor) -> Result<Tensor> {
        self.need_float("gather")?;
        self.need_axis("gather", axis)?;
        if indices.inner_type().is_float() || indices.rank() != self.rank() {
            return refuse("gather", format!("indices {indices:?} do not fit {self:?}"));
        }
        let size = self.dim(axis)?;
        let shape = self.shape();
        let fits = shape.iter().zip(indices.shape()).enumerate().all(|(i, (&d, n))| i == axis || n <= d);
        if !fits {
            return refuse("gather", format!("indices {indices:?} do not fit {self:?}"));
        }
        let inside = |i: i64| usize::try_from(i).is_ok_and(|i| i < size);
        let outside = match indices.to_array()?.data() {
            Data::I64(v) => v.iter().copied().find(|&i| !inside(i)),
            Data::I32(v) => v.iter().map(|&i| i64::from(i)).find(|&i| !inside(i)),
            _ => None,
        };
        if let Some(i) = outside {
            return refuse("gather", format!("index {i} is outside 0..{size}"));
        }
        Ok(Tensor::wrap(Dispatch::float_gather(axis, self.inner.clone(), indices.inner.clone())))
    }

    /// `len` elements of `axis` from `start` on.
    ///
    /// # Errors
    /// They reach beyond the axis, or the elements are no floats.
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Tensor> {
        self.need_float("narrow")?;
        let size = self.dim(axis)?;
        let Some(end) = start.checked_add(len).filter(|&e| e <= size) else {
            return refuse("narrow", format!("{start} + {len} is beyond axis {axis} of {self:?}"));
        };
        if axis == 1 && self.dtype()? == DType::F32 && !self.is_empty() && len > 0 {
            return Ok(Tensor::wrap(Dispatch::occam_take_channels(self.inner.clone(), start, len)));
        }
        let slices: Vec<_> = (0..self.rank())
            .zip(self.shape())
            .map(|(i, d)| {
                let (from, to) = if i == axis { (start, end) } else { (0, d) };
                burn::tensor::Slice::new(from as isize, Some(to as isize), 1)
            })
            .collect();
        Ok(Tensor::wrap(Dispatch::float_slice(self.inner.clone(), &slices)))
    }

    /// Joins tensors along `axis`.
    ///
    /// # Errors
    /// There is none, or other sizes or types differ.
    pub fn concat(tensors: &[Tensor], axis: usize) -> Result<Tensor> {
        let Some(first) = tensors.first() else {
            return refuse("concat", "nothing to join");
        };
        first.need_float("concat")?;
        first.need_axis("concat", axis)?;
        for t in tensors {
            let fits = t.inner_type() == first.inner_type()
                && t.rank() == first.rank()
                && (0..t.rank()).all(|i| i == axis || t.shape().get(i) == first.shape().get(i));
            if !fits {
                return refuse("concat", format!("{t:?} does not fit {first:?}"));
            }
        }
        if let ([a, b], 1, DType::F32) = (tensors, axis, first.dtype()?)
            && !a.is_empty()
            && !b.is_empty()
        {
            return Ok(Tensor::wrap(Dispatch::occam_concat_channels(a.inner.clone(), b.inner.clone())));
        }
        let list = tensors.iter().map(|t| t.inner.clone()).collect();
        Ok(Tensor::wrap(Dispatch::float_cat(list, axis)))
    }

    /// Index of the largest element along `axis`, which keeps size 1; of equal ones the first.
    ///
    /// # Errors
    /// There is no such axis, or the elements are no floats.
    pub fn argmax(&self, axis: usize) -> Result<Tensor> {
        self.need_float("argmax")?;
        self.need_axis("argmax", axis)?;
        let plain = self.detach();
        Ok(Tensor::wrap(Dispatch::float_argmax(plain.inner, axis, burn::tensor::IntDType::I64)))
    }

    /// Integers as `f32`.
    ///
    /// # Errors
    /// The elements are floats already.
    pub fn int_to_f32(&self) -> Result<Tensor> {
        if self.inner_type().is_float() {
            return refuse("int_to_f32", format!("integers wanted, found {self:?}"));
        }
        let inner = self.inner.clone();
        Ok(Tensor::wrap(Dispatch::int_into_float(inner, burn::tensor::FloatDType::F32)))
    }

    /// Channel shuffle (Zhang et al., 2018, arXiv:1707.01083): channel `g · (C / groups) + i` becomes
    /// `i · groups + g`.
    ///
    /// # Errors
    /// The groups do not divide axis 1, or the elements are no floats.
    pub fn channel_shuffle(&self, groups: usize) -> Result<Tensor> {
        self.need_float("channel_shuffle")?;
        let (n, c) = (self.dim(0)?, self.dim(1)?);
        if groups == 0 || !c.is_multiple_of(groups) {
            return refuse(
                "channel_shuffle",
                format!("{groups} groups do not divide the channels of {self:?}"),
            );
        }
        if self.dtype()? == DType::F32 && !self.is_empty() {
            return Ok(Tensor::wrap(Dispatch::occam_shuffle(self.inner.clone(), groups)));
        }
        let inner = self.len() / (n * c).max(1);
        self.reshape(&[n, groups, c / groups, inner])?.swap_axes(1, 2)?.reshape(&self.shape())
    }
}
