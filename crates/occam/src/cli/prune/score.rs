//! Importances that are measured on images.

use std::path::Path;

use occam_config::{Loader, Value};
use occam_data::Seed;
use occam_engine::Device;
use occam_prune::importance::observe;
use occam_prune::{Importance, Scores};
use occam_space::{Trace, TraceOptions, trace};
use occam_train::{Env, Model};
use serde_json::json;

use super::data::Images;
use crate::diagnostic::Failure;

/// On which images an importance is measured.
#[derive(clap::Args)]
pub struct ScoreArgs {
    /// Training images that an importance is measured on, drawn by --seed, where --importance needs some
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    importance_images: u32,
}

impl ScoreArgs {
    /// The importance of the channels of `units`, those of the classifier in `file`.
    ///
    /// # Errors
    /// There are no images, the file is no classifier, or its units are others once its batch is open.
    pub fn scores(
        &self,
        file: &Path,
        images: Option<&Images>,
        importance: &Importance,
        units: &Trace,
        options: &TraceOptions,
        seed: u64,
    ) -> Result<Scores, Failure> {
        let name = importance.name;
        let Some(images) = images else {
            return Err(Failure::new(format!(
                "--importance {name} is measured on images, and none are given"
            ))
            .with_help("give some with --data DIR, with or without classes; group-l2 needs none"));
        };
        let registry = occam::registry();
        let (loader, seed) = (Loader::new(), Seed(seed));
        let env = Env { registry: &registry, loader: &loader, seed, device: Device::cpu() };
        let config = Value::from_json(&json!({ "type": "OnnxClassifier", "path": file }));
        let model = Model::new(env.task_model(&config)?, seed, &env.device)?;
        let own = trace(model.graph(), options)?;
        let batches = images.sample(self.importance_images as usize)?;
        let scores = observe(importance, &model, &own, batches.epoch(0, 0), seed.0)?;
        // The graph that learns is another than the one that is pruned, with the same units.
        let of = |unit: &occam_space::Unit| {
            if unit.kept_by.is_some() {
                return Ok(Vec::new());
            }
            let found = own.units.iter().zip(&scores).find(|(u, _)| u.name == unit.name);
            match found.filter(|(_, s)| s.len() == unit.channels) {
                Some((_, scores)) => Ok(scores.clone()),
                None => Err(Failure::new(format!(
                    "--importance {name} cannot be measured: unit `{}` is another one where the model is trained",
                    unit.name
                ))
                .with_help("use an importance that needs no images, such as group-l2")),
            }
        };
        units.units.iter().map(of).collect()
    }
}
