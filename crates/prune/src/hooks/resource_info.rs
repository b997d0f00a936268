//! Checkpoints, and the end of a training, once a model that is being pruned is small enough.

use occam_config::{Error as ConfigError, Registry, Value};
use occam_graph::{Dim, Graph};
use occam_train::{Error, Hook, Result, Runner, Step};
use serde::Deserialize;

use crate::gates::bind;

/// Where the number of thresholds that were passed is in [`Runner::info`].
const KEY: &str = "resource_info";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Resource {
    Flops,
    Params,
}

impl Resource {
    fn name(self) -> &'static str {
        match self {
            Self::Flops => "flops",
            Self::Params => "params",
        }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    demo_input: Option<Value>,
    interval: u64,
    resource_type: Resource,
    save_ckpt_thr: Vec<f64>,
    early_stop: bool,
}

impl Default for Config {
    fn default() -> Self {
        let (interval, resource_type, save_ckpt_thr) = (10, Resource::Flops, vec![0.5]);
        Self { demo_input: None, interval, resource_type, save_ckpt_thr, early_stop: true }
    }
}

/// `ResourceInfoHook`: looks how much of a model that is being pruned is left.
///
/// | key | default | |
/// |---|---|---|
/// | `demo_input` | `[1, 3, 224, 224]` | the shape of the images, or `dict(type='DefaultDemoInput', input_shape=..)` |
/// | `interval` | 10 | iterations from one look to the next |
/// | `resource_type` | `'flops'` | of what: `'flops'`, multiply-accumulates of one image, or `'params'`, elements of weights |
/// | `save_ckpt_thr` | `[0.5]` | parts of what the whole architecture needs; once less than one is left, the weights are saved as `<resource_type>_<part>.pth` |
/// | `early_stop` | True | whether the training ends once all are saved |
///
/// After each epoch it tells what is left. A training that ends early ends as if that iteration had been its last; the
/// original exits the process there. A training that ends before all thresholds are passed says so. Which were passed is in
/// checkpoints. Algorithms without channel units are looked at, too, and stay as large as they are.
pub struct ResourceInfoHook {
    shape: Vec<usize>,
    interval: u64,
    resource: Resource,
    /// From the largest.
    thresholds: Vec<f64>,
    early_stop: bool,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, ConfigError> {
    let config: Config = value.parse()?;
    let at = |key: &str, message: &str| ConfigError::new(message).at(value.get(key).unwrap_or(value));
    if config.interval == 0 {
        return Err(at("interval", "`interval` must be at least 1"));
    }
    let mut thresholds = config.save_ckpt_thr;
    if thresholds.iter().any(|t| !(*t > 0.0 && *t <= 1.0)) {
        return Err(at("save_ckpt_thr", "`save_ckpt_thr` must be a list of parts above 0 and up to 1"));
    }
    thresholds.sort_by(|a, b| b.total_cmp(a));
    let shape = match config.demo_input.filter(|v| !v.is_none()) {
        None => vec![1, 3, 224, 224],
        Some(demo) => shape(&demo)?,
    };
    let (interval, resource, early_stop) = (config.interval, config.resource_type, config.early_stop);
    Ok(Box::new(ResourceInfoHook { shape, interval, resource, thresholds, early_stop }))
}

/// The shape of a demo input.
fn shape(demo: &Value) -> Result<Vec<usize>, ConfigError> {
    let kind = demo.type_name().map(|name| name.rsplit('.').next().unwrap_or(name));
    let list = match kind {
        None => demo,
        Some("DefaultDemoInput") => demo.get("input_shape").unwrap_or(demo),
        Some(other) => {
            let error = ConfigError::new(format!("there is no demo input `{other}`"));
            return Err(error.with_help("give a shape, such as [1, 3, 224, 224]").at(demo));
        }
    };
    let sizes = list.as_list().unwrap_or_default().iter().map(|v| usize::try_from(v.as_i64()?).ok());
    match sizes.collect::<Option<Vec<usize>>>().as_deref() {
        Some(sizes @ [_, _, _, _]) if sizes.iter().all(|&n| n > 0) => Ok(sizes.to_vec()),
        _ => {
            let error = ConfigError::new("`demo_input` must be the shape of images");
            Err(error.with_help("such as [1, 3, 224, 224]").at(list))
        }
    }
}

impl ResourceInfoHook {
    /// What one image needs in `graph`.
    fn needs(&self, graph: &Graph) -> Result<u64> {
        let mut one = self.shape.clone();
        if let Some(batch) = one.first_mut() {
            *batch = 1;
        }
        let fact = graph.inputs().first().and_then(|&v| graph.value(v).ok()).map(|v| &v.fact);
        let fits = |(d, n): (&Dim, &usize)| d.known().is_none_or(|k| k == *n);
        if let Some(fact) = fact.filter(|f| !f.shape.iter().zip(&one).skip(1).all(fits)) {
            return Err(Error::Config(ConfigError::new(format!(
                "ResourceInfoHook: `demo_input` is {:?}, the model takes {fact}",
                self.shape
            ))));
        }
        let cost = graph.cost(&bind(graph, &one))?;
        Ok(match self.resource {
            Resource::Flops => cost.total.macs,
            Resource::Params => cost.params,
        })
    }

