//! Writes models as ONNX files.

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use crate::Result;
use crate::export::{self, ExportOptions};
use crate::recipe::{Bench, Plan, RecipeStep, stem};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    models: Option<Vec<String>>,
    opset: Option<i64>,
}

/// `Export`: writes `<name>.onnx` into the work directory, and `<name>_seed_<n>.onnx` for further seeds.
///
/// | key | default | |
/// |---|---|---|
/// | `models` | all so far | names of models |
/// | `opset` | 17; that of its file for a model that comes from one | |
struct Export {
    config: Config,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn RecipeStep>, Error> {
    let config: Config = value.parse()?;
    let known = 15..=23;
    if let Some(opset) = config.opset.filter(|n| !known.contains(n)) {
        let message = format!("opset {opset} is not in {} to {}", known.start(), known.end());
        return Err(Error::new(message).at(value.get("opset").unwrap_or(value)));
    }
    Ok(Box::new(Export { config }))
}

impl RecipeStep for Export {
    fn title(&self) -> String {
        "export".into()
    }

    fn check(&self, plan: &mut Plan, _: &Bench<'_>) -> Result<()> {
        self.config.models.iter().flatten().try_for_each(|name| plan.need(name))
    }

    fn run(&self, bench: &mut Bench<'_>) -> Result<()> {
        for name in bench.chosen(self.config.models.as_deref()) {
            let mut product = bench.product(&name)?.clone();
            for (i, run) in product.runs.iter_mut().enumerate() {
                let stem = stem(&name);
                let file =
                    if i == 0 { format!("{stem}.onnx") } else { format!("{stem}_seed_{}.onnx", run.seed) };
                let path = bench.work_dir.join(file);
                let loaded = export::load(bench, run)?;
                let options =
                    ExportOptions { opset: self.config.opset, name: name.clone(), image_size: None };
                let written = export::write(&loaded, &path, &options);
                bench.return_reporter(loaded.into_reporter());
                written?;
                run.onnx = Some(path);
            }
            bench.products.insert(name, product);
        }
        Ok(())
    }
}
