//! Convolution and pooling.

use burn::backend::Dispatch;
use burn::backend::ops::ModuleOps;

use occam_graph::ops::{Conv, OpFamily, Pool, PoolKind};
use occam_graph::{DType, Fact};

use occam_kernels::conv::{Dims, Geometry};
use occam_kernels::pool::Adaptive;

use super::Tensor;
use crate::Result;
use crate::error::refuse;
use crate::kernels::{Activation, ConvGeometry, Reduction, TrainKernels};

fn geometry(conv: &Conv) -> Geometry {
    Geometry { stride: conv.stride, padding: conv.padding, dilation: conv.dilation, groups: conv.groups }
}

/// Refuses sizes whose elements cannot be counted, before a kernel does; `cg` is the weights' number of input channels.
fn check(op: &'static str, conv: &Conv, d: Dims, cg: usize) -> Result<()> {
    match d.check() {
        Ok(()) if cg.checked_mul(conv.groups) == Some(d.c) => Ok(()),
        Ok(()) => {
            refuse(op, format!("weights of {cg} channels in {} groups do not fit {}", conv.groups, d.c))
        }
        Err(why) => refuse(op, format!("{conv:?}: {why}")),
    }
}

impl Tensor {
    fn fact(&self) -> Result<Fact> {
        Ok(Fact::new(self.dtype()?, self.shape()))
    }

    fn conv_geometry(&self, weight: &Tensor, conv: &Conv) -> Result<ConvGeometry> {
        self.need_float("conv2d")?;
        if self.inner_type() != weight.inner_type() {
            return refuse("conv2d", format!("{weight:?} does not fit {self:?}"));
        }
        conv.infer(&[&self.fact()?, &weight.fact()?])?;
        let ([n, c, h, w], [o, cg, kh, kw]) = (self.four()?, weight.four()?);
        check(
            "conv2d",
            conv,
            Dims { n, c, h, w, o, kh, kw, geometry: geometry(conv), weight_row: None },
            cg,
        )?;
        Ok(ConvGeometry {
            stride: conv.stride,
            padding: conv.padding,
            dilation: conv.dilation,
            groups: conv.groups,
            outputs: None,
        })
    }

    /// Convolution without bias; see [`Conv`] for shapes and formula.
    ///
    /// # Errors
    /// The shapes do not fit.
    pub fn conv2d(&self, weight: &Tensor, conv: &Conv) -> Result<Tensor> {
        let geometry = self.conv_geometry(weight, conv)?;
        Ok(Tensor::wrap(Dispatch::occam_conv2d(self.inner.clone(), weight.inner.clone(), geometry)))
    }

    /// [`Tensor::conv2d`] with the first `outputs` kernels of `weight`, and of each as many first channels as the input has
    /// (by group): the slice of a supernet's weights, without a copy of it. The gradient of `weight` is 0 elsewhere.
    ///
    /// # Errors
    /// The weights have fewer kernels or channels, or the other shapes do not fit.
    pub fn conv2d_prefix(&self, weight: &Tensor, outputs: usize, conv: &Conv) -> Result<Tensor> {
        self.need_float("conv2d")?;
        let channels = self.dim(1)?.checked_div(conv.groups).unwrap_or(0);
        let fact = weight.fact()?;
        let mut part = weight.shape();
        let fits = match part.as_mut_slice() {
            [o, c, _, _] if outputs <= *o && channels <= *c => {
                (*o, *c) = (outputs, channels);
                self.inner_type() == weight.inner_type()
            }
            _ => false,
        };
        if !fits {
            return refuse("conv2d", format!("{weight:?} has no part of {outputs} kernels for {self:?}"));
        }
        conv.infer(&[&self.fact()?, &Fact::new(fact.dtype, part)])?;
        let ([n, c, h, w], [_, cg, kh, kw]) = (self.four()?, weight.four()?);
        let row = cg.checked_mul(kh).and_then(|row| row.checked_mul(kw));
        let d = Dims { n, c, h, w, o: outputs, kh, kw, geometry: geometry(conv), weight_row: row };
        check("conv2d", conv, d, channels)?;
        let geometry = ConvGeometry {
            stride: conv.stride,
            padding: conv.padding,
            dilation: conv.dilation,
            groups: conv.groups,
            outputs: Some(outputs),
        };
        Ok(Tensor::wrap(Dispatch::occam_conv2d(self.inner.clone(), weight.inner.clone(), geometry)))
    }

