//! Cross entropy of logits with class indices.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Shape, TensorData, TensorMetadata};
use burn::tensor::IndexingUpdateOp;

use super::sizes;

/// The classes as a column.
fn column<B: Backend>(of: &FloatTensor<B>, targets: &[i64]) -> IntTensor<B> {
    let data = TensorData::new(targets.to_vec(), Shape::from(vec![targets.len(), 1]));
    B::int_from_data(data, &of.device())
}

/// Losses of the samples and the softmax.
pub(in crate::kernels) fn forward<B: Backend>(
    logits: FloatTensor<B>,
    targets: &[i64],
) -> (FloatTensor<B>, FloatTensor<B>) {
    let logs = B::log_softmax(logits, 1);
    let picked = B::float_gather(1, logs.clone(), column::<B>(&logs, targets));
    let losses = B::float_neg(B::float_reshape(picked, Shape::from(vec![targets.len()])));
    (losses, B::float_exp(logs))
}

/// `(softmax − target) · grad`
pub(in crate::kernels) fn backward<B: Backend>(
    probabilities: FloatTensor<B>,
    targets: &[i64],
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let [n] = sizes::<B, 1>(&probabilities);
    let (indices, column) = (column::<B>(&probabilities, targets), Shape::from(vec![n, 1]));
    let less =
        B::float_full(column.clone(), (-1.0).into(), &probabilities.device(), probabilities.dtype().into());
    let differences = B::float_scatter(1, probabilities, indices, less, IndexingUpdateOp::Add);
    B::float_mul(differences, B::float_reshape(grad, column))
}
