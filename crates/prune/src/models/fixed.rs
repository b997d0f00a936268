//! One subnet of a supernet, under the name of the original's function.

use occam_config::{Error as ConfigError, Registry, Value};
use occam_train::AlgorithmConfig;
use occam_zoo::Architecture;
use serde::Deserialize;

use super::deploy_sub_model::{Config, SubModelConfig};
use crate::mutators::choices;

/// Keys of the algorithms whose subnets are trained.
const OF_ALGORITHMS: [&str; 11] = [
    "architecture",
    "distiller",
    "mutator",
    "mutator_cfg",
    "strategy",
    "arch_start_train",
    "arch_train_freq",
    "distillation_times",
    "target_flops",
    "flops_loss_type",
    "flop_loss_weight",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    cfg: Value,
    fix_subnet: Value,
    #[serde(default)]
    mode: Option<Value>,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    extra_prefix: String,
    #[serde(default)]
    init_weight_from_supernet: bool,
    #[serde(default)]
    init_cfg: Option<Value>,
    #[serde(default)]
    data_preprocessor: Option<Value>,
}

/// `sub_model(cfg, fix_subnet, mode='mutator')`: the model of `cfg` with the widths that a subnet file says.
///
/// | key | default | |
/// |---|---|---|
/// | `cfg` | | the model with all channels |
/// | `fix_subnet` | | the widths: a dict, or the path of a JSON file, as a `GroupFisherDeploySubModel` takes them |
/// | `mode` | | `'mutator'`: the file is of channel units; `'mutable'`, the original's default, is of layers that are chosen and not supported |
/// | `prefix` | `''` | names of units begin with this, which is taken away |
/// | `extra_prefix` | `''` | and get this |
/// | `init_weight_from_supernet` | False | whether first values are the first channels of those that the whole model would have; a run's model alone can |
/// | `init_cfg` | None | that of `cfg` instead of its own |
///
/// Keys that an algorithm leaves where a config has that of its training as base are accepted without effect, as the original's
/// function takes them. Units of which a file says nothing keep their channels. The original takes away all letters of `prefix` that a name begins
/// with, in any order; here it is the prefix.
fn parse(value: &Value) -> Result<Config, ConfigError> {
    let mut own = value.clone();
    if let Some(dict) = own.as_dict_mut() {
        dict.retain(|key, _| !key.as_str().is_some_and(|k| OF_ALGORITHMS.contains(&k)));
    }
    let keys: Keys = own.parse()?;
    let place = |key: &str| value.get(key).unwrap_or(value);
    match keys.mode.as_ref().and_then(Value::as_str) {
        Some("mutator") => {}
        Some("mutable") | None => {
            let error =
                ConfigError::new("subnets of layers that are chosen, `mode='mutable'`, are not supported");
            return Err(error.with_help("a subnet of channel units has `mode='mutator'`").at(place("mode")));
        }
        Some(other) => {
            let error = ConfigError::new(format!("there is no mode {other:?}")).with_help("known: mutator");
            return Err(error.at(place("mode")));
        }
    }
    let mut fix_subnet = keys.fix_subnet;
    if !(keys.prefix.is_empty() && keys.extra_prefix.is_empty()) {
        let named = choices(&fix_subnet)?.into_iter().map(|(name, choice)| {
            let own = name.strip_prefix(&keys.prefix).unwrap_or(&name);
            let width = match choice {
                occam_space::subnet::Choice::Number(n) => n.into(),
                occam_space::subnet::Choice::Ratio(r) => serde_json::Value::from(r),
            };
            (format!("{}{own}", keys.extra_prefix), width)
        });
        let named = serde_json::Value::Object(named.collect());
        fix_subnet = Value::from_json(&named).with_span(fix_subnet.span.clone());
    }
    let mut architecture = keys.cfg;
    if let Some(init_cfg) = keys.init_cfg.filter(|v| !v.is_none())
        && let Some(dict) = architecture.as_dict_mut()
    {
        dict.insert("init_cfg", init_cfg);
    }
    Ok(Config {
        architecture,
        fix_subnet: Some(fix_subnet),
        divisor: 1,
        parse_cfg: None,
        data_preprocessor: keys.data_preprocessor,
        init_weight_from_supernet: keys.init_weight_from_supernet,
    })
}

pub(super) fn build_model(value: &Value, registry: &Registry) -> Result<Box<dyn Architecture>, ConfigError> {
    let config = parse(value)?;
    if config.init_weight_from_supernet {
        let error =
            ConfigError::new("`init_weight_from_supernet` is for the model of a run, not inside another");
        return Err(error.at(value.get("init_weight_from_supernet").unwrap_or(value)));
    }
    let architecture = registry.build::<dyn Architecture>(&config.architecture)?;
    Ok(Box::new(SubModelConfig { config, architecture }))
}

pub(super) fn build_algorithm(value: &Value, _: &Registry) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    Ok(Box::new(parse(value)?))
}
