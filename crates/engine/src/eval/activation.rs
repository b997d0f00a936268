//! Activations.

use occam_graph::ops::Activation;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Activation, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    match *op {
        Activation::Relu => x.relu(),
        Activation::Relu6 => x.relu6(),
        Activation::LeakyRelu { slope } => x.leaky_relu(slope),
        Activation::Elu { alpha } => x.elu(alpha),
        Activation::Sigmoid => x.sigmoid(),
        Activation::Tanh => x.tanh(),
        Activation::HardSigmoid { bias, divisor, min, max } => x.hard_sigmoid(bias, divisor, [min, max]),
        Activation::HardSwish => x.hard_swish(),
        Activation::Silu => x.silu(),
        Activation::Gelu { tanh: false } => x.gelu(),
        Activation::Gelu { tanh: true } => x.gelu_tanh(),
    }
}
