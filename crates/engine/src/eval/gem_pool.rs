//! Generalized-mean pooling.

use occam_graph::ops::GemPool;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &GemPool, inputs: &[Tensor]) -> Result<Tensor> {
    let [x, p] = operands(inputs)?;
    let p = p.reshape(&vec![1; x.rank()])?;
    let logarithm = x.shift(-op.eps)?.relu()?.shift(op.eps)?.log()?;
    let mean = logarithm.mul(&p)?.exp()?.global_avg_pool()?;
    mean.log()?.div(&p)?.exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    /// `(mean xᵖ)^(1/p)` of 1, 2, 3, 6 and its derivatives, by differences in double precision.
    #[test]
    fn is_a_power_mean_that_learns_its_power() {
        let x =
            Tensor::from_f32(&[1, 1, 2, 2], vec![1.0, 2.0, 3.0, 6.0], &Device::cpu()).unwrap().require_grad();
        let p = Tensor::from_f32(&[1], vec![3.0], &Device::cpu()).unwrap().require_grad();
        let mean = |x: [f64; 4], p: f64| (x.iter().map(|v| v.powf(p)).sum::<f64>() / 4.0).powf(1.0 / p);
        let y = eval(&GemPool { eps: 1e-6 }, &[x.clone(), p.clone()]).unwrap();
        let at = [1.0, 2.0, 3.0, 6.0];
        assert!((f64::from(y.item().unwrap()) - mean(at, 3.0)).abs() < 1e-5);
        let mut grads = y.sum().unwrap().backward().unwrap();
        let h = 1e-5;
        for (i, found) in grads.take(&x).unwrap().to_f32().unwrap().into_iter().enumerate() {
            let (mut more, mut less) = (at, at);
            more[i] += h;
            less[i] -= h;
            let wanted = (mean(more, 3.0) - mean(less, 3.0)) / (2.0 * h);
            assert!((f64::from(found) - wanted).abs() < 1e-5, "{found} of {wanted}");
        }
        let wanted = (mean(at, 3.0 + h) - mean(at, 3.0 - h)) / (2.0 * h);
        let found = f64::from(grads.take(&p).unwrap().item().unwrap());
        assert!((found - wanted).abs() < 1e-5, "{found} of {wanted}");
    }
}
