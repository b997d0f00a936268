//! The kernels by burn's own operations, one file a kind: for devices without kernels of ours, and for elements other
//! than `f32`.
//!
//! They compute what the kernels of the processor do, to rounding; `tests.rs` compares each over random shapes.

pub(super) mod activation;
pub(super) mod batch_norm;
pub(super) mod channels;
pub(super) mod conv;
pub(super) mod conv_transpose;
pub(super) mod cross_entropy;
pub(super) mod fake_quant;
pub(super) mod look;
pub(super) mod optim;
pub(super) mod pool;
#[cfg(test)]
mod tests;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape, Slice, TensorMetadata, get_or_init_device_settings};
use burn::tensor::BoolDType;

/// The sizes of a tensor.
fn shape<B: Backend>(x: &FloatTensor<B>) -> Vec<usize> {
    x.shape().iter().copied().collect()
}

/// The first `N` sizes, 1 where there are fewer.
fn sizes<B: Backend, const N: usize>(x: &FloatTensor<B>) -> [usize; N] {
    let mut out = [1; N];
    for (o, &d) in out.iter_mut().zip(x.shape().iter()) {
        *o = d;
    }
    out
}

/// How the device of `x` holds truth values.
fn bools<B: Backend>(x: &FloatTensor<B>) -> BoolDType {
    get_or_init_device_settings::<B>(&x.device()).bool_dtype
}

/// A vector with an element for every index of `axis`, as a tensor that broadcasts to `shape`.
fn along<B: Backend>(shape: &[usize], axis: usize, v: FloatTensor<B>) -> FloatTensor<B> {
    let spread: Vec<usize> = shape.iter().enumerate().map(|(i, &d)| if i == axis { d } else { 1 }).collect();
    B::float_reshape(v, Shape::from(spread))
}

/// Sum over all axes but `axis`, as a vector.
fn sum_to<B: Backend>(x: FloatTensor<B>, axis: usize) -> FloatTensor<B> {
    let shape = shape::<B>(&x);
    let size = shape.get(axis).copied().unwrap_or(1);
    let others: Vec<usize> = (0..shape.len()).filter(|&a| a != axis).collect();
    B::float_reshape(B::float_sum_dims(x, &others), Shape::from(vec![size]))
}

/// The elements of `range` on `axis`.
fn part<B: Backend>(x: FloatTensor<B>, ranges: &[(usize, std::ops::Range<usize>)]) -> FloatTensor<B> {
    let mut slices = whole(&shape::<B>(&x));
    for (axis, range) in ranges {
        if let Some(slice) = slices.get_mut(*axis) {
            *slice = of(range.clone());
        }
    }
    B::float_slice(x, &slices)
}

/// `part` among zeros of `shape`, from `start` of `axis` on and from 0 of all others.
fn among_zeros<B: Backend>(
    part: FloatTensor<B>,
    shape: &[usize],
    axis: usize,
    start: usize,
) -> FloatTensor<B> {
    let mut slices = whole(&self::shape::<B>(&part));
    if let (Some(slice), Some(&len)) = (slices.get_mut(axis), self::shape::<B>(&part).get(axis)) {
        *slice = of(start..start + len);
    }
    let zeros = B::float_zeros(Shape::from(shape.to_vec()), &part.device(), part.dtype().into());
    B::float_slice_assign(zeros, &slices, part)
}

fn whole(shape: &[usize]) -> Vec<Slice> {
    shape.iter().map(|&d| of(0..d)).collect()
}

fn of(range: std::ops::Range<usize>) -> Slice {
    Slice::new(range.start as isize, Some(range.end as isize), 1)
}
