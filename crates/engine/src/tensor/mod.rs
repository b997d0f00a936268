//! Tensors of any rank, on any device, with or without a tape.
//!
//! Every operation checks what it is given and returns a [`Result`]: burn's own checks panic, and a panic must not
//! be reachable from a model file.

mod activation;
mod arithmetic;
mod functions;
mod normalize;
mod quantize;
mod reduce;
mod select;
mod shape;
mod sigmoid;
mod update;
mod window;

pub use normalize::BatchNormTrain;

use std::fmt;
use std::sync::{Arc, Mutex};

use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::{
    AutodiffBackend, DType as BurnType, Dispatch, DispatchAutodiffContext, DispatchTensor, Shape, TensorData,
    TensorMetadata,
};
use burn::tensor::{FloatDType, read_sync};
use occam_graph::{Array, DType, Data};

use crate::error::refuse;
use crate::kernels::{Look, TrainKernels};
use crate::{Device, Error, Result};

/// A multi-dimensional array on a device, of floats or integers; clones share the elements.
#[derive(Clone)]
pub struct Tensor {
    inner: DispatchTensor,
}

/// Gradients of one backward pass.
pub struct Gradients(<Dispatch as AutodiffBackend>::Gradients);

impl Gradients {
    /// Takes out the gradient of a leaf (see [`Tensor::require_grad`]), on the plain device; none if the loss does
    /// not depend on it.
    pub fn take(&mut self, leaf: &Tensor) -> Option<Tensor> {
        if !leaf.is_tracked() {
            return None;
        }
        Dispatch::grad_remove(&leaf.inner, &mut self.0).map(Tensor::wrap)
    }
}

impl Tensor {
    pub(crate) fn wrap(inner: DispatchTensor) -> Self {
        Self { inner }
    }

    /// Copies an array to a device.
    ///
    /// # Errors
    /// The engine has no such element type: floats are `f32` and `f64`, integers `i32` and `i64`.
    pub fn from_array(array: &Array, device: &Device) -> Result<Self> {
        let shape = Shape::from(array.shape().to_vec());
        let device = device.dispatch();
        Ok(Self::wrap(match array.data() {
            Data::F32(v) => Dispatch::float_from_data(TensorData::new(v.clone(), shape), device),
            Data::F64(v) => Dispatch::float_from_data(TensorData::new(v.clone(), shape), device),
            Data::I32(v) => Dispatch::int_from_data(TensorData::new(v.clone(), shape), device),
            Data::I64(v) => Dispatch::int_from_data(TensorData::new(v.clone(), shape), device),
            other => return Err(Error::DType(other.dtype())),
        }))
    }

    /// A tensor of `f32` elements.
    ///
    /// # Errors
    /// The number of elements is not the product of `shape`.
    pub fn from_f32(shape: &[usize], data: Vec<f32>, device: &Device) -> Result<Self> {
        if shape.iter().product::<usize>() != data.len() {
            return refuse("from_f32", format!("{} elements for shape {shape:?}", data.len()));
        }
        let data = TensorData::new(data, Shape::from(shape.to_vec()));
        Ok(Self::wrap(Dispatch::float_from_data(data, device.dispatch())))
    }

    /// A tensor of `i64` elements.
    ///
    /// # Errors
    /// The number of elements is not the product of `shape`.
    pub fn from_i64(shape: &[usize], data: Vec<i64>, device: &Device) -> Result<Self> {
        Self::from_array(&Array::from_i64(shape, data)?, device)
    }

    /// An `f32` tensor with every element equal to `value`.
    pub fn full(shape: &[usize], value: f32, device: &Device) -> Self {
        let data = TensorData::full(Shape::from(shape.to_vec()), value);
        Self::wrap(Dispatch::float_from_data(data, device.dispatch()))
    }

