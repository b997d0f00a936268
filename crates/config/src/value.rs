//! The value tree that a config evaluates to.

use serde::de::DeserializeOwned;

use crate::{Dict, Error, Key, Span, de};

/// A value of a config, with the place where it was written.
///
/// Equality ignores the place.
#[derive(Debug, Clone)]
pub struct Value {
    /// The value itself.
    pub kind: Kind,
    /// Where it was written; `None` for values that no `.py` file holds.
    pub span: Option<Span>,
}

/// The Python types a config value can have.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An `int`; configs have no integers beyond 64 bits.
    Int(i64),
    /// A `float`.
    Float(f64),
    /// A `str`.
    Str(String),
    /// A `list`.
    List(Vec<Value>),
    /// A `tuple`, which reads like a list but prints differently.
    Tuple(Vec<Value>),
    /// A `dict`.
    Dict(Dict),
}

impl Kind {
    /// The name of the type in Python: `NoneType`, `bool`, `int`, ...
    pub fn python_name(&self) -> &'static str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
        }
    }
}

/// Registry scopes of OpenMMLab's projects, as in `mmrazor.KLDivergence`.
const SCOPES: [&str; 10] =
    ["mmrazor", "mmcls", "mmpretrain", "mmdet", "mmseg", "mmpose", "mmengine", "mmcv", "torch", "occam"];

/// A `type` name without its registry scope.
pub(crate) fn strip_scope(name: &str) -> &str {
    match name.split_once('.') {
        Some((scope, rest)) if SCOPES.contains(&scope) => rest,
        _ => name,
    }
}

impl Value {
    /// A value that was not written anywhere.
    pub fn new(kind: Kind) -> Self {
        Self { kind, span: None }
    }

    /// The same value with a place.
    #[must_use]
    pub fn with_span(mut self, span: Option<Span>) -> Self {
        self.span = span;
        self
    }

    /// Whether this is `None`.
    pub fn is_none(&self) -> bool {
        matches!(self.kind, Kind::None)
    }

    /// The text of a `str`.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an `int`.
    pub fn as_i64(&self) -> Option<i64> {
        match self.kind {
            Kind::Int(number) => Some(number),
            _ => None,
        }
    }

    /// The number of a `float` or an `int`.
    pub fn as_f64(&self) -> Option<f64> {
        match self.kind {
            Kind::Int(number) => Some(number as f64),
            Kind::Float(number) => Some(number),
            _ => None,
        }
    }

    /// The truth of a `bool`.
    pub fn as_bool(&self) -> Option<bool> {
        match self.kind {
            Kind::Bool(truth) => Some(truth),
            _ => None,
        }
    }

