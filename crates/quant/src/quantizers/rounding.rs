//! How weights and activations are rounded: `global_qconfig`.

use std::sync::Arc;

use occam_config::{Error, Registry, Value};
use occam_graph::ops::GridLearning;

use crate::fake_quants::{FakeQuantConfig, FakeQuantizer, LearnableFakeQuantize};
use crate::observers::ObserverConfig;
use crate::{QDtype, QScheme};

/// How one kind of value is rounded.
#[derive(Debug, Clone)]
pub struct Rounding {
    /// The integers.
    pub scheme: QScheme,
    /// Whether scale and zero point learn.
    pub learning: GridLearning,
    /// Whether the zero point does, too.
    pub zero_point_trainable: bool,
    observer: Arc<dyn ObserverConfig>,
    fake_quant: Arc<dyn FakeQuantConfig>,
}

impl Rounding {
    /// What rounds one value, to integers of `scheme`.
    pub fn fake_quantizer(&self, scheme: QScheme) -> FakeQuantizer {
        FakeQuantizer::new(scheme, self.fake_quant.clone(), self.observer.observer(scheme))
    }
}

/// How weights and activations are rounded.
///
/// | key | |
/// |---|---|
/// | `w_observer`, `a_observer` | [observers](crate::observers), by `type`; one with `PerChannel` in its name gives every index of axis 0 a grid of its own |
/// | `w_fake_quant`, `a_fake_quant` | [fake quantizations](crate::fake_quants), by `type` |
/// | `w_qscheme`, `a_qscheme` | the integers: `qdtype` (`'quint8'`), `bit` (8), `is_symmetry` (True), `is_symmetric_range` (False), and of weights `group_size` (None), elements of a channel that share a grid, where its size is a multiple; further keys are the observer's, those of `LearnableFakeQuantize` its own |
#[derive(Debug, Clone)]
pub struct QConfig {
    /// Of weights.
    pub weight: Rounding,
    /// Of what is computed.
    pub activation: Rounding,
}

/// Its keys, all of which are wanted.
const KEYS: [&str; 6] =
    ["w_observer", "a_observer", "w_fake_quant", "a_fake_quant", "w_qscheme", "a_qscheme"];

/// Keys of a scheme that are not the observer's.
const SCHEME: [&str; 5] = ["qdtype", "bit", "is_symmetry", "is_symmetric_range", "group_size"];

impl QConfig {
    /// Reads it.
    ///
    /// # Errors
    /// One of the six keys is missing or no dict, a name is not known, an observer and a fake quantization do not fit, or there are
    /// no integers of so many bits.
    pub fn from_value(value: &Value, registry: &Registry) -> Result<Self, Error> {
        let wrong = |what: String| Error::new(format!("the format of qconfig is incorrect: {what}"));
        let Some(dict) = value.as_dict() else { return Err(wrong("a dict is wanted".into()).at(value)) };
        if let Some(other) = dict.keys().find(|k| !k.as_str().is_some_and(|k| KEYS.contains(&k))) {
            let help = format!("it has {}", KEYS.join(", "));
            return Err(wrong(format!("it has no key {other}")).at(value).with_help(help));
        }
        let part = |key: &str| {
            let found = dict.get(key).ok_or_else(|| wrong(format!("`{key}` is missing")).at(value))?;
            if found.as_dict().is_none() {
                return Err(wrong(format!("`{key}` must be a dict")).at(found));
            }
            Ok(found)
        };
        let of = |who: &str| -> Result<Rounding, Error> {
            let [observer, fake, scheme] =
                ["observer", "fake_quant", "qscheme"].map(|p| part(&format!("{who}_{p}")));
            rounding(observer?, fake?, scheme?, who == "w", registry)
        };
        Ok(Self { weight: of("w")?, activation: of("a")? })
    }
}

/// The name of a component without its scope.
fn bare(value: &Value) -> Result<&str, Error> {
    let name = value.type_name().ok_or_else(|| Error::new("a dict with a `type` is wanted").at(value))?;
    Ok(name.rsplit('.').next().unwrap_or(name))
}

