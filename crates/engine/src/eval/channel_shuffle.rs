//! Channel shuffle.

use occam_graph::ops::ChannelShuffle;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &ChannelShuffle, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    x.channel_shuffle(op.groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn groups_are_interleaved_and_gradients_find_back() {
        let of = |v: &[f32]| Tensor::from_f32(&[1, 6, 1, 1], v.to_vec(), &Device::cpu()).unwrap();
        let x = of(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).require_grad();
        let y = eval(&ChannelShuffle { groups: 2 }, std::slice::from_ref(&x)).unwrap();
        assert_eq!(y.to_f32().unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let loss = y.mul(&of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).unwrap().sum().unwrap();
        let grad = loss.backward().unwrap().take(&x).unwrap();
        assert_eq!(grad.to_f32().unwrap(), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    }
}
