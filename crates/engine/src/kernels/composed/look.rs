//! Elements copied to host memory to be looked at.

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;
use burn::tensor::read_sync;

use crate::kernels::Look;

/// Shows the elements of `x`; not where they cannot be read.
pub(in crate::kernels) fn show<B: Backend>(x: FloatTensor<B>, look: &Look) -> FloatTensor<B> {
    if let Ok(data) = read_sync(B::float_into_data(x.clone()))
        && let Ok(elements) = data.try_into_vec::<f32>()
    {
        look.at(&elements);
    }
    x
}
