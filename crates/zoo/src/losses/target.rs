//! Labels as weights of the classes.

use occam_engine::Tensor;
use occam_graph::Data;

use crate::{Error, Result};

/// Batch size and number of classes of scores.
pub(super) fn sizes(cls_score: &Tensor) -> Result<[usize; 2]> {
    match cls_score.shape().as_slice() {
        &[batch, classes] => Ok([batch, classes]),
        _ => Err(Error::Sample(format!("scores of shape [B, C] wanted, found {cls_score:?}"))),
    }
}

/// Whether labels are weights of the classes rather than indices.
pub(super) fn is_soft(label: &Tensor) -> Result<bool> {
    Ok(label.dtype()?.is_float())
}

/// Labels as `[B, C]` weights of the classes: indices become one-hot.
pub(super) fn soft(cls_score: &Tensor, label: &Tensor) -> Result<Tensor> {
    let [batch, classes] = sizes(cls_score)?;
    let misfit = || Error::Sample(format!("labels {label:?} do not fit scores {cls_score:?}"));
    if is_soft(label)? {
        return if label.shape() == [batch, classes] { Ok(label.detach()) } else { Err(misfit()) };
    }
    let Data::I64(indices) = label.to_array()?.into_data() else { return Err(misfit()) };
    if indices.len() != batch || label.rank() > 2 {
        return Err(misfit());
    }
    let mut weights = vec![0.0; batch * classes];
    for (row, &index) in weights.chunks_exact_mut(classes.max(1)).zip(&indices) {
        match usize::try_from(index).ok().and_then(|i| row.get_mut(i)) {
            Some(one) => *one = 1.0,
            None => return Err(Error::Sample(format!("label {index} is none of {classes} classes"))),
        }
    }
    Ok(Tensor::from_f32(&[batch, classes], weights, &cls_score.device())?)
}

/// `1 − t`
pub(super) fn complement(t: &Tensor) -> Result<Tensor> {
    Ok(t.scale(-1.0)?.shift(1.0)?)
}

/// `baseˣ` for a base of 0 or more; a base of 0 counts as 10⁻³⁰, so that gradients stay numbers.
pub(super) fn power(base: &Tensor, exponent: &Tensor) -> Result<Tensor> {
    const LEAST: f64 = 1e-30;
    Ok(base.shift(-LEAST)?.relu()?.shift(LEAST)?.log()?.mul(exponent)?.exp()?)
}
