//! Pooling.
//!
//! Windows that reach beyond the padded image (`ceil_mode`) see a border that is laid around it first: so the size of the
//! output and what a mean counts are those of [`occam_kernels::pool`], whatever a backend of burn thinks of them.

use burn::backend::ops::PadMode;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Shape, TensorData, TensorMetadata, get_or_init_device_settings};
use burn::tensor::IndexingUpdateOp;
use occam_kernels::pool::{Adaptive, Pool};

use super::{part, shape};
use crate::kernels::Reduction;
use crate::kernels::pool::Indices;

/// How burn is to move over the image.
struct Windows {
    pool: Pool,
    stride: [usize; 2],
    /// Rows and columns that burn adds on both sides.
    padding: [usize; 2],
    /// Rows and columns before and after that are laid around the image first.
    border: Option<[(usize, usize); 2]>,
}

impl Windows {
    fn new(pool: Pool) -> Self {
        let stride = pool.stride.map(|s| s.max(1));
        let floor = |axis: usize| {
            let room = (pool.input[axis] + 2 * pool.padding[axis]).checked_sub(pool.kernel[axis]);
            room.map_or(0, |room| room / stride[axis] + 1)
        };
        if (0..2).all(|axis| floor(axis) == pool.output[axis]) {
            return Self { pool, stride, padding: pool.padding, border: None };
        }
        let around = |axis: usize| {
            let before = pool.padding[axis];
            let reach = pool.output[axis].saturating_sub(1) * stride[axis] + pool.kernel[axis];
            (before, reach.saturating_sub(pool.input[axis] + before))
        };
        Self { pool, stride, padding: [0, 0], border: Some([around(0), around(1)]) }
    }

    fn bordered<B: Backend>(&self, x: FloatTensor<B>, value: f32) -> FloatTensor<B> {
        match self.border {
            None => x,
            Some([rows, columns]) => {
                B::float_pad(x, &[(0, 0), (0, 0), rows, columns], PadMode::Constant(value))
            }
        }
    }

    /// A tensor of the shape of what burn has pooled, with elements that nobody reads.
    fn like_input<B: Backend>(&self, grad: &FloatTensor<B>, input: &[usize]) -> FloatTensor<B> {
        let mut shape = input.to_vec();
        for (d, (before, after)) in shape.iter_mut().skip(2).zip(self.border.unwrap_or_default()) {
            *d += before + after;
        }
        B::float_zeros(Shape::from(shape), &grad.device(), grad.dtype().into())
    }

    fn cropped<B: Backend>(&self, grad: FloatTensor<B>) -> FloatTensor<B> {
        let Some([(top, _), (left, _)]) = self.border else { return grad };
        let [h, w] = self.pool.input;
        part::<B>(grad, &[(2, top..top + h), (3, left..left + w)])
    }

    /// What means over windows and border are multiplied with, to be means over what counts.
    fn factors<B: Backend>(&self, x: &FloatTensor<B>, include_pad: bool) -> FloatTensor<B> {
        let [rows, columns] = [0, 1].map(|axis| self.pool.counts(axis, include_pad));
        let all = (self.pool.kernel[0] * self.pool.kernel[1]) as f32;
        let values: Vec<f32> = rows.iter().flat_map(|r| columns.iter().map(move |c| all / (r * c))).collect();
        let data = TensorData::new(values, Shape::from(vec![1, 1, rows.len(), columns.len()]));
        B::float_cast(B::float_from_data(data, &x.device()), x.dtype().into())
    }
}

/// `[planes, inner]`
fn flat(shape: &[usize]) -> Shape {
    let sizes: [usize; 2] = [shape.iter().take(2).product(), shape.iter().skip(2).product()];
    Shape::from(sizes.to_vec())
}

/// `[n, c, inner]`
fn planes(shape: &[usize], inner: usize) -> Shape {
    Shape::from(shape.iter().take(2).copied().chain([inner]).collect::<Vec<_>>())
}

/// The largest element of each window, `[n, c, oh · ow]`, and where it lies in its plane.
fn largest<B: Backend>(x: FloatTensor<B>, pool: &Adaptive) -> (FloatTensor<B>, IntTensor<B>) {
    let (input, ints) = (shape::<B>(&x), get_or_init_device_settings::<B>(&x.device()).int_dtype);
    let (mut values, mut places) = (Vec::new(), Vec::new());
    for rows in (0..pool.output[0]).map(|at| pool.window(0, at)) {
        for columns in (0..pool.output[1]).map(|at| pool.window(1, at)) {
            let size = rows.len() * columns.len();
            let window = part::<B>(x.clone(), &[(2, rows.clone()), (3, columns.clone())]);
            let (most, at) =
                B::float_max_dim_with_indices(B::float_reshape(window, planes(&input, size)), 2, ints);
            // From a place in the window to one in the plane.
            let width = columns.len() as i64;
            let down =
                B::int_mul_scalar(B::int_div_scalar(at.clone(), width.into()), (pool.input[1] as i64).into());
            let across = B::int_remainder_scalar(at, width.into());
            let first = (rows.start * pool.input[1] + columns.start) as i64;
            values.push(most);
            places.push(B::int_add_scalar(B::int_add(down, across), first.into()));
        }
    }
    (B::float_cat(values, 2), B::int_cat(places, 2))
}

