//! Narrowing a supernet step by step (Yu and Huang, AutoSlim, 2019, arXiv:1903.11728).

use std::io::Write;
use std::path::{Path, PathBuf};

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::{Evaluator, Loader};
use occam_train::evaluate::Metrics;
use occam_train::loops::{EvalLoop, EvalRun};
use occam_train::reporter::Reporter;
use occam_train::{Algorithm, Error, Picks, Result, Space};
use serde::{Deserialize, Serialize};

use super::forms::{Measure, costs, estimated_image, extend, image_size, space};

/// The file of the work directory that a search can go on from.
const STATE: &str = "latest.json";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    target_flops: Vec<f64>,
    #[serde(default)]
    estimator_cfg: Option<Value>,
    #[serde(default = "top1")]
    score_key: String,
    #[serde(default)]
    resume_from: Option<Value>,
    #[serde(default)]
    fp16: bool,
}

fn top1() -> String {
    "accuracy/top1".into()
}

/// Searches the widths of a supernet's units, as a test loop: from the widest subnet on, the unit whose next narrower choice costs
/// the least accuracy is narrowed, until each target is met.
///
/// | key | default | |
/// |---|---|---|
/// | `target_flops` | | multiply-accumulates, in millions, that subnets are searched for; from the largest to the smallest, in one search |
/// | `score_key` | `'accuracy/top1'` | the figure that is to be as large as possible |
/// | `estimator_cfg` | `ResourceEstimator` | `input_shape`: the images whose costs count; those of the data by default |
/// | `resume_from` | None | the `latest.json` of a search that stopped |
/// | `dataloader`, `evaluator` | those of the test | what each candidate is measured on |
///
/// A step measures, for every unit in the order of its name that is not at its narrowest, the subnet with that unit one choice
/// narrower; the best one is taken, among equals the first. Nothing is calibrated in between: set `norm_training` of `AutoSlim`,
/// by which batches are normalized by their own statistics.
///
/// For each target the work directory gets `FLOPS_<millions>M.yaml`, a mutator's config with the width of every unit (JSON, which
/// is YAML too), and the figures tell `FLOPS_<millions>M.*`. After each step `latest.json` says where the search stands; the
/// original writes a pickle.
///
/// # Errors
/// A target is below what the narrowest subnet costs.
pub struct AutoSlimGreedySearchLoop {
    config: Config,
    image: Option<[usize; 3]>,
    work_dir: PathBuf,
}

/// Where a search stands. Choices of units are counted from 1, as in the original.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    current_subnet: Bins,
    current_flops: f64,
    searched_subnet: Vec<Bins>,
    searched_subnet_flops: Vec<f64>,
}

/// By unit its choice, from 1.
type Bins = indexmap::IndexMap<String, usize>;

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn EvalLoop>, ConfigError> {
    let mut config: Config = value.parse()?;
    let at = |key: &str, message: &str| ConfigError::new(message).at(value.get(key).unwrap_or(value));
    if config.fp16 {
        return Err(at("fp16", "`fp16=True` is not supported: models are measured in single precision"));
    }
    if config.target_flops.is_empty() || config.target_flops.iter().any(|t| !t.is_finite() || *t <= 0.0) {
        return Err(at("target_flops", "`target_flops` must be numbers above 0, in millions"));
    }
    config.target_flops.sort_by(|a, b| b.total_cmp(a));
    let image = estimated_image(config.estimator_cfg.as_ref())?;
    Ok(Box::new(AutoSlimGreedySearchLoop { config, image, work_dir: PathBuf::from(".") }))
}

/// A search that goes on.
struct Search<'a> {
    space: &'a dyn Space,
    image: [usize; 3],
    state: State,
}

impl Search<'_> {
    fn picks(&self, bins: &Bins) -> Result<Picks> {
        let pick = |group: &occam_train::Group| match bins.get(&group.name) {
            Some(&bin) if (1..=group.choices).contains(&bin) => Ok(bin - 1),
            Some(bin) => Err(Error::Other(format!(
                "channel unit `{}` has choices from 1 to {}, not {bin}",
                group.name, group.choices
            ))),
            None => Err(Error::Other(format!("nothing is said of channel unit `{}`", group.name))),
        };
        self.space.groups().iter().map(pick).collect()
    }

    /// Millions of multiply-accumulates.
    fn flops(&self, bins: &Bins) -> Result<f64> {
        Ok(self.space.resources(&self.picks(bins)?, self.image)?.macs as f64 / 1e6)
    }

    /// The best subnet with one unit narrower, and its score.
    fn narrower(&self, measure: &mut Measure<'_>, key: &str) -> Result<Option<(f64, Bins)>> {
        let mut names: Vec<&String> = self.state.current_subnet.keys().collect();
        names.sort();
        let mut best: Option<(f64, Bins)> = None;
        for name in names {
            let mut bins = self.state.current_subnet.clone();
            match bins.get_mut(name) {
                Some(bin) if *bin > 1 => *bin -= 1,
                _ => continue,
            }
            let metrics = measure.form(&self.space.form(&self.picks(&bins)?)?)?;
            let score = score(&metrics, key)?;
            if best.as_ref().is_none_or(|(other, _)| score > *other) {
                best = Some((score, bins));
            }
        }
        Ok(best)
    }
}