    /// Transposed convolution, as `torch.nn.functional.conv_transpose2d` without bias: the gradient of a convolution's
    /// input. `weight` is `[C, O / groups, KH, KW]`; an output axis has
    /// `(size − 1) · stride − padding + dilation · (kernel − 1) + 1 + output_padding` elements.
    ///
    /// # Errors
    /// The shapes do not fit, `output_padding` is not below the stride, or the elements are no `f32`.
    pub fn conv_transpose2d(
        &self,
        weight: &Tensor,
        conv: &Conv,
        output_padding: [usize; 2],
    ) -> Result<Tensor> {
        self.need_float("conv_transpose2d")?;
        let misfit = || refuse("conv_transpose2d", format!("{weight:?} does not fit {self:?}"));
        let ([_, c, h, w], [wc, og, kh, kw]) = (self.four()?, weight.four()?);
        let f32s = self.dtype()? == DType::F32 && weight.dtype()? == DType::F32;
        if !f32s
            || wc != c
            || conv.groups == 0
            || !c.is_multiple_of(conv.groups)
            || og == 0
            || self.is_empty()
        {
            return misfit();
        }
        let mut size = [0; 2];
        for (axis, (size, (input, kernel))) in size.iter_mut().zip([(h, kh), (w, kw)]).enumerate() {
            let (stride, dilation) = (conv.stride[axis], conv.dilation[axis]);
            if stride == 0 || dilation == 0 || kernel == 0 || input == 0 || output_padding[axis] >= stride {
                return misfit();
            }
            let steps = (input - 1).checked_mul(stride);
            let taps = dilation.checked_mul(kernel - 1);
            let reach = steps.zip(taps).and_then(|(steps, taps)| steps.checked_add(taps));
            let reach = reach.and_then(|reach| reach.checked_add(1 + output_padding[axis]));
            let padding = conv.padding[axis].0.checked_add(conv.padding[axis].1);
            match reach.zip(padding).and_then(|(reach, padding)| reach.checked_sub(padding)) {
                Some(n) if n > 0 => *size = n,
                _ => return misfit(),
            }
        }
        let Some(outputs) = og.checked_mul(conv.groups) else { return misfit() };
        let d = Dims {
            n: self.dim(0)?,
            c: outputs,
            h: size[0],
            w: size[1],
            o: c,
            kh,
            kw,
            geometry: geometry(conv),
            weight_row: None,
        };
        check("conv_transpose2d", conv, d, og)?;
        let geometry = ConvGeometry {
            stride: conv.stride,
            padding: conv.padding,
            dilation: conv.dilation,
            groups: conv.groups,
            outputs: None,
        };
        let (x, weight) = (self.inner.clone(), weight.inner.clone());
        Ok(Tensor::wrap(Dispatch::occam_conv_transpose2d(x, weight, geometry, size)))
    }

    fn four(&self) -> Result<[usize; 4]> {
        match <[usize; 4]>::try_from(self.shape()) {
            Ok(shape) => Ok(shape),
            Err(_) => refuse("shape", format!("four axes wanted, found {self:?}")),
        }
    }

    /// [`Tensor::conv2d`] plus a term for every output channel.
    ///
    /// # Errors
    /// The shapes do not fit.
    pub fn conv2d_bias(&self, weight: &Tensor, bias: &Tensor, conv: &Conv) -> Result<Tensor> {
        let geometry = self.conv_geometry(weight, conv)?;
        if bias.shape() != [weight.dim(0)?] || bias.inner_type() != self.inner_type() {
            return refuse("conv2d", format!("bias {bias:?} does not fit {weight:?}"));
        }
        let (x, weight, bias) = (self.inner.clone(), weight.inner.clone(), bias.inner.clone());
        Ok(Tensor::wrap(Dispatch::occam_conv2d_bias(x, weight, bias, geometry)))
    }

    /// `act(scale · conv2d(self, weight) + shift + residual)`, with a factor and a term for every output channel.
    ///
    /// # Errors
    /// The shapes do not fit.
    pub(crate) fn conv2d_fused(
        &self,
        weight: &Tensor,
        conv: &Conv,
        [scale, shift]: [&Tensor; 2],
        residual: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        let geometry = self.conv_geometry(weight, conv)?;
        let out = conv.infer(&[&self.fact()?, &weight.fact()?])?;
        let wanted = out.first().and_then(Fact::known_shape).unwrap_or_default();
        for v in [scale, shift] {
            if Some(&v.len()) != wanted.get(1) || v.inner_type() != self.inner_type() {
                return refuse("conv2d", format!("{v:?} does not fit an output of {wanted:?}"));
            }
        }
        let (x, weight) = (self.inner.clone(), weight.inner.clone());
        let (scale, shift) = (scale.inner.clone(), shift.inner.clone());
        Ok(Tensor::wrap(match residual {
            None => Dispatch::occam_conv2d_affine(x, weight, scale, shift, geometry, activation),
            Some(r) if r.shape() == wanted && r.inner_type() == self.inner_type() => {
                Dispatch::occam_conv2d_residual(
                    x,
                    weight,
                    scale,
                    shift,
                    r.inner.clone(),
                    geometry,
                    activation,
                )
            }
            Some(r) => return refuse("conv2d", format!("{r:?} cannot be added to {wanted:?}")),
        }))
    }

