//! Subnets that a search has tried, with what was found of them.

use serde_json::{Map, Value, json};

use crate::subnet::{Chosen, Subnet};
use crate::{Error, Result};

/// What is known of a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indicator {
    /// Its score, such as its accuracy in percent.
    Score,
    /// Its multiply-accumulates, in millions.
    Flops,
    /// Its parameters, in millions.
    Params,
    /// Its latency, in milliseconds.
    Latency,
}

impl Indicator {
    /// All, by their keys in files.
    pub const ALL: [(&'static str, Indicator); 4] = [
        ("score", Indicator::Score),
        ("flops", Indicator::Flops),
        ("params", Indicator::Params),
        ("latency", Indicator::Latency),
    ];
}

/// A subnet with what is known of it; -1 is not known.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// What is chosen.
    pub subnet: Subnet,
    known: [f64; 4],
}

impl Candidate {
    /// A subnet of which nothing is known.
    pub fn new(subnet: Subnet) -> Self {
        Self { subnet, known: [-1.0; 4] }
    }

    /// What is known; -1 is nothing.
    pub fn get(&self, indicator: Indicator) -> f64 {
        self.known.get(indicator as usize).copied().unwrap_or(-1.0)
    }

    /// Sets what is known. Scores are rounded to two places, as in MMRazor's searches.
    pub fn set(&mut self, indicator: Indicator, value: f64) {
        let value = match indicator {
            Indicator::Score => (value * 100.0).round_ties_even() / 100.0,
            _ => value,
        };
        if let Some(known) = self.known.get_mut(indicator as usize) {
            *known = value;
        }
    }
}

/// The state of a search (MMRazor's `Candidates`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Candidates {
    /// In order.
    pub all: Vec<Candidate>,
}

impl FromIterator<Subnet> for Candidates {
    fn from_iter<T: IntoIterator<Item = Subnet>>(subnets: T) -> Self {
        Self { all: subnets.into_iter().map(Candidate::new).collect() }
    }
}

impl Candidates {
    /// Sorts by an indicator, from the largest where `reverse`; equal ones stay in order, and what is no number comes last.
    pub fn sort_by(&mut self, indicator: Indicator, reverse: bool) {
        let key = |c: &Candidate| c.get(indicator);
        self.all.sort_by(|a, b| {
            let (a, b) = (key(a), key(b));
            a.is_nan().cmp(&b.is_nan()).then(if reverse { b.total_cmp(&a) } else { a.total_cmp(&b) })
        });
    }

    /// All subnets.
    pub fn subnets(&self) -> impl Iterator<Item = &Subnet> {
        self.all.iter().map(|c| &c.subnet)
    }

    /// As JSON: a list of `{"subnet": {..}, "score": ..}`. The original writes pickles, which are programs; these are data.
    pub fn to_json(&self) -> Value {
        let one = |c: &Candidate| {
            let mut entry = Map::new();
            let subnet = c.subnet.iter().map(|(name, chosen)| (name.clone(), to_json(chosen))).collect();
            entry.insert("subnet".into(), Value::Object(subnet));
            for (key, indicator) in Indicator::ALL {
                entry.insert(key.into(), json!(c.get(indicator)));
            }
            Value::Object(entry)
        };
        self.all.iter().map(one).collect()
    }

    /// What [`Candidates::to_json`] wrote.
    ///
    /// # Errors
    /// It is something else.
    pub fn from_json(value: &Value) -> Result<Self> {
        let wrong = |message: String| Error::Subnet(message);
        let list = value.as_array().ok_or_else(|| wrong("candidates are a list".into()))?;
        let one = |(i, entry): (usize, &Value)| {
            let subnet = entry.get("subnet").and_then(Value::as_object);
            let subnet = subnet.ok_or_else(|| wrong(format!("candidate {i} has no `subnet`")))?;
            let mut candidate = Candidate::new(Subnet::new());
            for (name, value) in subnet {
                let chosen = from_json(value)
                    .ok_or_else(|| wrong(format!("candidate {i}: `{name}` cannot be {value}")))?;
                candidate.subnet.insert(name.clone(), chosen);
            }
            for (key, indicator) in Indicator::ALL {
                if let (Some(v), Some(known)) = (entry.get(key), candidate.known.get_mut(indicator as usize))
                {
                    // What is no number is written as null.
                    let number = if v.is_null() { Some(f64::NAN) } else { v.as_f64() };
                    *known = number.ok_or_else(|| wrong(format!("candidate {i}: `{key}` cannot be {v}")))?;
                }
            }
            Ok(candidate)
        };
        Ok(Self { all: list.iter().enumerate().map(one).collect::<Result<_>>()? })
    }
}

fn to_json(chosen: &Chosen) -> Value {
    match chosen {
        Chosen::Name(name) => json!(name),
        Chosen::Names(names) => json!(names),
        Chosen::Int(n) => json!(n),
        Chosen::Float(x) => json!(x),
    }
}

fn from_json(value: &Value) -> Option<Chosen> {
    match value {
        Value::String(name) => Some(Chosen::Name(name.clone())),
        Value::Array(names) => {
            let names = names.iter().map(|v| v.as_str().map(str::to_owned));
            names.collect::<Option<Vec<String>>>().map(Chosen::Names)
        }
        Value::Number(n) => n.as_i64().map(Chosen::Int).or_else(|| n.as_f64().map(Chosen::Float)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(n: i64) -> Subnet {
        Subnet::from_iter([
            ("k".to_owned(), Chosen::Int(n)),
            ("r".to_owned(), Chosen::Float(0.1 * n as f64 + 0.01)),
            ("op".to_owned(), Chosen::Name("mb_k3e3".into())),
            ("in".to_owned(), Chosen::Names(vec!["p0".into(), "p1".into()])),
        ])
    }

    #[test]
    fn what_is_known_is_sorted_and_kept() {
        let mut all: Candidates = (0..4).map(subnet).collect();
        assert_eq!(all.all[2].get(Indicator::Flops), -1.0);
        for (c, score) in all.all.iter_mut().zip([70.125, 71.0, f64::NAN, 70.135]) {
            c.set(Indicator::Score, score);
            c.set(Indicator::Flops, 100.0 - score);
        }
        assert_eq!(all.all[0].get(Indicator::Score), 70.12);
        all.sort_by(Indicator::Score, true);
        let order: Vec<_> = all.subnets().map(|s| s["k"].clone()).collect();
        assert_eq!(order, [1, 3, 0, 2].map(Chosen::Int));
        all.sort_by(Indicator::Score, false);
        assert_eq!(all.all[0].subnet, subnet(0));
        assert!(all.all[3].get(Indicator::Score).is_nan());
        let again = Candidates::from_json(&all.to_json()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{all:?}"));
    }

    #[test]
    fn other_files_are_refused() {
        for (text, wanted) in [
            ("{}", "list"),
            ("[{}]", "candidate 0"),
            (r#"[{"subnet": {"a": {}}}]"#, "`a`"),
            (r#"[{"subnet": {}, "flops": "x"}]"#, "`flops`"),
        ] {
            let value = serde_json::from_str(text).unwrap();
            assert!(Candidates::from_json(&value).unwrap_err().to_string().contains(wanted), "{text}");
        }
    }
}
