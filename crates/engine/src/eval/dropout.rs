//! Dropout.

use occam_graph::ops::{DropUnit, Dropout};

use super::{Context, operands};
use crate::error::refuse;
use crate::{Mode, Result, Tensor};

/// A unit stays where its number is at least the rate.
pub(super) fn eval(op: &Dropout, context: &Context<'_>, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    if context.mode == Mode::Eval || op.rate == 0.0 {
        return Ok(x.clone());
    }
    let (Some(noise), Some(node)) = (context.noise, context.node) else {
        return refuse("dropout", "a training run needs random numbers; give it `Request::noise`");
    };
    let mut shape = x.shape();
    if op.unit == DropUnit::Sample {
        shape.iter_mut().skip(1).for_each(|d| *d = 1);
    }
    let mut mask = vec![0.0; shape.iter().product()];
    noise.uniform(&node.name, &mut mask);
    let kept = if op.rate < 1.0 { (1.0 / (1.0 - op.rate)) as f32 } else { 0.0 };
    for m in &mut mask {
        *m = if f64::from(*m) < op.rate { 0.0 } else { kept };
    }
    x.mul(&Tensor::from_f32(&shape, mask, &x.device())?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use occam_graph::{Builder, Dim, Fact, Weights};

    use super::*;
    use crate::{Device, Executor, Noise, Params, Request};

    /// Numbers that step through `[0, 1)` by a tenth.
    #[derive(Debug)]
    struct Tenths;

    impl Noise for Tenths {
        fn uniform(&self, node: &str, out: &mut [f32]) {
            assert_eq!(node, "drop");
            out.iter_mut().enumerate().for_each(|(i, u)| *u = (i % 10) as f32 / 10.0);
        }
    }

    fn run(op: Dropout, x: &Tensor, request: &Request) -> Result<Tensor> {
        let mut b = Builder::new();
        let input = b.input("input", Fact::f32([Dim::symbol("N"), 4.into()]))?;
        let y = b.op("drop", op, &[input])?;
        b.output("output", y)?;
        let graph = b.finish()?;
        let params = Params::new(&graph, &Weights::new(), &Device::cpu())?;
        let executor = Executor::new(Arc::new(graph))?;
        let out = executor.run(&params.constants(), std::slice::from_ref(x), request)?;
        Ok(out.outputs[0].clone())
    }

    #[test]
    fn what_stays_is_scaled_and_gradients_follow() {
        let x = Tensor::full(&[3, 4], 3.0, &Device::cpu()).require_grad();
        let train = Request { noise: Some(Arc::new(Tenths)), ..Request::new(Mode::Train) };
        let op = Dropout { rate: 0.25, unit: DropUnit::Element };
        let y = run(op, &x, &train).unwrap();
        let wanted: Vec<f32> = (0..12).map(|i| if i % 10 < 3 { 0.0 } else { 4.0 }).collect();
        assert_eq!(y.to_f32().unwrap(), wanted);
        let grad = y.sum().unwrap().backward().unwrap().take(&x).unwrap();
        assert_eq!(grad.to_f32().unwrap(), wanted.iter().map(|v| v / 3.0).collect::<Vec<_>>());

        let op = Dropout { rate: 0.15, unit: DropUnit::Sample };
        let y = run(op, &x, &train).unwrap().to_f32().unwrap();
        assert_eq!(y[..8], [0.0; 8]);
        assert!(y[8..].iter().all(|v| (v - 3.0 / 0.85).abs() < 1e-6));
        let op = Dropout { rate: 1.0, unit: DropUnit::Element };
        assert_eq!(run(op, &x, &train).unwrap().to_f32().unwrap(), [0.0; 12]);
    }

    #[test]
    fn evaluation_changes_nothing_and_training_needs_numbers() {
        let x = Tensor::full(&[2, 4], 3.0, &Device::cpu());
        let op = Dropout { rate: 0.5, unit: DropUnit::Element };
        assert_eq!(run(op, &x, &Request::default()).unwrap().to_f32().unwrap(), [3.0; 8]);
        let error = run(op, &x, &Request::new(Mode::Train)).unwrap_err().to_string();
        assert!(error.contains("node `drop`") && error.contains("random numbers"), "{error}");
        let none = Dropout { rate: 0.0, ..op };
        assert_eq!(run(none, &x, &Request::new(Mode::Train)).unwrap().to_f32().unwrap(), [3.0; 8]);
    }
}
