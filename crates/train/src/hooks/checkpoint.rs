//! Saves the run.

use std::path::{Path, PathBuf};

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::Hook;
use super::rule::{GREATER, LESS, Rule};
use crate::error::refuse;
use crate::evaluate::Metrics;
use crate::runner::{Contents, Runner};
use crate::{Result, Step};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    interval: i64,
    by_epoch: bool,
    save_optimizer: bool,
    save_param_scheduler: bool,
    out_dir: Option<PathBuf>,
    max_keep_ckpts: i64,
    save_last: bool,
    save_best: Option<Value>,
    rule: Option<Value>,
    greater_keys: Option<Value>,
    less_keys: Option<Value>,
    file_client_args: Option<Value>,
    backend_args: Option<Value>,
    filename_tmpl: Option<String>,
    published_keys: Option<Value>,
    save_begin: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: -1,
            by_epoch: true,
            save_optimizer: true,
            save_param_scheduler: true,
            out_dir: None,
            max_keep_ckpts: -1,
            save_last: true,
            save_best: None,
            rule: None,
            greater_keys: None,
            less_keys: None,
            file_client_args: None,
            backend_args: None,
            filename_tmpl: None,
            published_keys: None,
            save_begin: 0,
        }
    }
}

/// `CheckpointHook`: writes `epoch_N.safetensors` or `iter_N.safetensors` and names it in `last_checkpoint`.
///
/// | key | default | |
/// |---|---|---|
/// | `interval` | -1 | epochs or iterations between two checkpoints; below 1 the end alone is saved |
/// | `by_epoch` | True | whether epochs are counted |
/// | `save_begin` | 0 | the interval is counted from here |
/// | `save_last` | True | whether the end is saved in any case |
/// | `max_keep_ckpts` | -1 | how many of the newest are kept; below 1 all |
/// | `save_best` | None | a figure of the validation, several, or `'auto'` for the first: the weights of the best are kept as `best_<figure>_epoch_N.safetensors` |
/// | `rule` | by the figure's name | `'greater'` or `'less'`; one, or one a figure |
/// | `greater_keys`, `less_keys` | mmengine's | parts of names by which `rule` is found |
/// | `filename_tmpl` | `epoch_{}` or `iter_{}` | name of files; `.pth` becomes `.safetensors` |
/// | `out_dir` | the work directory | a folder of the work directory's name is made in it |
/// | `save_optimizer`, `save_param_scheduler` | True | a checkpoint without these holds weights that no run can resume from |
///
/// `published_keys`, `backend_args` and `file_client_args` are refused: the files are on this machine and hold tensors
/// alone.
struct CheckpointHook {
    config: Config,
    best: Vec<Best>,
    /// Name of files before and after the number.
    name: (String, String),
    saved: Option<u64>,
}

/// A figure by which the best weights are kept.
struct Best {
    /// None for the first that there is.
    key: Option<String>,
    rule: Option<Rule>,
}

/// A str or a list of them.
fn strings(value: Option<&Value>) -> Result<Option<Vec<String>>, Error> {
    let Some(value) = value.filter(|v| !v.is_none()) else { return Ok(None) };
    let items = value.as_list().unwrap_or(std::slice::from_ref(value));
    let read = |v: &Value| v.as_str().map(str::to_owned).ok_or_else(|| Error::new("expected a str").at(v));
    items.iter().map(read).collect::<Result<_, _>>().map(Some)
}