    /// Pooling with a sliding window; see [`Pool`].
    ///
    /// # Errors
    /// The shape does not fit.
    pub fn pool2d(&self, pool: &Pool) -> Result<Tensor> {
        self.need_float("pool2d")?;
        let fact = self.fact()?;
        let outputs = pool.infer(&[&fact])?;
        let Pool { kernel, stride, padding, ceil_mode, .. } = *pool;
        let x = self.inner.clone();
        if self.dtype()? == DType::F32 {
            let plane = |f: &Fact| match f.known_shape().as_deref() {
                Some(&[_, _, h, w]) => [h, w],
                _ => [0, 0],
            };
            let output = outputs.first().map_or([0, 0], plane);
            let window = occam_kernels::pool::Pool { kernel, stride, padding, input: plane(&fact), output };
            return Ok(Tensor::wrap(Dispatch::occam_pool(
                x,
                match pool.kind {
                    PoolKind::Max => Reduction::Max(window),
                    PoolKind::Average { count_include_pad } => Reduction::Average(window, count_include_pad),
                },
            )));
        }
        Ok(Tensor::wrap(match pool.kind {
            PoolKind::Max => Dispatch::max_pool2d(x, kernel, stride, padding, [1, 1], ceil_mode),
            PoolKind::Average { count_include_pad } => {
                Dispatch::avg_pool2d(x, kernel, stride, padding, count_include_pad, ceil_mode)
            }
        }))
    }

    /// Means of windows that cover every plane of `[N, C, H, W]`, `output` of them along rows and columns, as
    /// `torch.nn.AdaptiveAvgPool2d`; see [`occam_kernels::pool::Adaptive`].
    ///
    /// # Errors
    /// There are no planes, they are empty or are to be, or the elements are no floats.
    pub fn adaptive_avg_pool2d(&self, output: [usize; 2]) -> Result<Tensor> {
        self.adaptive("adaptive_avg_pool2d", output, Reduction::AdaptiveAverage)
    }

    /// [`Tensor::adaptive_avg_pool2d`] with the largest element of each window, as `torch.nn.AdaptiveMaxPool2d`.
    ///
    /// # Errors
    /// As there.
    pub fn adaptive_max_pool2d(&self, output: [usize; 2]) -> Result<Tensor> {
        self.adaptive("adaptive_max_pool2d", output, Reduction::AdaptiveMax)
    }

    fn adaptive(
        &self,
        name: &'static str,
        output: [usize; 2],
        reduction: fn(Adaptive) -> Reduction,
    ) -> Result<Tensor> {
        self.need_float(name)?;
        let [n, c, h, w] = self.four()?;
        let elements = [n, c, output[0], output[1]].iter().try_fold(1usize, |all, &d| all.checked_mul(d));
        if h == 0 || w == 0 || output.contains(&0) || elements.is_none_or(|n| n > isize::MAX as usize / 8) {
            return refuse(name, format!("{self:?} cannot be pooled to {output:?}"));
        }
        let pool = Adaptive { input: [h, w], output };
        Ok(Tensor::wrap(Dispatch::occam_pool(self.inner.clone(), reduction(pool))))
    }

    /// Mean of every plane: all axes from the third on become 1.
    ///
    /// # Errors
    /// There are no planes, or the elements are no floats.
    pub fn global_avg_pool(&self) -> Result<Tensor> {
        self.need_float("global_avg_pool")?;
        let (n, c) = (self.dim(0)?, self.dim(1)?);
        if self.dtype()? == DType::F32 && self.rank() > 2 && !self.is_empty() {
            return Ok(Tensor::wrap(Dispatch::occam_pool(self.inner.clone(), Reduction::Global)));
        }
        let mut shape = vec![1; self.rank()];
        shape.iter_mut().zip([n, c]).for_each(|(s, d)| *s = d);
        let inner = self.len() / (n * c).max(1);
        self.reshape(&[n, c, inner])?.mean_axis(2)?.reshape(&shape)
    }
}
