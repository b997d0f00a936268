//! Optimizer updates of `f32` in one pass; formulas are at [`occam_kernels::optim`].

use burn::backend::TensorMetadata;
use occam_kernels::optim::{self, Moments};

pub use occam_kernels::optim::{AdamW as AdamWRule, Sgd as SgdRule};

use super::{FlexTensor, dense, elements};

/// The elements, to be written; copied first where somebody else has them too.
fn own(x: &mut FlexTensor) -> &mut [f32] {
    let n: usize = x.shape().iter().product();
    let all = x.storage_mut::<f32>();
    let len = n.min(all.len());
    &mut all[..len]
}

pub(super) fn sgd(param: FlexTensor, grad: FlexTensor, rule: SgdRule) -> FlexTensor {
    let (mut param, grad) = (dense(param), dense(grad));
    optim::sgd(own(&mut param), elements(&grad), None, true, &rule);
    param
}

pub(super) fn sgd_momentum(
    param: FlexTensor,
    grad: FlexTensor,
    buffer: FlexTensor,
    first: bool,
    rule: SgdRule,
) -> (FlexTensor, FlexTensor) {
    let (mut param, grad, mut buffer) = (dense(param), dense(grad), dense(buffer));
    optim::sgd(own(&mut param), elements(&grad), Some(own(&mut buffer)), first, &rule);
    (param, buffer)
}

pub(super) fn adamw(
    param: FlexTensor,
    grad: FlexTensor,
    exp_avg: FlexTensor,
    exp_avg_sq: FlexTensor,
    step: u32,
    rule: AdamWRule,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let (mut param, grad) = (dense(param), dense(grad));
    let (mut exp_avg, mut exp_avg_sq) = (dense(exp_avg), dense(exp_avg_sq));
    let moments = Moments { exp_avg: own(&mut exp_avg), exp_avg_sq: own(&mut exp_avg_sq) };
    optim::adamw(own(&mut param), elements(&grad), moments, step, &rule);
    (param, exp_avg, exp_avg_sq)
}
