//! Measuring every subnet of a slimmable network.

use occam_config::{Error, Registry, Value};
use occam_data::{Evaluator, Loader, Seed};
use occam_train::evaluate::Metrics;
use occam_train::loops::{EvalLoop, EvalRun, ValLoop};
use occam_train::reporter::Reporter;
use occam_train::{Algorithm, Result};

use super::forms::{Measure, costs, extend, image_size, space};

/// `SlimmableValLoop(fp16=False)`: measures every subnet of a `SlimmableNetwork`. The figures of subnet `i` are
/// `subnet_<i>.accuracy/top1` and so on, with `subnet_<i>.flops` and `subnet_<i>.params` in millions. A network of which one
/// subnet is deployed is measured as `ValLoop` does.
#[derive(Debug)]
pub struct SlimmableValLoop {
    seed: Seed,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn EvalLoop>, Error> {
    ValLoop::from_config(value)?;
    Ok(Box::new(SlimmableValLoop { seed: Seed(0) }))
}

impl EvalLoop for SlimmableValLoop {
    fn begin(&mut self, run: EvalRun<'_>) -> Result<()> {
        self.seed = run.seed;
        Ok(())
    }

    fn run(
        &mut self,
        algorithm: &dyn Algorithm,
        loader: &Loader,
        evaluator: &mut Evaluator,
        stage: &str,
        reporter: &mut dyn Reporter,
    ) -> Result<Metrics> {
        if algorithm.space().is_none() && algorithm.subnet().is_some() {
            return ValLoop.run(algorithm, loader, evaluator, stage, reporter);
        }
        let space = space(algorithm, "SlimmableValLoop")?;
        let image = image_size(loader)?;
        let mut measure = Measure { algorithm, loader, evaluator, stage, reporter };
        let mut all = Metrics::new();
        for (name, picks) in space.kinds(self.seed) {
            extend(&mut all, &name, measure.form(&space.form(&picks)?)?);
            extend(&mut all, &name, costs(&space.resources(&picks, image)?));
        }
        Ok(all)
    }
}
