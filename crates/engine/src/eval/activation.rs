//! Activations.

use occam_graph::ops::Activation;

use super::{fused, owned};
use crate::{Result, Tensor};

pub(super) fn eval(op: &Activation, inputs: Vec<Tensor>) -> Result<Tensor> {
    let [x] = owned(inputs)?;
    if let Some(activation) = fused::activation(*op) {
        return x.activate(activation);
    }
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