/// `group_size` of a scheme.
fn group(scheme: &Value, ch_axis: Option<usize>) -> Result<Option<usize>, Error> {
    let Some(value) = scheme.get("group_size").filter(|v| !v.is_none()) else { return Ok(None) };
    match (value.as_i64().and_then(|n| usize::try_from(n).ok()), ch_axis) {
        (None | Some(0), _) => Err(Error::new("`group_size` must be an int above 0").at(value)),
        (Some(n), Some(0)) => Ok(Some(n)),
        _ => Err(Error::new("`group_size` is for weights with a `PerChannel` observer").at(value)),
    }
}

/// The integers of a scheme.
fn integers(scheme: &Value, ch_axis: Option<usize>) -> Result<QScheme, Error> {
    let own = |key: &str| scheme.get(key);
    let flag = |key: &str, default| own(key).map_or(Some(default), Value::as_bool);
    let qdtype = match own("qdtype").map_or(Some("quint8"), Value::as_str) {
        Some("qint8") => QDtype::Qint8,
        Some("quint8") => QDtype::Quint8,
        _ => {
            let error = Error::new("qdtype is incorrect, it should be quint8 or qint8");
            return Err(error.at(own("qdtype").unwrap_or(scheme)));
        }
    };
    let wrong =
        || Error::new("`bit` must be an int, `is_symmetry` and `is_symmetric_range` bools").at(scheme);
    let bit =
        own("bit").map_or(Some(8), Value::as_i64).and_then(|b| u32::try_from(b).ok()).ok_or_else(wrong)?;
    let integers = QScheme {
        qdtype,
        bit,
        is_symmetry: flag("is_symmetry", true).ok_or_else(wrong)?,
        is_symmetric_range: flag("is_symmetric_range", false).ok_or_else(wrong)?,
        ch_axis,
        group: group(scheme, ch_axis)?,
    };
    integers.check().map_err(|e| Error::new(e.to_string()).at(scheme))?;
    Ok(integers)
}

