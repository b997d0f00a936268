//! Rounding to a grid of integers and back.

use occam_graph::ops::{FakeQuant, GridLearning};

use super::{Context, operands};
use crate::kernels::QuantRange;
use crate::{Grid, Result, Tensor};

pub(super) fn eval(op: &FakeQuant, context: &Context<'_>, inputs: &[Tensor]) -> Result<Tensor> {
    let [whole, scale, zero] = operands(inputs)?;
    // Groups are the rows of a matrix of them.
    let shape = whole.shape();
    let rows = match op.runs(&shape) {
        Some((rows, run)) if op.group.is_some() => Some(whole.reshape(&[rows, run])?),
        _ => None,
    };
    let x = rows.as_ref().unwrap_or(whole);
    let range = QuantRange { low: op.low, high: op.high, axis: op.axis, learned: factor(op, x) };
    let grid = match (context.grids, context.node) {
        (Some(grids), Some(node)) => grids.grid(&node.name, whole)?,
        _ => Grid::Given,
    };
    let y = match grid {
        Grid::Given => x.fake_quantize(scale, zero, range)?,
        Grid::Off => return Ok(whole.clone()),
        Grid::Of { scale, zero_point } => {
            x.fake_quantize(&scale, &zero_point, QuantRange { learned: None, ..range })?
        }
    };
    if rows.is_some() { y.reshape(&shape) } else { Ok(y) }
}

/// The factor of the gradients of scale and zero point, where they learn.
fn factor(op: &FakeQuant, x: &Tensor) -> Option<f32> {
    match op.learning {
        GridLearning::Fixed => None,
        GridLearning::Learned => Some(1.0),
        GridLearning::LearnedScaled => {
            Some((1.0 / (x.len() as f64 * f64::from(op.high.max(1))).sqrt()) as f32)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use occam_graph::{Builder, Dim, Fact, Role};

    use super::*;
    use crate::{Bound, Device, Executor, Grids, Mode, Request};

    /// What is asked, with one answer.
    #[derive(Debug)]
    struct Told(Mutex<Vec<String>>, Grid);

    impl Grids for Told {
        fn grid(&self, node: &str, x: &Tensor) -> Result<Grid> {
            self.0.lock().unwrap().push(format!("{node} {:?}", x.shape()));
            Ok(self.1.clone())
        }
    }

    fn run(op: FakeQuant, x: &Tensor, grids: Option<Arc<dyn Grids>>, learn: bool) -> Result<(Tensor, Bound)> {
        let mut b = Builder::new();
        let channels = if op.axis.is_some() { 3 } else { 1 };
        let input = b.input("input", Fact::f32([Dim::symbol("N"), 3.into()]))?;
        let scale = b.param("scale", &[channels], Role::Weight)?;
        let zero = b.param("zero_point", &[channels], Role::Weight)?;
        let y = b.op("quant", op, &[input, scale, zero])?;
        b.output("output", y)?;
        let executor = Executor::new(Arc::new(b.finish()?))?;
        let device = Device::cpu();
        let of = |v: f32| {
            let t = Tensor::full(&[channels], v, &device);
            if learn { t.require_grad() } else { t }
        };
        let params: Bound = [("scale".into(), of(0.5)), ("zero_point".into(), of(1.0))].into_iter().collect();
        let request = Request { grids, ..Request::new(Mode::Train) };
        let out = executor.run(&params, std::slice::from_ref(x), &request)?;
        Ok((out.outputs[0].clone(), params))
    }

    #[test]
    fn rounds_by_its_own_grid_or_the_one_that_is_told() {
        let device = Device::cpu();
        let x = Tensor::from_f32(&[1, 3], vec![-9.0, 0.6, 9.0], &device).unwrap();
        let op = FakeQuant::new(-4, 3, Some(1));
        let (y, _) = run(op, &x, None, false).unwrap();
        assert_eq!(y.to_f32().unwrap(), [-2.5, 0.5, 1.0]);
        let told = Arc::new(Told(Mutex::default(), Grid::Off));
        let (y, _) = run(op, &x, Some(told.clone()), false).unwrap();
        assert_eq!(y.to_f32().unwrap(), [-9.0, 0.6_f32, 9.0]);
        assert_eq!(*told.0.lock().unwrap(), ["quant [1, 3]"]);
        let of = |v| Tensor::full(&[3], v, &device);
        let (scale, zero_point) = (of(1.0), of(0.0));
        let told = Told(Mutex::default(), Grid::Of { scale, zero_point });
        let (y, _) = run(op, &x, Some(Arc::new(told)), false).unwrap();
        assert_eq!(y.to_f32().unwrap(), [-4.0, 1.0, 3.0]);
    }

    /// Two rows of two groups of two, each with a step of its own.
    #[test]
    fn groups_have_grids_of_their_own() {
        let device = Device::cpu();
        let mut b = Builder::new();
        let input = b.input("input", Fact::f32([2usize, 4])).unwrap();
        let scale = b.param("scale", &[4], Role::Weight).unwrap();
        let zero = b.param("zero_point", &[4], Role::Weight).unwrap();
        let op = FakeQuant { group: Some(2), ..FakeQuant::new(-4, 3, Some(0)) };
        let y = b.op("quant", op, &[input, scale, zero]).unwrap();
        b.output("output", y).unwrap();
        let executor = Executor::new(Arc::new(b.finish().unwrap())).unwrap();
        let of = |v: Vec<f32>| Tensor::from_f32(&[4], v, &device).unwrap();
        let params: Bound =
            [("scale".into(), of(vec![1.0, 0.5, 0.25, 2.0])), ("zero_point".into(), of(vec![0.0; 4]))]
                .into_iter()
                .collect();
        let x = Tensor::from_f32(&[2, 4], vec![1.2, -9.0, 1.2, -9.0, 0.7, -9.0, 0.7, 5.0], &device).unwrap();
        let out = executor.run(&params, &[x], &Request::new(Mode::Eval)).unwrap();
        let wanted = [1.0, -4.0, 1.0, -2.0, 0.75, -1.0, 0.0, 4.0];
        assert_eq!(out.outputs[0].to_f32().unwrap(), wanted);
    }

    /// `ds = g Σ dy · (inside: q − z − x / s; outside: clamp(q) − z)`, `g = 1 / √(3 · 3)`.
    #[test]
    fn the_scale_learns_where_it_is_to() {
        let x = Tensor::from_f32(&[1, 3], vec![-9.0, 0.6, 9.0], &Device::cpu()).unwrap();
        for (learning, factor) in [(GridLearning::Learned, 1.0), (GridLearning::LearnedScaled, 1.0 / 3.0)] {
            let op = FakeQuant { learning, ..FakeQuant::new(-4, 3, None) };
            let (y, params) = run(op, &x, None, true).unwrap();
            let mut gradients = y.sum().unwrap().backward().unwrap();
            let ds = gradients.take(&params["scale"]).unwrap().to_f32().unwrap();
            assert!((ds[0] - factor * (-5.0 + (1.0 - 1.2) + 2.0)).abs() < 1e-5, "{ds:?}");
        }
    }
}
