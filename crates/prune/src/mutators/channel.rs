//! The mutator that finds the units of a model by following its graph.

use indexmap::IndexMap;
use occam_config::{Dict, Error, Registry, Value};
use occam_space::Trace;
use occam_space::subnet::{self, Choice, Template};
use serde::Deserialize;

use super::read_json;
use crate::units::{ChannelUnit, UnitArgs};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    channel_unit_cfg: Option<Value>,
    parse_cfg: ParseConfig,
    init_cfg: Option<Value>,
}

/// `channel_unit_cfg`.
struct UnitsConfig {
    kind: Value,
    default_args: Option<Value>,
    units: Option<Value>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ParseConfig {
    #[serde(rename = "type")]
    kind: String,
    demo_input: Option<Value>,
    tracer_type: String,
    from_cfg: Option<Value>,
}

impl Default for ParseConfig {
    fn default() -> Self {
        let (kind, tracer_type) = ("ChannelAnalyzer".into(), "BackwardTracer".into());
        Self { kind, demo_input: None, tracer_type, from_cfg: None }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UnitConfig {
    init_args: Option<Value>,
    choice: Option<Value>,
    channels: Option<Channels>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Channels {
    #[serde(default)]
    output_related: Vec<Channel>,
    #[serde(default)]
    input_related: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    name: String,
    start: usize,
    end: usize,
}

/// One unit's part of the config.
struct Own {
    args: UnitArgs,
    candidates: Option<Vec<Choice>>,
    /// Whether these are its own, not those of all units.
    given_candidates: bool,
    start: Option<Choice>,
    channels: Option<Channels>,
    /// For the place of errors.
    value: Value,
}

/// `ChannelMutator(channel_unit_cfg='SequentialMutableChannelUnit', parse_cfg=dict(type='ChannelAnalyzer'))`.
///
/// | key | default | |
/// |---|---|---|
/// | `channel_unit_cfg` | `SequentialMutableChannelUnit` | the kind of the units: its name, or `dict(type=.., default_args=.., units=..)` |
/// | `channel_unit_cfg.default_args` | `{}` | arguments of all units |
/// | `channel_unit_cfg.units` | `{}` | by unit `dict(init_args=.., choice=.., channels=..)`, or a JSON file with that: arguments in place of the default ones, and the width from which its schedule starts |
/// | `parse_cfg` | `ChannelAnalyzer` | how units are found: `ChannelAnalyzer`, by following the graph; `Config`, only those in `units`, which may have names of their own where `channels` says what they are |
/// | `parse_cfg.demo_input`, `parse_cfg.tracer_type` | | accepted and without effect: no model is run, and one tracer serves all |
///
/// `Predefined`, for models of dynamic operators, is refused.
pub struct ChannelMutator {
    /// Its name in configs and subnet files.
    name: &'static str,
    unit: Box<dyn ChannelUnit>,
    default_args: Value,
    own: IndexMap<String, Own>,
    /// Whether only units with a config of their own change.
    listed: bool,
}

/// What a mutator says of one unit of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// Its name in configs and subnet files.
    pub name: String,
    /// How its choices become widths.
    pub args: UnitArgs,
    /// The choices that it has, where these are given.
    pub candidates: Option<Vec<Choice>>,
    /// The choice from which its schedule starts, where that is not all channels.
    pub start: Option<Choice>,
    /// Whether it may become narrower.
    pub mutable: bool,
}

/// What a mutator says of the units of a model, in the order of its trace.
pub type Units = Vec<Unit>;

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<ChannelMutator>, Error> {
    build_as("ChannelMutator", "SequentialMutableChannelUnit", value, registry)
}

/// A mutator of another name, with another kind of units where the config names none.
pub(super) fn build_as(
    name: &'static str,
    kind: &str,
    value: &Value,
    registry: &Registry,
) -> Result<Box<ChannelMutator>, Error> {
    let config: Config = value.parse()?;
    let place = |key: &str| value.get(key).unwrap_or(value);
    if config.init_cfg.as_ref().is_some_and(|v| !v.is_none()) {
        return Err(Error::new("a mutator has no weights: leave `init_cfg` out").at(place("init_cfg")));
    }
    let parse = &config.parse_cfg;
    if !["BackwardTracer", "FxTracer"].contains(&parse.tracer_type.as_str()) {
        let message = format!("there is no tracer `{}`", parse.tracer_type);
        let error = Error::new(message).with_help("known: BackwardTracer, FxTracer");
        return Err(error.at(place("parse_cfg.tracer_type")));
    }
    let listed = match parse.kind.rsplit('.').next().unwrap_or_default() {
        "ChannelAnalyzer" => parse.from_cfg.as_ref().is_some_and(|v| v.as_bool() != Some(false)),
        "Config" => true,
        "Predefined" => {
            let error = Error::new("`Predefined` needs a model of dynamic operators, which is not supported");
            return Err(error.with_help("use dict(type='ChannelAnalyzer')").at(place("parse_cfg")));
        }
        other => {
            let error = Error::new(format!("units cannot be found by `{other}`"));
            return Err(error.with_help("known: ChannelAnalyzer, Config").at(place("parse_cfg.type")));
        }
    };
    let given = config.channel_unit_cfg.filter(|v| !v.is_none()).unwrap_or_else(|| Value::from(kind));
    let cfg = match given.as_str() {
        Some(_) => UnitsConfig { kind: given, default_args: None, units: None },
        None => units_config(&given)?,
    };
    let default_args = cfg.default_args.filter(|v| !v.is_none()).unwrap_or_else(|| Dict::new().into());
    let unit = registry.build::<dyn ChannelUnit>(&of_kind(&default_args, &cfg.kind)?)?;
    let mut own = IndexMap::new();
    let units = cfg.units.filter(|v| !v.is_none());
    for (name, entry) in units.map(|v| entries(&v)).transpose()?.unwrap_or_default() {
        let one: UnitConfig = entry.parse()?;
        let like = match &one.init_args {
            Some(args) => Some(registry.build::<dyn ChannelUnit>(&of_kind(args, &cfg.kind)?)?),
            None => None,
        };
        let like = like.as_deref().unwrap_or(&*unit);
        let (args, candidates) = (like.args().clone(), like.candidates().map(<[Choice]>::to_vec));
        let start = one.choice.map(|v| choice(&v)).transpose()?;
        let given_candidates = one.init_args.as_ref().is_some_and(|v| v.get("candidate_choices").is_some());
        own.insert(
            name,
            Own { args, candidates, given_candidates, start, channels: one.channels, value: entry },
        );
    }
    if listed && own.is_empty() {
        let error = Error::new("the units are to be those of the config, which has none");
        return Err(error
            .with_help("give `channel_unit_cfg.units`, or parse_cfg=dict(type='ChannelAnalyzer')")
            .at(value));
    }
    Ok(Box::new(ChannelMutator { name, unit, default_args, own, listed }))
}

/// As [`build_as`], of units of that kind and no other.
pub(super) fn build_of(
    name: &'static str,
    kind: &str,
    value: &Value,
    registry: &Registry,
) -> Result<Box<ChannelMutator>, Error> {
    let mutator = build_as(name, kind, value, registry)?;
    let found = mutator.unit.name();
    if found != kind {
        let error = Error::new(format!("the units of a {name} are of kind {kind}, not {found}"));
        return Err(error.at(value.get("channel_unit_cfg").unwrap_or(value)));
    }
    Ok(mutator)
}

/// `channel_unit_cfg` as a dict, whose `type` is read here, not by the registry.
fn units_config(value: &Value) -> Result<UnitsConfig, Error> {
    let Some(kind) = value.get("type").cloned() else {
        return Err(Error::new("`channel_unit_cfg` needs a `type`, such as 'L1MutableChannelUnit'").at(value));
    };
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rest {
        #[serde(default)]
        default_args: Option<Value>,
        #[serde(default)]
        units: Option<Value>,
    }
    let rest: Rest = value.parse()?;
    Ok(UnitsConfig { kind, default_args: rest.default_args, units: rest.units })
}

/// The config of a unit: `args` with a `type`.
fn of_kind(args: &Value, kind: &Value) -> Result<Value, Error> {
    let mut config = args.clone();
    match config.as_dict_mut() {
        Some(dict) => dict.insert("type", kind.clone()),
        None => return Err(Error::new("the arguments of a unit must be a dict").at(args)),
    };
    Ok(config)
}

/// The entries of `units`, or of the file that it names: units, or a mutator's config with them.
fn entries(value: &Value) -> Result<Vec<(String, Value)>, Error> {
    let file;
    let value = match value.as_str() {
        Some(path) => {
            let json = read_json(path, value)?;
            let units = json.pointer("/channel_unit_cfg/units").unwrap_or(&json);
            file = Value::from_json(units);
            &file
        }
        None => value,
    };
    let wrong = || Error::new("`units` must be a dict from the names of units to dicts").at(value);
    let dict = value.as_dict().ok_or_else(wrong)?;
    dict.iter()
        .map(|(name, entry)| Ok((name.as_str().ok_or_else(wrong)?.to_owned(), entry.clone())))
        .collect()
}

/// A number of channels, or a part of them.
pub(crate) fn choice(value: &Value) -> Result<Choice, Error> {
    let number = value.as_i64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    let part = value.as_f64().filter(|r| value.as_i64().is_none() && *r > 0.0 && *r <= 1.0);
    number.map(Choice::Number).or(part.map(Choice::Ratio)).ok_or_else(|| {
        Error::new("a choice must be a number of channels above 0, or a part up to 1.0").at(value)
    })
}

impl ChannelMutator {
    /// The kind of the units.
    pub fn unit(&self) -> &dyn ChannelUnit {
        &*self.unit
    }

    /// What is said of the units of `trace`.
    ///
    /// # Errors
    /// A unit of the config is none of the model, or has another number of channels there.
    pub fn units(&self, trace: &Trace) -> Result<Units, Error> {
        let mut units: Units = trace
            .units
            .iter()
            .map(|u| Unit {
                name: u.name.clone(),
                args: self.unit.args().clone(),
                candidates: self.unit.candidates().map(<[Choice]>::to_vec),
                start: None,
                mutable: u.kept_by.is_none() && !self.listed,
            })
            .collect();
        for (name, own) in &self.own {
            let wrong = |message: String| Error::new(message).at(&own.value);
            let index = match &own.channels {
                Some(channels) => find(trace, channels).ok_or_else(|| {
                    wrong(format!("unit `{name}`: the model has no unit of these channels"))
                })?,
                None => trace.find(name).map_err(|e| wrong(e.to_string()))?,
            };
            let (Some(unit), Some(found)) = (units.get_mut(index), trace.units.get(index)) else { continue };
            if let Some(n) = own.args.num_channels.filter(|&n| n != found.channels) {
                let channels = found.channels;
                return Err(wrong(format!("unit `{name}` has {channels} channels in this model, not {n}")));
            }
            let too_many = own.candidates.iter().flatten().find(|c| c.width(found.channels) > found.channels);
            if let Some(choice) = too_many {
                let (n, channels) = (choice.width(found.channels), found.channels);
                return Err(wrong(format!(
                    "unit `{name}` has {channels} channels, fewer than its candidate {n}"
                )));
            }
            let narrow = own.candidates.iter().flatten().any(|c| c.width(found.channels) < found.channels);
            if let Some(why) = found.kept_by.as_ref().filter(|_| narrow && own.given_candidates) {
                return Err(wrong(format!("unit `{name}` cannot be pruned: {why}")));
            }
            if own.start.is_some_and(|c| c.width(found.channels) > found.channels) {
                return Err(wrong(format!(
                    "unit `{name}` has {} channels, fewer than its choice",
                    found.channels
                )));
            }
            *unit = Unit {
                name: name.clone(),
                args: own.args.clone(),
                candidates: own.candidates.clone(),
                start: own.start,
                mutable: found.kept_by.is_none(),
            };
        }
        Ok(units)
    }

    /// This mutator's config with the units of `trace` at `widths`, as subnet files have it. Choices are numbers of channels:
    /// the integer part of a part of them may be one less.
    pub fn template(&self, trace: &Trace, units: &Units, widths: &[usize]) -> serde_json::Value {
        let mut config = subnet::config(trace, widths, Template::default());
        let mut own = serde_json::Map::new();
        for ((unit, found), width) in units.iter().zip(&trace.units).zip(widths) {
            let mut init_args = unit.args.template(found.channels);
            if let (Some(candidates), Some(args)) = (&unit.candidates, init_args.as_object_mut()) {
                let widths = candidates.iter().map(|&c| unit.args.width(c, found.channels).into());
                args.insert("candidate_choices".into(), serde_json::Value::Array(widths.collect()));
                args.insert("choice_mode".into(), "number".into());
            }
            own.insert(unit.name.clone(), serde_json::json!({ "init_args": init_args, "choice": width }));
        }
        let parts = [
            ("/type", self.name.into()),
            ("/channel_unit_cfg/type", self.unit.name().into()),
            ("/channel_unit_cfg/default_args", self.default_args.to_json()),
            ("/channel_unit_cfg/units", own.into()),
        ];
        for (path, part) in parts {
            if let Some(place) = config.pointer_mut(path) {
                *place = part;
            }
        }
        config
    }
}

/// The unit that has the first of `channels`.
fn find(trace: &Trace, channels: &Channels) -> Option<usize> {
    let first = channels.output_related.first();
    let (wanted, output) = match first {
        Some(channel) => (channel, true),
        None => (channels.input_related.first()?, false),
    };
    trace.units.iter().position(|u| {
        let own = if output { &u.output_related } else { &u.input_related };
        own.iter().any(|c| c.name == wanted.name && (c.start, c.end) == (wanted.start, wanted.end))
    })
}