/// `[n, c, oh, ow]` of a tensor whose first axes are those of `input`.
fn pooled(input: &[usize], pool: &Adaptive) -> Shape {
    Shape::from(input.iter().take(2).chain(&pool.output).copied().collect::<Vec<_>>())
}

pub(in crate::kernels) fn forward<B: Backend>(x: FloatTensor<B>, reduction: Reduction) -> FloatTensor<B> {
    match reduction {
        Reduction::AdaptiveAverage(pool) => B::adaptive_avg_pool2d(x, pool.output),
        Reduction::AdaptiveMax(pool) => {
            let shape = pooled(&shape::<B>(&x), &pool);
            B::float_reshape(largest::<B>(x, &pool).0, shape)
        }
        Reduction::Max(pool) => {
            let w = Windows::new(pool);
            let x = w.bordered::<B>(x, f32::NEG_INFINITY);
            B::max_pool2d(x, pool.kernel, w.stride, w.padding, [1, 1], false)
        }
        Reduction::Average(pool, include_pad) => {
            let w = Windows::new(pool);
            if w.border.is_none() {
                return B::avg_pool2d(x, pool.kernel, w.stride, w.padding, include_pad, false);
            }
            let factors = w.factors::<B>(&x, include_pad);
            let x = w.bordered::<B>(x, 0.0);
            B::float_mul(B::avg_pool2d(x, pool.kernel, w.stride, w.padding, true, false), factors)
        }
        Reduction::Global => {
            let input = shape::<B>(&x);
            let means = B::float_mean_dim(B::float_reshape(x, flat(&input)), 1);
            let output: Vec<usize> =
                input.iter().enumerate().map(|(i, &d)| if i < 2 { d } else { 1 }).collect();
            B::float_reshape(means, Shape::from(output))
        }
    }
}

/// As [`forward`], with what the way back needs.
pub(in crate::kernels) fn indexed<B: Backend>(
    x: FloatTensor<B>,
    reduction: Reduction,
) -> (FloatTensor<B>, Indices<B>) {
    if let Reduction::AdaptiveMax(pool) = reduction {
        let shape = pooled(&shape::<B>(&x), &pool);
        let (values, places) = largest::<B>(x, &pool);
        return (B::float_reshape(values, shape), Indices::Device(places));
    }
    let Reduction::Max(pool) = reduction else { return (forward::<B>(x, reduction), Indices::None) };
    let w = Windows::new(pool);
    let x = w.bordered::<B>(x, f32::NEG_INFINITY);
    let ints = get_or_init_device_settings::<B>(&x.device()).int_dtype;
    let found = B::max_pool2d_with_indices(x, pool.kernel, w.stride, w.padding, [1, 1], false, ints);
    (found.output, Indices::Device(found.indices))
}

pub(in crate::kernels) fn backward<B: Backend>(
    grad: FloatTensor<B>,
    indices: Indices<B>,
    input: &[usize],
    reduction: Reduction,
) -> FloatTensor<B> {
    match (reduction, indices) {
        (Reduction::Max(pool), Indices::Device(indices)) => {
            let w = Windows::new(pool);
            let like = w.like_input::<B>(&grad, input);
            let back = B::max_pool2d_with_indices_backward(
                like,
                pool.kernel,
                w.stride,
                w.padding,
                [1, 1],
                false,
                grad,
                indices,
            );
            w.cropped::<B>(back.x_grad)
        }
        (Reduction::AdaptiveMax(pool), Indices::Device(places)) => {
            let zeros =
                B::float_zeros(planes(input, pool.input_plane()), &grad.device(), grad.dtype().into());
            let grad = B::float_reshape(grad, planes(input, pool.output_plane()));
            let dx = B::float_scatter(2, zeros, places, grad, IndexingUpdateOp::Add);
            B::float_reshape(dx, Shape::from(input.to_vec()))
        }
        (Reduction::AdaptiveAverage(_), _) => {
            let like = B::float_zeros(Shape::from(input.to_vec()), &grad.device(), grad.dtype().into());
            B::adaptive_avg_pool2d_backward(like, grad)
        }
        // `indexed` gave no others.
        (Reduction::Max(_) | Reduction::AdaptiveMax(_), _) => {
            B::float_zeros(Shape::from(input.to_vec()), &grad.device(), grad.dtype().into())
        }
        (Reduction::Average(pool, include_pad), _) => {
            let w = Windows::new(pool);
            let like = w.like_input::<B>(&grad, input);
            if w.border.is_none() {
                let (k, s, p) = (pool.kernel, w.stride, w.padding);
                return B::avg_pool2d_backward(like, grad, k, s, p, include_pad, false);
            }
            let grad = B::float_mul(grad.clone(), w.factors::<B>(&grad, include_pad));
            let back = B::avg_pool2d_backward(like, grad, pool.kernel, w.stride, w.padding, true, false);
            w.cropped::<B>(back)
        }
        (Reduction::Global, _) => {
            let inner: usize = input.iter().skip(2).product();
            let share = B::float_div_scalar(grad, (inner.max(1) as f64).into());
            B::float_expand(share, Shape::from(input.to_vec()))
        }
    }
}