    /// What is left, and of how much.
    fn left(&self, runner: &Runner) -> Result<(u64, u64)> {
        let algorithm = runner.algorithm();
        let now = self.needs(algorithm.architecture().graph())?;
        let whole = algorithm.whole().map(|graph| self.needs(graph)).transpose()?;
        Ok((now, whole.unwrap_or(now)))
    }

    /// How many thresholds were passed.
    fn passed(&self, runner: &Runner) -> usize {
        let count = runner.info().get(KEY).and_then(serde_json::Value::as_u64);
        count.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }
}

impl Hook for ResourceInfoHook {
    fn before_train(&mut self, runner: &mut Runner) -> Result<()> {
        let (now, whole) = self.left(runner)?;
        let name = self.resource.name();
        let part = now as f64 / whole.max(1) as f64;
        runner.message(&format!("{name}: {now}, {part:.3} of the whole architecture's {whole}"));
        // A run that resumes where it ended.
        if self.early_stop && self.passed(runner) >= self.thresholds.len() && runner.iter() > 0 {
            runner.stop();
        }
        Ok(())
    }

    fn after_train_iter(&mut self, runner: &mut Runner, _: &Step) -> Result<()> {
        let passed = self.passed(runner);
        if !runner.iter().is_multiple_of(self.interval) || passed >= self.thresholds.len() {
            return Ok(());
        }
        let (now, whole) = self.left(runner)?;
        let part = now as f64 / whole.max(1) as f64;
        let name = self.resource.name();
        let mut count = passed;
        for threshold in self.thresholds.iter().skip(passed).take_while(|t| part < **t) {
            let path = runner.work_dir().join(format!("{name}_{threshold:.2}.pth"));
            runner.save_weights(&path)?;
            runner.message(&format!("{name} are {part:.3} of {whole}: wrote {}", path.display()));
            count += 1;
        }
        if count > passed {
            runner.info_mut().insert(KEY.into(), count.into());
            if self.early_stop && count == self.thresholds.len() {
                runner.message("the training ends: the model is as small as it should become");
                runner.stop();
            }
        }
        Ok(())
    }

    fn after_train_epoch(&mut self, runner: &mut Runner) -> Result<()> {
        let (now, whole) = self.left(runner)?;
        let part = now as f64 / whole.max(1) as f64;
        runner.message(&format!("{}: {now}, {part:.3} of {whole}", self.resource.name()));
        Ok(())
    }

    fn after_train(&mut self, runner: &mut Runner) -> Result<()> {
        if let Some(threshold) = self.thresholds.get(self.passed(runner)) {
            let (now, whole) = self.left(runner)?;
            let part = now as f64 / whole.max(1) as f64;
            let name = self.resource.name();
            runner.message(&format!(
                "warning: the training ended with {part:.3} of the {name}, {threshold} was wanted: train longer, or lower the algorithm's `interval`"
            ));
        }
        Ok(())
    }
}