fn best(config: &Config) -> Result<Vec<Best>, Error> {
    let Some(keys) = strings(config.save_best.as_ref())? else { return Ok(Vec::new()) };
    let place = config.save_best.clone().unwrap_or_default();
    if keys.len() > 1 && keys.iter().any(|k| k == "auto") {
        return Err(Error::new("`save_best='auto'` stands alone").at(&place));
    }
    if keys.iter().enumerate().any(|(i, k)| keys.iter().skip(i + 1).any(|other| other == k)) {
        return Err(Error::new("`save_best` names a figure twice").at(&place));
    }
    let rules: Vec<Option<Rule>> = match config.rule.as_ref().filter(|v| !v.is_none()) {
        None => vec![None],
        Some(v) => {
            let items = v.as_list().unwrap_or(std::slice::from_ref(v));
            let read = |v: &Value| match v.as_str() {
                Some("greater") => Ok(Some(Rule::Greater)),
                Some("less") => Ok(Some(Rule::Less)),
                _ if v.is_none() => Ok(None),
                _ => Err(Error::new("`rule` must be 'greater' or 'less'").at(v)),
            };
            items.iter().map(read).collect::<Result<_, _>>()?
        }
    };
    if rules.len() != 1 && rules.len() != keys.len() {
        return Err(Error::new("`rule` must be one, or one for each of `save_best`").at(&place));
    }
    let mut found = Vec::new();
    for (i, key) in keys.into_iter().enumerate() {
        let rule = rules.get(if rules.len() == 1 { 0 } else { i }).copied().flatten();
        let key = Some(key).filter(|k| k != "auto");
        let rule = match (&key, rule) {
            (Some(key), None) => Some(rule_of(config, key)?),
            (_, rule) => rule,
        };
        found.push(Best { key, rule });
    }
    Ok(found)
}

fn rule_of(config: &Config, key: &str) -> Result<Rule, Error> {
    let or = |given: Option<Vec<String>>, default: &[&str]| {
        given.unwrap_or_else(|| default.iter().map(ToString::to_string).collect())
    };
    let greater = or(strings(config.greater_keys.as_ref())?, GREATER);
    let less = or(strings(config.less_keys.as_ref())?, LESS);
    Rule::of(key, &greater, &less)
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let config: Config = value.parse()?;
    let refused = [
        (&config.published_keys, "published_keys", "a checkpoint here holds tensors alone"),
        (&config.backend_args, "backend_args", "checkpoints are files of this machine"),
        (&config.file_client_args, "file_client_args", "checkpoints are files of this machine"),
    ];
    for (given, key, why) in refused {
        if let Some(v) = given.as_ref().filter(|v| !v.is_none()) {
            return Err(Error::new(format!("`{key}` is not supported: {why}")).at(v));
        }
    }
    let default = if config.by_epoch { "epoch_{}" } else { "iter_{}" };
    let template = config.filename_tmpl.as_deref().unwrap_or(default);
    let stem = template.strip_suffix(".pth").or(template.strip_suffix(".safetensors")).unwrap_or(template);
    let name = match stem.split_once("{}") {
        Some((before, after)) if !stem.contains(['/', '\\']) && !after.contains("{}") => {
            (before.to_owned(), format!("{after}.safetensors"))
        }
        _ => {
            let error = Error::new("`filename_tmpl` must be a file's name with one {} for the number");
            return Err(error.at(value.get("filename_tmpl").unwrap_or(value)));
        }
    };
    let best = best(&config)?;
    Ok(Box::new(CheckpointHook { config, best, name, saved: None }))
}

impl CheckpointHook {
    fn due(&self, step: u64) -> bool {
        let interval = u64::try_from(self.config.interval).ok().filter(|n| *n > 0);
        let since = step.checked_sub(self.config.save_begin);
        interval.zip(since).is_some_and(|(n, since)| since.is_multiple_of(n))
    }

    fn file_name(&self, step: u64) -> String {
        format!("{}{step}{}", self.name.0, self.name.1)
    }

    fn folder(&self, runner: &Runner) -> Result<PathBuf> {
        let Some(out) = &self.config.out_dir else { return Ok(runner.work_dir().to_owned()) };
        let folder = out.join(runner.work_dir().file_name().unwrap_or_default());
        std::fs::create_dir_all(&folder)
            .map_err(|source| crate::Error::Io { path: folder.clone(), source })?;
        Ok(folder)
    }

    fn save(&mut self, runner: &mut Runner, step: u64) -> Result<()> {
        let folder = self.folder(runner)?;
        let contents =
            Contents { optimizer: self.config.save_optimizer, schedules: self.config.save_param_scheduler };
        runner.save_checkpoint(&folder.join(self.file_name(step)), contents)?;
        self.saved = Some(runner.iter());
        if let Some(keep) = usize::try_from(self.config.max_keep_ckpts).ok().filter(|n| *n > 0) {
            for path in self.older(&folder, keep, step) {
                remove(runner, &path);
            }
        }
        Ok(())
    }