fn rounding(
    observer: &Value,
    fake: &Value,
    scheme: &Value,
    is_weight: bool,
    registry: &Registry,
) -> Result<Rounding, Error> {
    let per_channel = bare(observer)?.contains("PerChannel");
    if per_channel && !is_weight {
        return Err(Error::new("activations have one grid for all channels in every backend").at(observer));
    }
    let integers = integers(scheme, per_channel.then_some(0))?;
    let learns = bare(fake)? == "LearnableFakeQuantize";
    let (mut own, mut fake_own) = (observer.clone(), fake.clone());
    for (key, value) in scheme.as_dict().into_iter().flat_map(|d| d.iter()) {
        let Some(name) = key.as_str().filter(|k| !SCHEME.contains(k)) else { continue };
        let to = if learns && LearnableFakeQuantize::KEYS.contains(&name) { &mut fake_own } else { &mut own };
        if let Some(dict) = to.as_dict_mut() {
            dict.insert(name, value.clone());
        }
    }
    let refused = |e: crate::Error, at: &Value| Error::new(e.to_string()).at(at);
    let observer_config: Arc<dyn ObserverConfig> = registry.build::<dyn ObserverConfig>(&own)?.into();
    observer_config.check(&integers).map_err(|e| refused(e, observer))?;
    let fake_quant: Arc<dyn FakeQuantConfig> = registry.build::<dyn FakeQuantConfig>(&fake_own)?.into();
    fake_quant.check(observer_config.follows()).map_err(|e| refused(e, fake))?;
    Ok(Rounding {
        scheme: integers,
        learning: fake_quant.learning(),
        zero_point_trainable: fake_quant.zero_point_trainable(),
        observer: observer_config,
        fake_quant,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<QConfig, Error> {
        let mut registry = Registry::new();
        crate::register(&mut registry);
        let config = occam_config::Loader::new().load_str("a.py", &format!("x = {text}\n")).unwrap();
        QConfig::from_value(config.get("x").unwrap(), &registry)
    }

    fn config(a_observer: &str, a_fake: &str, a_scheme: &str) -> String {
        format!(
            "dict(w_observer=dict(type='mmrazor.PerChannelMinMaxObserver'), a_observer=dict({a_observer}), \
             w_fake_quant=dict(type='mmrazor.FakeQuantize'), a_fake_quant=dict({a_fake}), \
             w_qscheme=dict(qdtype='qint8', is_symmetric_range=True), a_qscheme=dict({a_scheme}))"
        )
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn schemes_have_keys_of_observers_and_fake_quants() {
        let text = config(
            "type='LSQObserver'",
            "type='LearnableFakeQuantize'",
            "bit=4, use_grad_scaling=False, zero_point_trainable=True",
        );
        let found = read(&text).unwrap();
        assert_eq!(found.weight.scheme, QScheme::weights(8, Some(0)));
        assert_eq!(found.activation.learning, GridLearning::Learned);
        assert!(found.activation.zero_point_trainable && found.activation.scheme.is_symmetry);
        let text = config("type='HistogramObserver', bins=64", "type='FakeQuantize'", "is_symmetry=False");
        assert!(!read(&text).unwrap().activation.scheme.is_symmetry);
        let fixed = "type='FixedQParamsObserver', scale=0.5, zero_point=3";
        read(&config(fixed, "type='FixedQParamsFakeQuantize'", "")).unwrap();
        let moving = "type='MovingAverageMinMaxObserver'";
        read(&config(moving, "type='FusedMovingAvgObsFakeQuantize'", "averaging_constant=0.1")).unwrap();
    }

    #[test]
    fn groups_are_of_weights() {
        let grouped = |size: &str| {
            config("type='MinMaxObserver'", "type='FakeQuantize'", "")
                .replace("is_symmetric_range=True", &format!("is_symmetric_range=True, group_size={size}"))
        };
        let scheme = read(&grouped("4")).unwrap().weight.scheme;
        assert_eq!(scheme, QScheme { group: Some(4), ..QScheme::weights(8, Some(0)) });
        assert_eq!(read(&grouped("None")).unwrap().weight.scheme.group, None);
        refused(&grouped("0"), "`group_size` must be an int above 0");
        refused(&config("type='MinMaxObserver'", "type='FakeQuantize'", "group_size=4"), "for weights");
        refused(&grouped("4").replace("PerChannel", ""), "with a `PerChannel` observer");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let plain = "type='FakeQuantize'";
        refused("dict()", "the format of qconfig is incorrect: `w_observer` is missing");
        refused("3", "the format of qconfig is incorrect");
        refused("dict(w_observer=3, w_fake_quant=dict(), w_qscheme=dict())", "`w_observer` must be a dict");
        refused(&config("type='MinMaxObserver'", plain, "qdtype='int8'"), "it should be quint8 or qint8");
        refused(&config("type='MinMaxObserver'", plain, "bit=17"), "17 bits");
        refused(&config("type='MinMaxObserver'", plain, "averaging_constant=0.1"), "averaging_constant");
        refused(&config("type='EMAObserver'", plain, ""), "EMAObserver");
        refused(&config("type='MinMaxObserver'", "type='Quantize'", ""), "Quantize");
        refused(&config("type='NoopObserver'", plain, ""), "no grid follows");
        refused(&config("type='RecordingObserver'", plain, ""), "no grid follows");
        refused(&config("type='PerChannelMinMaxObserver'", plain, ""), "one grid for all channels");
        refused(
            &config("type='MinMaxObserver'", "type='FixedQParamsFakeQuantize'", ""),
            "FixedQParamsObserver",
        );
        refused(
            &config("type='MinMaxObserver'", "type='FusedMovingAvgObsFakeQuantize'", ""),
            "only works with MovingAverageMinMaxObserver",
        );
        refused(&config("type='FixedQParamsObserver', scale=1.0, zero_point=256", plain, ""), "0..=255");
    }
}
