//! Measuring a model that is being pruned, and writing what is left of it.

use std::io::Write;
use std::path::Path;

use occam_config::{Error, Registry, Value};
use occam_data::{Evaluator, Loader};
use occam_graph::Weights;
use occam_train::evaluate::{Metrics, evaluate};
use occam_train::loops::{EvalLoop, ValLoop};
use occam_train::reporter::Reporter;
use occam_train::{Algorithm, Result};

/// `ItePruneValLoop(fp16=False)`: measures as `ValLoop` does, and after each validation writes into the work directory
///
/// | file | |
/// |---|---|
/// | `fix_subnet.json` | the mutator's config with the width of each unit, for `fix_subnet=..` of a `GroupFisherDeploySubModel` |
/// | `fix_subnet_weight.pth` | the weights of the small model, under the names that checkpoints have |
///
/// The small model is the one that is measured: of an algorithm that trains more than that, what follows from it.
///
/// Where an `EMAHook` validates averages, the weights are these. An algorithm without channel units is measured and
/// nothing is written.
#[derive(Debug, Default)]
pub struct ItePruneValLoop;

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn EvalLoop>, Error> {
    ValLoop::from_config(value)?;
    Ok(Box::new(ItePruneValLoop))
}

impl EvalLoop for ItePruneValLoop {
    fn run(
        &mut self,
        algorithm: &dyn Algorithm,
        loader: &Loader,
        evaluator: &mut Evaluator,
        stage: &str,
        reporter: &mut dyn Reporter,
    ) -> Result<Metrics> {
        evaluate(algorithm.architecture(), loader, evaluator, stage, reporter)
    }

    fn finished(&mut self, algorithm: &dyn Algorithm, work_dir: &Path) -> Result<Option<String>> {
        let Some(subnet) = algorithm.subnet() else { return Ok(None) };
        let (json, pth) = (work_dir.join("fix_subnet.json"), work_dir.join("fix_subnet_weight.pth"));
        let text = format!("{subnet:#}\n");
        occam_io::atomic_write(&json, |file| file.write_all(text.as_bytes()))?;
        let mut weights = Weights::new();
        let prefix = algorithm.models().first().map_or("", |(prefix, _)| *prefix);
        for (name, array) in algorithm.architecture().params.to_weights()? {
            weights.insert(format!("{prefix}{name}"), array);
        }
        occam_io::pth::save(&pth, &weights)?;
        Ok(Some(format!("wrote {} and {}", json.display(), pth.display())))
    }
}
