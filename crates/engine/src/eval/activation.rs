//! Activations.

use occam_graph::ops::Activation;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Activation, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    match op {
        Activation::Relu => x.relu(),
        Activation::Relu6 => x.relu6(),
    }
}