    /// Copies the elements to host memory.
    ///
    /// # Errors
    /// The device failed.
    pub fn to_array(&self) -> Result<Array> {
        let read = |e: &dyn fmt::Display| Error::Read(e.to_string());
        let shape = self.shape();
        let dtype = self.dtype()?;
        let plain = self.detach().inner;
        let data = if dtype.is_float() {
            read_sync(Dispatch::float_into_data(plain))
        } else {
            read_sync(Dispatch::int_into_data(plain))
        }
        .map_err(|e| Error::Read(format!("{e:?}")))?;
        let data = match dtype {
            DType::F32 => Data::F32(data.try_into_vec().map_err(|e| read(&format!("{e:?}")))?),
            DType::F64 => Data::F64(data.try_into_vec().map_err(|e| read(&format!("{e:?}")))?),
            DType::I32 => Data::I32(data.try_into_vec().map_err(|e| read(&format!("{e:?}")))?),
            DType::I64 => Data::I64(data.try_into_vec().map_err(|e| read(&format!("{e:?}")))?),
            other => return Err(Error::DType(other)),
        };
        Ok(Array::new(shape, data)?)
    }

    /// The elements as `f32`, in row-major order.
    ///
    /// # Errors
    /// They are of another type, or the device failed.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        match self.to_array()?.into_data() {
            Data::F32(v) => Ok(v),
            other => Err(Error::DType(other.dtype())),
        }
    }

    /// What `f` makes of the elements, which are `f32`, in row-major order and where they lie: on the processor nothing is
    /// copied.
    ///
    /// # Errors
    /// The elements are of another type, or the device failed.
    pub fn with_f32<R, F>(&self, f: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnOnce(&[f32]) -> R + Send + 'static,
    {
        if self.dtype()? != DType::F32 {
            return Err(Error::DType(self.dtype()?));
        }
        let (f, result) = (Mutex::new(Some(f)), Arc::new(Mutex::new(None)));
        let seen = result.clone();
        let look = Look::new(move |x| {
            let f = f.lock().ok().and_then(|mut f| f.take());
            if let (Some(f), Ok(mut seen)) = (f, seen.lock()) {
                *seen = Some(f(x));
            }
        });
        Dispatch::occam_look(self.detach().inner, look);
        let seen = result.lock().ok().and_then(|mut r| r.take());
        seen.ok_or_else(|| Error::Read("the elements cannot be read".into()))
    }

    /// The only element.
    ///
    /// # Errors
    /// There is not exactly one, or it is no `f32`.
    pub fn item(&self) -> Result<f32> {
        match self.to_f32()?.as_slice() {
            [one] => Ok(*one),
            _ => refuse("item", format!("{self:?} has not exactly one element")),
        }
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> Vec<usize> {
        self.inner.shape().iter().copied().collect()
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.inner.shape().iter().count()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of one axis.
    ///
    /// # Errors
    /// There is no such axis.
    pub fn dim(&self, axis: usize) -> Result<usize> {
        match self.shape().get(axis) {
            Some(&d) => Ok(d),
            None => refuse("dim", format!("axis {axis} is beyond {self:?}")),
        }
    }

    /// Element type.
    ///
    /// # Errors
    /// It is one that the project does not know.
    pub fn dtype(&self) -> Result<DType> {
        match self.inner.dtype() {
            BurnType::F32 => Ok(DType::F32),
            BurnType::F64 => Ok(DType::F64),
            BurnType::F16 => Ok(DType::F16),
            BurnType::BF16 => Ok(DType::BF16),
            BurnType::I32 => Ok(DType::I32),
            BurnType::I64 => Ok(DType::I64),
            other => Err(Error::Read(format!("element type {other:?} is not known"))),
        }
    }

    /// The device.
    pub fn device(&self) -> Device {
        Device::plain(self.inner.device())
    }

    /// Whether operations on it are recorded for a backward pass.
    pub fn is_tracked(&self) -> bool {
        self.inner.autodiff != DispatchAutodiffContext::Disabled && self.inner.dtype().is_float()
    }

    /// A leaf: the same elements, whose gradient a backward pass will give.
    pub fn require_grad(&self) -> Self {
        let plain = self.detach().inner;
        let leaf = Dispatch::float_set_require_grad(Dispatch::from_inner(plain), true);
        Self::wrap(leaf)
    }

    /// The same elements without a tape, on the plain device: a constant.
    pub fn detach(&self) -> Self {
        if self.inner.autodiff == DispatchAutodiffContext::Disabled {
            return self.clone();
        }
        if self.inner.dtype().is_float() {
            Self::wrap(Dispatch::inner(self.inner.clone()))
        } else {
            Self::wrap(Dispatch::int_inner(self.inner.clone()))
        }
    }

    /// The same numbers as floats of another type, rounded to the nearest.
    ///
    /// # Errors
    /// The elements are no floats, or `dtype` is none.
    pub fn cast(&self, dtype: DType) -> Result<Self> {
        self.need_float("cast")?;
        let to = match dtype {
            DType::F64 => FloatDType::F64,
            DType::F32 => FloatDType::F32,
            DType::F16 => FloatDType::F16,
            DType::BF16 => FloatDType::BF16,
            other => return refuse("cast", format!("floats cannot become {other}")),
        };
        if self.dtype()? == dtype {
            return Ok(self.clone());
        }
        Ok(Self::wrap(Dispatch::float_cast(self.inner.clone(), to)))
    }

    /// The same elements, whose gradient is multiplied by `factor` on its way back.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn scale_gradient(&self, factor: f64) -> Result<Self> {
        self.need_float("scale_gradient")?;
        if factor == 1.0 || !self.is_tracked() {
            return Ok(self.clone());
        }
        Ok(Self::wrap(Dispatch::occam_scale_gradient(self.inner.clone(), factor)))
    }

    /// Gradients of this scalar with respect to all leaves that it depends on.
    ///
    /// # Errors
    /// It has more than one element, or no leaf leads to it.
    pub fn backward(self) -> Result<Gradients> {
        if self.len() != 1 {
            return refuse("backward", format!("{self:?} is no scalar"));
        }
        if !self.is_tracked() {
            return refuse("backward", "the loss does not depend on any trainable parameter");
        }
        Ok(Gradients(Dispatch::backward(self.inner)))
    }

    pub(crate) fn need_float(&self, op: &'static str) -> Result<()> {
        if self.inner.dtype().is_float() {
            return Ok(());
        }
        refuse(op, format!("floats wanted, found {self:?}"))
    }

    pub(crate) fn need_axis(&self, op: &'static str, axis: usize) -> Result<()> {
        if axis < self.rank() {
            return Ok(());
        }
        refuse(op, format!("axis {axis} is beyond {self:?}"))
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dtype() {
            Ok(t) => write!(f, "{t}{:?}", self.shape()),
            Err(_) => write!(f, "?{:?}", self.shape()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_round_trip() {
        let a = Array::from_f32([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let t = Tensor::from_array(&a, &Device::cpu()).unwrap();
        assert_eq!(t.to_array().unwrap(), a);
        assert_eq!(t.require_grad().to_array().unwrap(), a);
        let i = Array::from_i64([2], vec![3, -4]).unwrap();
        assert_eq!(Tensor::from_array(&i, &Device::cpu()).unwrap().to_array().unwrap(), i);
    }

    #[test]
    fn gradients_reach_leaves_only() {
        let cpu = Device::cpu();
        let x = Tensor::from_f32(&[2], vec![3.0, -1.0], &cpu).unwrap().require_grad();
        let c = Tensor::from_f32(&[2], vec![2.0, 5.0], &cpu).unwrap();
        let loss = x.mul(&x).unwrap().mul(&c).unwrap().sum().unwrap();
        let mut grads = loss.backward().unwrap();
        assert_eq!(grads.take(&x).unwrap().to_f32().unwrap(), [12.0, -10.0]);
        assert!(grads.take(&c).is_none());
        assert!(c.sum().unwrap().backward().is_err());
        assert!(x.backward().is_err());
    }
}
