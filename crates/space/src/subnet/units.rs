//! Files of channel units: which width each has, as MMRazor writes them.
//!
//! Three forms are read: `{"UNIT": 61, ..}` with numbers of channels or, as floats, parts of them (what GroupFisher and L1
//! deploy configs hold); a mutator with `channel_unit_cfg.units.UNIT.choice` (DMCP, DCFF, slimmable networks); and the units
//! of such a mutator alone.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::{Error, Result, Trace, Unit};

/// The width of a unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// So many channels.
    Number(usize),
    /// This part of them.
    Ratio(f64),
}

impl Choice {
    /// How many of `channels` it is: `max(1, int(channels · ratio))` for a part.
    pub fn width(self, channels: usize) -> usize {
        match self {
            Self::Number(n) => n,
            Self::Ratio(r) => ((channels as f64 * r) as usize).max(1),
        }
    }
}

/// Widths by the names of units.
pub type Choices = IndexMap<String, Choice>;

/// Reads the choices of a subnet file.
///
/// # Errors
/// It is no JSON, or of none of the forms; the message says where.
pub fn parse(text: &str) -> Result<Choices> {
    let wrong = |message: String| Error::Subnet(message);
    let value: Value = serde_json::from_str(text).map_err(|e| wrong(format!("it is no JSON: {e}")))?;
    let object = |v: &'_ Value| v.as_object().cloned();
    let top = object(&value).ok_or_else(|| wrong("it is no object of units".into()))?;
    let units = match top.get("channel_unit_cfg") {
        None => top,
        Some(cfg) => match cfg.get("units").and_then(object) {
            Some(units) => units,
            None => return Err(wrong("`channel_unit_cfg` has no `units`".into())),
        },
    };
    let mut choices = Choices::new();
    for (name, value) in units {
        let choice = value.get("choice").unwrap_or(&value);
        choices.insert(name.clone(), choice_of(choice).ok_or_else(|| {
            wrong(format!("the choice of unit `{name}` is {choice}, it must be a number of channels above 0 or a part up to 1.0"))
        })?);
    }
    Ok(choices)
}

fn choice_of(value: &Value) -> Option<Choice> {
    match value.as_u64() {
        Some(n) if n > 0 => usize::try_from(n).ok().map(Choice::Number),
        Some(_) => None,
        None => value.as_f64().filter(|r| *r > 0.0 && *r <= 1.0).map(Choice::Ratio),
    }
}

/// The width of every unit of `trace` under `choices`; units that they do not name keep all channels.
///
/// # Errors
/// A name is no unit, or a width more than the unit has.
pub fn widths(trace: &Trace, choices: &Choices) -> Result<Vec<usize>> {
    let mut widths: Vec<usize> = trace.units.iter().map(|u| u.channels).collect();
    for (name, choice) in choices {
        let index = trace.find(name)?;
        if let Some((w, unit)) = widths.get_mut(index).zip(trace.units.get(index)) {
            *w = choice.width(unit.channels);
            if *w > unit.channels {
                let asked = w.to_string();
                return Err(Error::Width { name: name.clone(), channels: unit.channels, asked });
            }
        }
    }
    Ok(widths)
}

/// What a written config of units holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Template {
    /// Only the units that can be pruned.
    pub only_mutable_units: bool,
    /// The arguments of the units.
    pub with_init_args: bool,
    /// The layers that compute and read each unit, so that no trace is needed to read it.
    pub with_channels: bool,
}

/// A mutator's config with the units of `trace` at `widths`, in MMRazor's form.
pub fn config(trace: &Trace, widths: &[usize], template: Template) -> Value {
    let channels = |list: &[crate::Channel]| -> Value {
        list.iter()
            .map(|c| {
                json!({ "name": c.name, "start": c.start, "end": c.end, "is_output_channel": c.is_output_channel })
            })
            .collect()
    };
    let mut units = Map::new();
    for (unit, width) in trace.units.iter().zip(widths) {
        if template.only_mutable_units && unit.kept_by.is_some() {
            continue;
        }
        let mut own = Map::new();
        if template.with_init_args {
            let args = json!({
                "num_channels": unit.channels, "choice_mode": "number", "divisor": 1, "min_value": 1, "min_ratio": 0.9,
            });
            own.insert("init_args".into(), args);
        }
        if template.with_channels {
            let both = json!({
                "input_related": channels(&unit.input_related), "output_related": channels(&unit.output_related),
            });
            own.insert("channels".into(), both);
        }
        own.insert("choice".into(), json!(width));
        units.insert(unit.name.clone(), own.into());
    }
    let parse = if template.with_channels {
        json!({ "type": "Config" })
    } else {
        json!({ "type": "ChannelAnalyzer" })
    };
    json!({
        "type": "ChannelMutator",
        "channel_unit_cfg": {
            "type": "SequentialMutableChannelUnit", "default_args": { "choice_mode": "number" }, "units": units,
        },
        "parse_cfg": parse,
    })
}

/// `{"UNIT": width, ..}` of the units that lose channels.
pub fn choices(trace: &Trace, widths: &[usize]) -> Value {
    let narrower = |(unit, width): &(&Unit, &usize)| **width < unit.channels;
    let pairs = trace.units.iter().zip(widths).filter(narrower);
    Value::Object(pairs.map(|(unit, width)| (unit.name.clone(), json!(width))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        let plain = parse(r#"{"backbone.conv1_(0, 64)_64": 61, "b_(0, 8)_8": 0.5}"#).unwrap();
        assert_eq!(plain["backbone.conv1_(0, 64)_64"], Choice::Number(61));
        assert_eq!(plain["b_(0, 8)_8"].width(9), 4);
        let mutator = r#"{"type": "DCFFChannelMutator", "channel_unit_cfg": {"type": "DCFFChannelUnit",
            "units": {"a_(0, 64)_64": {"init_args": {"num_channels": 64}, "choice": 0.640625}}}}"#;
        assert_eq!(parse(mutator).unwrap()["a_(0, 64)_64"].width(64), 41);
        let units = r#"{"a_(0, 48)_48": {"init_args": {"candidate_choices": [8, 32]}, "choice": 32}}"#;
        assert_eq!(parse(units).unwrap()["a_(0, 48)_48"], Choice::Number(32));
    }

    #[test]
    fn other_files_are_refused() {
        for (text, wanted) in [
            ("[1]", "no object"),
            ("{", "no JSON"),
            (r#"{"a": 0}"#, "unit `a`"),
            (r#"{"a": 1.5}"#, "up to 1.0"),
            (r#"{"a": "x"}"#, "unit `a`"),
            (r#"{"channel_unit_cfg": {}}"#, "no `units`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
