//! `x · scale + shift`, channel by channel: batch normalization in evaluation.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, Shape, TensorMetadata};
use rayon::prelude::*;

use super::{FlexTensor, buffer, build, dense, elements, is_f32, vectorized};

/// By burn's operations, for tapes and for other element types.
pub(super) fn composed<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
) -> FloatTensor<B> {
    let spread: Vec<usize> = x.shape().iter().enumerate().map(|(i, &d)| if i == 1 { d } else { 1 }).collect();
    let view = |t| B::float_reshape(t, Shape::from(spread.clone()));
    B::float_add(B::float_mul(x, view(scale)), view(shift))
}

pub(super) fn forward(x: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
    if !is_f32(&x) {
        return composed::<Flex>(x, scale, shift);
    }
    let (x, scale, shift) = (dense(x), dense(scale), dense(shift));
    let shape: Vec<usize> = x.shape().iter().copied().collect();
    let channels = shape.get(1).copied().unwrap_or(1).max(1);
    let inner: usize = shape.iter().skip(2).product::<usize>().max(1);
    let (from, scale, shift) = (elements(&x), elements(&scale), elements(&shift));
    let mut out = buffer(from.len());
    out.par_chunks_mut(inner)
        .zip(from.par_chunks(inner))
        .zip((0..from.len() / inner).into_par_iter())
        .for_each(|((out, from), row)| {
            let c = row % channels;
            if let (Some(&a), Some(&b)) = (scale.get(c), shift.get(c)) {
                vectorized(|| out.iter_mut().zip(from).for_each(|(o, &v)| *o = v * a + b));
            }
        });
    build(&shape, out)
}