fn score(metrics: &Metrics, key: &str) -> Result<f64> {
    metrics.get(key).copied().ok_or_else(|| {
        let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
        let error = ConfigError::new(format!("the evaluator gives no `{key}` for `score_key`"));
        error.with_help(format!("there are {}", known.join(", "))).into()
    })
}

/// The state of a search in the file that `value` names.
fn resumed(value: &Value) -> Result<State> {
    let Some(path) = value.as_str() else {
        return Err(ConfigError::new("`resume_from` must be a path").at(value).into());
    };
    let wrong = |message: String| ConfigError::new(format!("{path}: {message}")).at(value);
    let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|e| {
        let error = wrong(format!("it is no state of a search: {e}"));
        error.with_help(format!("give the {STATE} that a search wrote")).into()
    })
}

impl EvalLoop for AutoSlimGreedySearchLoop {
    fn begin(&mut self, run: EvalRun<'_>) -> Result<()> {
        self.work_dir = run.work_dir.to_owned();
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
        let space = space(algorithm, "AutoSlimGreedySearchLoop")?;
        let image = match self.image {
            Some(image) => image,
            None => image_size(loader)?,
        };
        let widest: Bins = space.groups().iter().map(|g| (g.name.clone(), g.choices)).collect();
        let mut search = Search {
            space,
            image,
            state: State {
                current_subnet: widest,
                current_flops: 0.0,
                searched_subnet: Vec::new(),
                searched_subnet_flops: Vec::new(),
            },
        };
        if let Some(value) = self.config.resume_from.as_ref().filter(|v| !v.is_none()) {
            search.state = resumed(value)?;
        }
        search.state.current_flops = search.flops(&search.state.current_subnet)?;
        let narrowest: Bins = space.groups().iter().map(|g| (g.name.clone(), 1)).collect();
        let least = search.flops(&narrowest)?;
        if let Some(target) = self.config.target_flops.iter().find(|&&t| t < least) {
            return Err(Error::Other(format!(
                "a target of {target} M FLOPs cannot be met: the narrowest subnet has {least:.2} M for images of {image:?}"
            )));
        }
        std::fs::create_dir_all(&self.work_dir)
            .map_err(|source| Error::Io { path: self.work_dir.clone(), source })?;
        let mut measure = Measure { algorithm, loader, evaluator, stage, reporter };
        for &target in self.config.target_flops.iter().skip(search.state.searched_subnet.len()) {
            while search.state.current_flops > target {
                let Some((score, bins)) = search.narrower(&mut measure, &self.config.score_key)? else {
                    break;
                };
                search.state.current_flops = search.flops(&bins)?;
                search.state.current_subnet = bins;
                let flops = search.state.current_flops;
                let key = &self.config.score_key;
                measure.reporter.message(&format!("narrowed to {flops:.2} M FLOPs, {key} {score:.4}"));
                save(&self.work_dir, &search.state)?;
            }
            search.state.searched_subnet.push(search.state.current_subnet.clone());
            search.state.searched_subnet_flops.push(search.state.current_flops);
            save(&self.work_dir, &search.state)?;
        }
        let mut all = Metrics::new();
        for bins in &search.state.searched_subnet {
            let picks = search.picks(bins)?;
            let name = format!("FLOPS_{:.2}M", search.flops(bins)?);
            let path = self.work_dir.join(format!("{name}.yaml"));
            let text = format!("{:#}\n", space.subnet(&picks)?);
            occam_io::atomic_write(&path, |file| file.write_all(text.as_bytes()))?;
            measure.reporter.message(&format!("wrote {}", path.display()));
            extend(&mut all, &name, measure.form(&space.form(&picks)?)?);
            extend(&mut all, &name, costs(&space.resources(&picks, image)?));
        }
        Ok(all)
    }
}

fn save(work_dir: &Path, state: &State) -> Result<()> {
    let json = serde_json::to_string_pretty(state).map_err(|e| Error::Other(e.to_string()))?;
    Ok(occam_io::atomic_write(work_dir.join(STATE), |file| file.write_all(json.as_bytes()))?)
}
