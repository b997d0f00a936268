//! `occam config check`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use occam_config::{Error, FORMATS, Loader, Registry, Value};
use occam_data::{Compose, DataPreprocessor, Dataset, Evaluator, LoaderConfig, Sampler, is_absent};
use occam_engine::Device;
use occam_train::optim::Optimizers;
use occam_train::recipe::RecipeStep;
use occam_train::runner::strange_names;
use occam_train::schedules::ParamScheduler;
use occam_train::{AlgorithmConfig, Env, hooks, loops};
use occam_zoo::Architecture;
use serde_json::json;

use crate::cli::Outcome;
use crate::console::{print_json, print_line};
use crate::diagnostic::Failure;

/// Most files of the folders that are given.
const MAX_FILES: usize = 10_000;

/// Checks files and folders, and tells of each what is wrong.
///
/// # Errors
/// A path is not there, or a config is wrong.
pub fn run(paths: &[PathBuf], loader: &Loader, json: bool) -> Outcome {
    let files = files(paths)?;
    let registry = occam::registry();
    let mut wrong = 0;
    for file in &files {
        let report = report(file, loader, &registry);
        wrong += usize::from(!report.problems.is_empty());
        if json {
            print_json(&report.to_json(file));
        } else {
            print_line(&report.text(file));
        }
    }
    match wrong {
        0 => Ok(()),
        _ => Err(Failure::new(format!("{wrong} of {} configs cannot be run as they are", files.len()))),
    }
}

/// The files among `paths`, and the config files in the folders among them.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = found.len();
            walk(path, 0, &mut found)?;
            if found.len() == before {
                return Err(Failure::new(format!("there is no config in {}", path.display())));
            }
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn walk(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("cannot read {}: {e}", dir.display()));
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        // Links to folders may lead in circles.
        if kind.is_dir() && depth < 64 {
            walk(&path, depth + 1, found)?;
        } else if !kind.is_dir()
            && path.is_file()
            && path.extension().and_then(|e| e.to_str()).is_some_and(|e| FORMATS.contains(&e))
        {
            found.push(path);
        }
        if found.len() > MAX_FILES {
            return Err(Failure::new(format!("there are more than {MAX_FILES} configs")));
        }
    }
    Ok(())
}

/// What is found out about a config.
#[derive(Default)]
struct Report {
    /// By path, the name of each component that a run would use, and the kinds of component that it may be.
    components: IndexMap<String, (String, Vec<&'static str>)>,
    problems: Vec<Error>,
    /// What is likely not meant.
    warnings: Vec<Error>,
}

fn report(file: &Path, loader: &Loader, registry: &Registry) -> Report {
    let config = match loader.load(file) {
        Ok(config) => config,
        Err(error) => return Report { problems: vec![error], ..Report::default() },
    };
    let env = Env { registry, loader, seed: occam_data::Seed(0), device: Device::cpu() };
    let mut check = Check { env: &env, report: Report::default(), told: BTreeSet::new() };
    check.config(&config);
    check.report
}

impl Report {
    fn text(&self, file: &Path) -> String {
        let file = file.display();
        let mut text = match self.problems.is_empty() {
            true => format!("{file}: right, {} components", self.components.len()),
            false => format!("{file}: wrong"),
        };
        for problem in &self.problems {
            text.push_str(&format!("\n  {}", indented(&problem.to_string())));
            for line in problem.context().iter().map(String::as_str).chain(problem.help()) {
                text.push_str(&format!("\n    {}", indented(line)));
            }
        }
        for warning in &self.warnings {
            text.push_str(&format!("\n  warning: {}", indented(&warning.to_string())));
        }
        text
    }