    /// The items of a `list` or `tuple`.
    pub fn as_list(&self) -> Option<&[Value]> {
        match &self.kind {
            Kind::List(items) | Kind::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a `dict`.
    pub fn as_dict(&self) -> Option<&Dict> {
        match &self.kind {
            Kind::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The entries of a `dict`, to change.
    pub fn as_dict_mut(&mut self) -> Option<&mut Dict> {
        match &mut self.kind {
            Kind::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The component that a dict names by its `type` key, without the registry scope: `KLDivergence`
    /// of `dict(type='mmrazor.KLDivergence')`.
    pub fn type_name(&self) -> Option<&str> {
        self.as_dict()?.get("type")?.as_str().map(strip_scope)
    }

    /// The value at a dotted path: `model.backbone.depth`, `pipeline.0.type`.
    ///
    /// A number indexes a list or tuple, and a dict that has it as an integer key but not as a
    /// string. The empty path is the value itself.
    pub fn get(&self, path: &str) -> Option<&Value> {
        segments(path).try_fold(self, |value, segment| match &value.kind {
            Kind::Dict(dict) => dict.get(segment).or_else(|| dict.get_key(&integer_key(segment)?)),
            Kind::List(items) | Kind::Tuple(items) => items.get(index(segment)?),
            _ => None,
        })
    }

    /// Sets the value at a dotted path, making the dicts on the way that are missing.
    ///
    /// # Errors
    /// The path leads into a value that is neither dict nor list, past the end of a list, or is
    /// empty.
    pub fn set(&mut self, path: &str, value: Value) -> Result<(), Error> {
        let mut segments = segments(path).peekable();
        if segments.peek().is_none() {
            return Err(Error::new("the path is empty"));
        }
        let mut slot = self;
        let mut seen = String::new();
        for segment in segments {
            slot = slot.entry(segment, &seen)?;
            if !seen.is_empty() {
                seen.push('.');
            }
            seen.push_str(segment);
        }
        *slot = value;
        Ok(())
    }

    /// This config with `changes` merged into it, as one config file is merged into its base: dicts key by key,
    /// where `_delete_=True` replaces, and all else as it is.
    ///
    /// # Errors
    /// A dict meets something that is none.
    pub fn merged(self, changes: &Value) -> Result<Value, Error> {
        crate::merge::merge_value(&Key::from("config"), changes.clone(), self)
    }

    /// What copying the value costs, in the budget's units, and how many levels it has.
    pub(crate) fn measure(&self) -> (usize, usize) {
        let inside = |values: &mut dyn Iterator<Item = &Value>| {
            values.map(Self::measure).fold((1, 0), |(weight, height), (w, h)| (weight + w, height.max(h)))
        };
        let (weight, height) = match &self.kind {
            Kind::Str(text) => (1 + text.len() / 16, 0),
            Kind::List(items) | Kind::Tuple(items) => inside(&mut items.iter()),
            Kind::Dict(dict) => inside(&mut dict.values()),
            _ => (1, 0),
        };
        (weight, height + 1)
    }

    /// The slot called `segment`, made if a dict lacks it. `seen` is the path so far, for errors.
    fn entry(&mut self, segment: &str, seen: &str) -> Result<&mut Value, Error> {
        let span = self.span.clone();
        let name = self.kind.python_name();
        match &mut self.kind {
            Kind::Dict(dict) => {
                let key = integer_key(segment)
                    .filter(|key| !dict.contains(segment) && dict.get_key(key).is_some())
                    .unwrap_or_else(|| Key::from(segment));
                if dict.get_key(&key).is_none() {
                    dict.insert(key.clone(), Value::new(Kind::Dict(Dict::new())));
                }
                dict.get_key_mut(&key).ok_or_else(|| Error::new(format!("no key {segment:?}")))
            }
            Kind::List(items) | Kind::Tuple(items) => {
                let len = items.len();
                let Some(index) = index(segment) else {
                    let message = format!("{segment:?} is no index into the {name} `{seen}`");
                    return Err(Error::new(message).with_span(span));
                };
                items.get_mut(index).ok_or_else(|| {
                    let message = format!("index {index} is past the end of `{seen}`, which has {len} items");
                    Error::new(message).with_span(span)
                })
            }
            _ => {
                let message = format!("cannot set `{segment}` inside `{seen}`, which is of type {name}");
                Err(Error::new(message).with_span(span))
            }
        }
    }

    /// Reads a component's struct from this value.
    ///
    /// The keys `type` and `_scope_` of the value itself are skipped, for a struct's fields are the
    /// other ones; nested dicts keep theirs. An `int` will do where a float is wanted but not the
    /// reverse, lists and tuples both read as sequences, `None` as an absent option.
    ///
    /// # Errors
    /// What serde finds amiss, in Python's terms and at the place of the offending value or key.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        de::parse(self)
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('.').filter(|segment| !segment.is_empty())
}

fn index(segment: &str) -> Option<usize> {
    segment.bytes().all(|byte| byte.is_ascii_digit()).then(|| segment.parse().ok())?
}

fn integer_key(segment: &str) -> Option<Key> {
    segment.parse().ok().map(Key::Int)
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Default for Value {
    /// `None`.
    fn default() -> Self {
        Self::new(Kind::None)
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $kind:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                Self::new($kind)
            }
        }
    )*};
}

from! {
    bool => |value| Kind::Bool(value);
    i64 => |value| Kind::Int(value);
    f64 => |value| Kind::Float(value);
    &str => |value| Kind::Str(value.to_owned());
    String => |value| Kind::Str(value);
    Vec<Value> => |value| Kind::List(value);
    Dict => |value| Kind::Dict(value);
}
