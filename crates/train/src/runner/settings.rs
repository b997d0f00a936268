//! What a config says about the run as a whole.

use occam_config::{Error as ConfigError, Value, suggest};
use occam_data::Seed;
use serde::Deserialize;

use crate::Result;

/// `randomness`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Randomness {
    seed: Option<u64>,
    #[serde(rename = "deterministic")]
    _deterministic: bool,
    #[serde(rename = "diff_rank_seed")]
    _diff_rank_seed: bool,
}

/// The seed that a config asks for; 0 where it asks for none.
///
/// Runs are always deterministic and have one process, so `deterministic` and `diff_rank_seed` are without effect.
///
/// # Errors
/// `randomness` has an unknown key.
pub(crate) fn seed(config: &Value) -> Result<Seed> {
    let randomness: Randomness = match present(config, "randomness") {
        Some(v) => v.parse()?,
        None => Randomness::default(),
    };
    Ok(Seed(randomness.seed.unwrap_or(0)))
}

pub(super) fn present<'a>(config: &'a Value, key: &str) -> Option<&'a Value> {
    config.get(key).filter(|v| !v.is_none())
}

pub(super) fn need<'a>(config: &'a Value, key: &str, because: &str) -> Result<&'a Value> {
    present(config, key).ok_or_else(|| {
        let message = format!("the config has no `{key}`, which {because} needs");
        ConfigError::new(message).at(config).into()
    })
}

/// `auto_scale_lr`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoScale {
    #[serde(default)]
    enable: bool,
    #[serde(default)]
    base_batch_size: Option<u64>,
}

/// The factor on learning rates where a config's `auto_scale_lr` is enabled: the batch size over `base_batch_size`
/// (Goyal et al., 2017, arXiv:1706.02677).
///
/// # Errors
/// It is enabled without `base_batch_size`.
pub(super) fn lr_factor(config: &Value, batch_size: usize) -> Result<Option<f64>> {
    let Some(value) = present(config, "auto_scale_lr") else { return Ok(None) };
    let auto: AutoScale = value.parse()?;
    if !auto.enable {
        return Ok(None);
    }
    match auto.base_batch_size.filter(|n| *n > 0) {
        Some(base) => Ok(Some(batch_size as f64 / base as f64)),
        None => {
            let error = ConfigError::new("`auto_scale_lr` needs a `base_batch_size` above 0")
                .with_help("the batch size over all devices for which the config's learning rate was chosen");
            Err(error.at(value).into())
        }
    }
}

/// The names that a run or a recipe reads of a config. Others are a config's own variables.
pub const NAMES: &[&str] = &[
    "model",
    "data_preprocessor",
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "val_evaluator",
    "test_evaluator",
    "train_cfg",
    "val_cfg",
    "test_cfg",
    "optim_wrapper",
    "param_scheduler",
    "auto_scale_lr",
    "default_hooks",
    "custom_hooks",
    "log_processor",
    "log_level",
    "visualizer",
    "vis_backends",
    "default_scope",
    "env_cfg",
    "launcher",
    "randomness",
    "load_from",
    "resume",
    "work_dir",
    "recipe",
];

/// Dicts and lists whose names are nearly one that a run reads: a variable of the config's own, or a misspelling that
/// nothing would come of.
pub fn strange_names(config: &Value) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for (key, place, value) in config.as_dict().into_iter().flat_map(occam_config::Dict::iter_spanned) {
        let structure = value.as_dict().is_some() || value.as_list().is_some();
        let Some(name) = key.as_str().filter(|name| structure && !NAMES.contains(name)) else { continue };
        if let Some(meant) = suggest(name, NAMES.iter().copied()) {
            let message = format!("nothing reads `{name}`; did you mean `{meant}`?");
            found.push(ConfigError::new(message).with_span(place.cloned()).at(value));
        }
    }
    found
}

/// Refuses what one process on one machine cannot do.
///
/// `env_cfg`, `log_level`, `default_scope` and local `vis_backends` are accepted without effect: scalars always go to
/// `log.jsonl` and `tensorboard/`.
///
/// # Errors
/// The config asks for several processes, or for a service.
pub(super) fn check(config: &Value) -> Result<()> {
    for key in ["env_cfg", "visualizer"] {
        if let Some(v) = present(config, key).filter(|v| v.as_dict().is_none()) {
            return Err(ConfigError::new(format!("`{key}` must be a dict")).at(v).into());
        }
    }
    if let Some(v) = present(config, "launcher").filter(|v| v.as_str() != Some("none")) {
        let error = ConfigError::new("a run has one process here; `launcher` must be 'none'");
        return Err(error.at(v).into());
    }
    let own = config.get("visualizer.vis_backends");
    let backends = [own, present(config, "vis_backends")].into_iter().flatten();
    for backend in backends.filter_map(Value::as_list).flatten() {
        match backend.type_name() {
            None | Some("LocalVisBackend" | "TensorboardVisBackend") => {}
            Some(other) => {
                let error = ConfigError::new(format!("there is no vis_backend `{other}`"))
                    .with_help("scalars go to log.jsonl and tensorboard/ in the work directory");
                return Err(error.at(backend).into());
            }
        }
    }
    Ok(())
}