    fn to_json(&self, file: &Path) -> serde_json::Value {
        let components = self.components.iter().map(
            |(path, (name, kinds))| json!({ "path": path, "type": name, "known": !kinds.is_empty(), "kinds": kinds }),
        );
        let problems = self.problems.iter().map(|problem| {
            json!({
                "message": problem.message(),
                "location": problem.span().map(ToString::to_string),
                "context": problem.context(),
                "help": problem.help(),
            })
        });
        json!({
            "event": "config",
            "file": file,
            "right": self.problems.is_empty(),
            "components": components.collect::<Vec<_>>(),
            "problems": problems.collect::<Vec<_>>(),
            "warnings": self.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

/// Whether the dict at `path` has a `type` that the component around it reads itself, such as a `norm_cfg`.
fn is_setting(path: &str) -> bool {
    let key = path.rsplit('.').find(|segment| segment.parse::<usize>().is_err());
    key.is_some_and(|key| key.ends_with("_cfg") || key == "optim_wrapper" || key == "collate_fn")
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}

struct Check<'a> {
    env: &'a Env<'a>,
    report: Report,
    /// Places that a problem was told of.
    told: BTreeSet<String>,
}

impl Check<'_> {
    /// Checks what a run or a recipe reads of a config. Files that hold a part of a config only are right if that is.
    fn config(&mut self, config: &Value) {
        let registry = self.env.registry;
        self.report.warnings = strange_names(config);
        self.model(config, "model");
        for path in ["data_preprocessor", "model.data_preprocessor"] {
            self.part(config, path, |value| {
                // Without a type it is that of the model's task.
                match value.get("type") {
                    Some(_) => Ok(registry.build::<dyn DataPreprocessor>(value).map(drop)?),
                    None => Ok(()),
                }
            });
        }
        for side in ["train", "val", "test"] {
            self.dataloader(config, &format!("{side}_dataloader"));
        }
        for side in ["val", "test"] {
            self.part(config, &format!("{side}_evaluator"), |v| {
                Evaluator::from_config(v, registry).map(drop).map_err(Into::into)
            });
            self.part(config, &format!("{side}_cfg"), |v| loops::eval_loop(Some(v), registry).map(drop));
        }
        self.part(config, "train_cfg", |v| loops::train_loop(v, registry).map(drop));
        self.part(config, "optim_wrapper", |v| Optimizers::check(v, registry));
        self.part(config, "param_scheduler", |value| {
            occam_train::schedules::by_part(Some(value)).into_iter().try_for_each(|(_, own)| {
                let items = own.as_list().unwrap_or(std::slice::from_ref(own));
                items.iter().try_for_each(|item| Ok(registry.build::<dyn ParamScheduler>(item).map(drop)?))
            })
        });
        self.part(config, "default_hooks", |v| hooks::from_config(Some(v), None, registry).map(drop));
        self.part(config, "custom_hooks", |v| hooks::from_config(None, Some(v), registry).map(drop));
        let steps = config.get("recipe.steps").and_then(Value::as_list).map_or(0, <[Value]>::len);
        for step in 0..steps {
            let path = format!("recipe.steps.{step}");
            let before = self.report.problems.len();
            self.part(config, &path, |v| Ok(registry.build::<dyn RecipeStep>(v).map(drop)?));
            let model = format!("{path}.model");
            // A step that works on the model of an earlier one names it.
            let named = config.get(&model).is_some_and(|m| m.as_str().is_some());
            if self.report.problems.len() == before && !named {
                self.model(config, &model);
            }
        }
    }

    /// Builds what is at `path`; where that is wrong, all components in it are looked up too.
    fn part(
        &mut self,
        config: &Value,
        path: &str,
        build: impl FnOnce(&Value) -> Result<(), occam_train::Error>,
    ) {
        let Some(value) = config.get(path).filter(|value| !value.is_none()) else {
            return;
        };
        match build(value) {
            Ok(()) => self.note(value, path, false),
            Err(error) => {
                self.problem(error.into());
                self.note(value, path, true);
            }
        }
    }

    /// Notes the components in `value`; where `tell` is set, those that Occam does not have are problems.
    fn note(&mut self, value: &Value, path: &str, tell: bool) {
        for component in value.components() {
            let kinds = self.env.registry.kinds_of(component.name);
            let inner = component.path;
            let path = if inner.is_empty() { path.to_owned() } else { format!("{path}.{inner}") };
            if kinds.is_empty() {
                if !tell || is_setting(&path) {
                    continue;
                }
                let error = Error::new(format!("Occam has no component {:?}", component.name))
                    .with_span(component.span.cloned());
                self.problem(match self.env.registry.suggest(component.name) {
                    Some(meant) => error.with_help(format!("did you mean {meant:?}?")),
                    None => error,
                });
            }
            self.report.components.insert(path, (component.name.to_owned(), kinds));
        }
    }

    /// Adds a problem, unless there is one of the same place.
    fn problem(&mut self, error: Error) {
        let line = error.span().map_or_else(
            || error.message().to_owned(),
            |s| format!("{}:{}", s.file.path().display(), s.line),
        );
        if self.told.insert(line) {
            self.report.problems.push(error);
        }
    }

    /// An algorithm's own arguments, and the graphs of its models; weights and checkpoints are left alone. That the ONNX file
    /// of a model is not here is no problem.
    fn model(&mut self, config: &Value, path: &str) {
        let env = self.env;
        let algorithms = env.registry.names::<dyn AlgorithmConfig>();
        let architectures = env.registry.names::<dyn Architecture>();
        let build = |value: &Value| match env.task_model(value) {
            Err(occam_train::Error::Config(error)) if occam_zoo::is_absent(&error) => Ok(()),
            built => built.map(drop),
        };
        self.part(config, path, |value| {
            if !value.type_name().is_some_and(|name| algorithms.contains(&name)) {
                return build(value);
            }
            let algorithm = env.registry.build::<dyn AlgorithmConfig>(value)?;
            for part in ["architecture", "teacher"].iter().filter_map(|key| value.get(key)) {
                let named = part.type_name().is_some_and(|name| architectures.contains(&name));
                if named || part.get("cfg_path").is_some() {
                    build(part)?;
                }
            }
            match algorithm.check(env) {
                Err(occam_train::Error::Config(error)) if occam_zoo::is_absent(&error) => Ok(()),
                checked => checked,
            }
        });
    }

    /// A dataloader's keys, sampler and data set.
    fn dataloader(&mut self, config: &Value, path: &str) {
        let registry = self.env.registry;
        let Some(value) = config.get(path).filter(|value| !value.is_none()) else {
            return;
        };
        if let Err(error) = LoaderConfig::from_value(value) {
            self.problem(occam_train::Error::from(error).into());
        }
        let sampler = format!("{path}.sampler");
        self.part(config, &sampler, |v| Ok(registry.build::<dyn Sampler>(v).map(drop)?));
        if let Some(dataset) = value.get("dataset") {
            let path = format!("{path}.dataset");
            self.note(dataset, &path, true);
            self.dataset(dataset);
        }
    }

    /// A data set, those inside it, and their transforms. That its files are not here is no problem.
    fn dataset(&mut self, dataset: &Value) {
        let registry = self.env.registry;
        if dataset.get("type").is_none() {
            return;
        }
        if let Err(error) = registry.build::<dyn Dataset>(dataset)
            && !is_absent(&error)
        {
            self.problem(error);
        }
        if let Some(pipeline) = dataset.get("pipeline")
            && let Err(error) = Compose::from_config(pipeline, registry)
        {
            self.problem(occam_train::Error::from(error).into());
        }
        let several = dataset.get("datasets").and_then(Value::as_list).unwrap_or_default();
        for inner in dataset.get("dataset").into_iter().chain(several) {
            self.dataset(inner);
        }
    }
}
