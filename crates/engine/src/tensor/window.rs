//! Convolution and pooling.

use burn::backend::Dispatch;
use burn::backend::ops::ModuleOps;

use occam_graph::Fact;
use occam_graph::ops::{Conv, OpFamily, Pool, PoolKind};

use super::Tensor;
use crate::Result;
use crate::error::refuse;
use crate::kernels::{ConvGeometry, TrainKernels};

impl Tensor {
    fn fact(&self) -> Result<Fact> {
        Ok(Fact::new(self.dtype()?, self.shape()))
    }

    /// Convolution without bias; see [`Conv`] for shapes and formula.
    ///
    /// # Errors
    /// The shapes do not fit.
    pub fn conv2d(&self, weight: &Tensor, conv: &Conv) -> Result<Tensor> {
        self.need_float("conv2d")?;
        if self.inner_type() != weight.inner_type() {
            return refuse("conv2d", format!("{weight:?} does not fit {self:?}"));
        }
        conv.infer(&[&self.fact()?, &weight.fact()?])?;
        let geometry = ConvGeometry {
            stride: conv.stride,
            padding: conv.padding,
            dilation: conv.dilation,
            groups: conv.groups,
        };
        Ok(Tensor::wrap(Dispatch::occam_conv2d(self.inner.clone(), weight.inner.clone(), geometry)))
    }

    /// Pooling with a sliding window; see [`Pool`].
    ///
    /// # Errors
    /// The shape does not fit.
    pub fn pool2d(&self, pool: &Pool) -> Result<Tensor> {
        self.need_float("pool2d")?;
        pool.infer(&[&self.fact()?])?;
        let Pool { kernel, stride, padding, ceil_mode, .. } = *pool;
        let x = self.inner.clone();
        Ok(Tensor::wrap(match pool.kind {
            PoolKind::Max => Dispatch::max_pool2d(x, kernel, stride, padding, [1, 1], ceil_mode),
            PoolKind::Average { count_include_pad } => {
                Dispatch::avg_pool2d(x, kernel, stride, padding, count_include_pad, ceil_mode)
            }
        }))
    }
}
