//! Policies found by search.

use occam_config::{Dict, Error as ConfigError, Kind, Registry, Value};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::augment::hyperparameters;
use super::{Built, RandomChoice, transforms};

/// `AutoAugment`: one of several pairs of augmentations, each equally likely (Cubuk et al., 2018, arXiv:1805.09501).
///
/// | argument | |
/// |---|---|
/// | `policies` | `'imagenet'`, or a list of lists of transforms |
/// | `hparams` | arguments for all augmentations that have them and do not set them; `dict(pad_val=128)` by default |
///
/// The original reads `hparams` and then builds the policies without them.
///
/// # Errors
/// An argument is unknown, `policies` is neither, or a transform cannot be built.
pub(super) fn build(value: &Value, registry: &Registry) -> Built {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Keys {
        #[serde(rename = "policies")]
        _policies: IgnoredAny,
        #[serde(default, rename = "hparams")]
        _hparams: Option<IgnoredAny>,
    }
    value.parse::<Keys>()?;
    let hparams = hparams(value)?;
    let policies = match value.get("policies") {
        Some(policies) if policies.as_str() == Some("imagenet") => imagenet(),
        Some(policies) if policies.as_list().is_some() => policies.clone(),
        other => {
            let message = "`policies` must be 'imagenet' or a list of lists of transforms";
            return Err(ConfigError::new(message).at(other.unwrap_or(value)));
        }
    };
    let pipelines = policies.as_list().unwrap_or_default().iter().map(|policy| {
        let items = policy
            .as_list()
            .ok_or_else(|| ConfigError::new("each of `policies` must be a list of transforms").at(policy))?;
        let items = items.iter().map(|item| with_defaults(item, &hparams)).collect();
        transforms(&Value::new(Kind::List(items)).with_span(policy.span.clone()), registry)
    });
    Ok(Box::new(RandomChoice::new(pipelines.collect::<Result<_, _>>()?, None)?))
}

/// The `hparams` of a policy's config.
pub(super) fn hparams(value: &Value) -> Result<Dict, ConfigError> {
    match value.get("hparams") {
        None => {
            let mut default = Dict::new();
            default.insert("pad_val", Value::from(128));
            Ok(default)
        }
        Some(given) => given
            .as_dict()
            .cloned()
            .ok_or_else(|| ConfigError::new("`hparams` must be a dict of arguments").at(given)),
    }
}

/// The config of an augmentation with those of `hparams` that it takes and does not set.
pub(super) fn with_defaults(item: &Value, hparams: &Dict) -> Value {
    let mut item = item.clone();
    let taken = item.type_name().map(hyperparameters).unwrap_or_default();
    if let Some(dict) = item.as_dict_mut() {
        for (key, value) in hparams.iter() {
            if let Some(name) = key.as_str().filter(|name| taken.contains(name) && !dict.contains(name)) {
                dict.insert(name, value.clone());
            }
        }
    }
    item
}

/// The config of an augmentation of one magnitude.
fn item(name: &str, prob: f64, argument: Option<(&str, f64)>) -> Value {
    let mut dict = Dict::new();
    dict.insert("type", Value::from(name));
    dict.insert("prob", Value::from(prob));
    if let Some((key, value)) = argument {
        dict.insert(key, Value::from(value));
    }
    Value::new(Kind::Dict(dict))
}

/// The policy for ImageNet, 25 pairs.
fn imagenet() -> Value {
    let posterize = |bits: f64, prob| item("Posterize", prob, Some(("bits", bits)));
    let rotate = |ninths: f64, prob| item("Rotate", prob, Some(("angle", 30.0 / 9.0 * ninths)));
    let solarize = |ninths: f64, prob| item("Solarize", prob, Some(("thr", 256.0 / 9.0 * ninths)));
    let color = |magnitude, prob| item("ColorTransform", prob, Some(("magnitude", magnitude)));
    let contrast = |magnitude, prob| item("Contrast", prob, Some(("magnitude", magnitude)));
    let sharpness = |magnitude, prob| item("Sharpness", prob, Some(("magnitude", magnitude)));
    let shear = |magnitude, prob| item("Shear", prob, Some(("magnitude", magnitude)));
    let equalize = |prob| item("Equalize", prob, None);
    let invert = |prob| item("Invert", prob, None);
    let auto_contrast = |prob| item("AutoContrast", prob, None);
    let pairs = [
        [posterize(4.0, 0.4), rotate(9.0, 0.6)],
        [solarize(4.0, 0.6), auto_contrast(0.6)],
        [equalize(0.8), equalize(0.6)],
        [posterize(5.0, 0.6), posterize(5.0, 0.6)],
        [equalize(0.4), solarize(5.0, 0.2)],
        [equalize(0.4), rotate(8.0, 0.8)],
        [solarize(6.0, 0.6), equalize(0.6)],
        [posterize(6.0, 0.8), equalize(1.0)],
        [rotate(3.0, 0.2), solarize(1.0, 0.6)],
        [equalize(0.6), posterize(5.0, 0.4)],
        [rotate(8.0, 0.8), color(0.0, 0.4)],
        [rotate(9.0, 0.4), equalize(0.6)],
        [equalize(0.0), equalize(0.8)],
        [invert(0.6), equalize(1.0)],
        [color(0.4, 0.6), contrast(0.8, 1.0)],
        [rotate(8.0, 0.8), color(0.2, 1.0)],
        [color(0.8, 0.8), solarize(2.0, 0.8)],
        [sharpness(0.7, 0.4), invert(0.6)],
        [shear(0.3 / 9.0 * 5.0, 0.6), equalize(1.0)],
        [color(0.0, 0.4), equalize(0.6)],
        [equalize(0.4), solarize(5.0, 0.2)],
        [solarize(4.0, 0.6), auto_contrast(0.6)],
        [invert(0.6), equalize(1.0)],
        [color(0.4, 0.6), contrast(0.8, 1.0)],
        [equalize(0.8), equalize(0.6)],
    ];
    let pairs = pairs.map(|pair| Value::new(Kind::List(pair.into_iter().collect())));
    Value::new(Kind::List(pairs.into_iter().collect()))
}