    /// Checkpoints up to `step` beyond the newest `keep`, found on disk so that those of a resumed run count.
    fn older(&self, folder: &Path, keep: usize, step: u64) -> Vec<PathBuf> {
        let number = |path: &PathBuf| -> Option<u64> {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix(&self.name.0)?.strip_suffix(&self.name.1)?.parse().ok()
        };
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut found: Vec<(u64, PathBuf)> =
            entries.flatten().map(|e| e.path()).filter_map(|p| Some((number(&p)?, p))).collect();
        found.retain(|(n, _)| *n <= step);
        found.sort();
        found.truncate(found.len().saturating_sub(keep));
        found.into_iter().map(|(_, p)| p).collect()
    }

    /// Keeps the weights if `key` is better than ever.
    fn save_best(&self, runner: &mut Runner, key: &str, rule: Rule, score: f64) -> Result<()> {
        let several = if self.best.len() > 1 { format!("_{key}") } else { String::new() };
        let (score_key, path_key) = (format!("best_score{several}"), format!("best_ckpt{several}"));
        // As bits: decimal text might round.
        let before = runner.info().get(&score_key).and_then(serde_json::Value::as_u64).map(f64::from_bits);
        if !rule.better(score, before.unwrap_or(rule.worst())) {
            return Ok(());
        }
        let step = if self.config.by_epoch { runner.epoch() } else { runner.iter() };
        let name = format!("best_{key}_{}", self.file_name(step)).replace('/', "_");
        let path = self.folder(runner)?.join(name);
        runner.save_weights(&path)?;
        let previous =
            runner.info().get(&path_key).and_then(|v| v.as_str()).map(|p| runner.work_dir().join(p));
        if let Some(previous) = previous.filter(|p| *p != path && p.exists()) {
            remove(runner, &previous);
        }
        runner.message(&format!("the best {key} so far, {score:.4}: saved as {}", path.display()));
        runner.info_mut().insert(score_key, score.to_bits().into());
        let name = runner.kept_name(&path)?;
        runner.info_mut().insert(path_key, name.into());
        Ok(())
    }
}

/// Removes a file that is not needed any more.
fn remove(runner: &mut Runner, path: &Path) {
    // What replaces it is written; a leftover is no reason to stop.
    if let Err(e) = std::fs::remove_file(path) {
        runner.message(&format!("{} cannot be removed: {e}", path.display()));
    }
}

impl Hook for CheckpointHook {
    fn priority(&self) -> u32 {
        90
    }

    fn after_train_iter(&mut self, runner: &mut Runner, _: &Step) -> Result<()> {
        let iter = runner.iter();
        // At the end of an epoch the schedules still have to step: `after_train_epoch` saves then.
        if !self.config.by_epoch && self.due(iter) && !runner.at_epoch_end() {
            self.save(runner, iter)?;
        }
        Ok(())
    }

    fn after_train_epoch(&mut self, runner: &mut Runner) -> Result<()> {
        let step = if self.config.by_epoch { runner.epoch() } else { runner.iter() };
        if self.due(step) {
            self.save(runner, step)?;
        }
        Ok(())
    }

    fn after_val(&mut self, runner: &mut Runner, metrics: &Metrics) -> Result<()> {
        for best in &self.best {
            let Some(key) = best.key.as_ref().or(metrics.keys().next()) else { return Ok(()) };
            let Some(&score) = metrics.get(key) else {
                let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
                return refuse(format!(
                    "CheckpointHook: the validation gives no `{key}` for `save_best`, but {}",
                    known.join(", ")
                ));
            };
            let rule = match best.rule {
                Some(rule) => rule,
                None => rule_of(&self.config, key)?,
            };
            self.save_best(runner, key, rule, score)?;
        }
        Ok(())
    }

    fn after_train(&mut self, runner: &mut Runner) -> Result<()> {
        if self.config.save_last && self.saved != Some(runner.iter()) {
            // A training by iterations may end within an epoch.
            match self.config.by_epoch && !runner.at_epoch_end() {
                true => {
                    let path = self.folder(runner)?.join(format!("iter_{}.safetensors", runner.iter()));
                    runner.save_checkpoint(&path, Contents::default())?;
                }
                false if self.config.by_epoch => self.save(runner, runner.epoch())?,
                false => self.save(runner, runner.iter())?,
            }
        }
        Ok(())
    }
}
