//! YAML config files.
//!
//! The events of the parser become a tree whose values know their places. An alias becomes a copy of what it stands
//! for, charged to the budget, so that a text of a few lines cannot ask for billions of values.

mod scalar;

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Mark, Tag};

use crate::eval::Budget;
use crate::{Dict, Error, Key, Kind, SourceFile, Span, Value};

/// The key that merges other mappings into its own.
const MERGE: &str = "<<";

/// The value of the one document that `file` holds.
///
/// Plain scalars mean what they mean to PyYAML, with which mmengine reads: `yes`, `no`, `on` and `off` are bools, `017`
/// is octal. Three things differ. A number with an exponent is a float without a dot as well (`1e-3`, which PyYAML
/// takes for text). Dates and numbers of base 60 (`12:30`) are refused, for who writes them means text. No tag
/// makes an object of a Python class; `!!python/tuple` makes a tuple.
///
/// # Errors
/// The text is no YAML, has several documents, a key that is neither a str nor an int, or exceeds the budget.
pub(crate) fn parse(file: &Arc<SourceFile>, budget: &Budget) -> Result<Value, Error> {
    let mut builder = Builder { file, budget, frames: Vec::new(), anchors: HashMap::new(), root: None };
    let mut parser = Parser::new_from_str(file.text());
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, mark) = event.map_err(|error| {
            Error::new(format!("syntax error: {}", error.info()))
                .with_span(Some(builder.point(error.marker())))
        })?;
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                return Err(Error::new("a config is one YAML document, and here a second one begins")
                    .with_span(Some(builder.point(&mark.start))));
            }
        }
        let span = builder.span(&mark);
        builder.event(event, &span).map_err(|error| error.with_span(Some(span)))?;
    }
    Ok(builder.root.unwrap_or_default())
}

/// A value that an anchor names.
struct Anchored {
    value: Value,
    /// What copying it costs.
    weight: usize,
    /// How many levels it has.
    height: usize,
}

/// A sequence or mapping that is being read.
struct Frame {
    anchor: usize,
    span: Span,
    content: Content,
}

enum Content {
    Items { items: Vec<Value>, tuple: bool },
    Entries { merged: Vec<Entry>, own: Vec<Entry>, key: Option<Pending> },
}

type Entry = (Key, Option<Span>, Value);

/// A key whose value comes next.
enum Pending {
    Key(Key, Span),
    Merge,
}

struct Builder<'a> {
    file: &'a Arc<SourceFile>,
    budget: &'a Budget,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Value>,
}

impl Builder<'_> {
    fn point(&self, marker: &Marker) -> Span {
        Span::new(self.file, self.file.offset_of_char(marker.index()), 0)
    }

    fn span(&self, mark: &Mark) -> Span {
        let start = self.file.offset_of_char(mark.start.index());
        let end = self.file.offset_of_char(mark.end.index());
        Span::new(self.file, start, end.saturating_sub(start))
    }

    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Error> {
        self.budget.charge(1)?;
        match event {
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(anchor) => {
                let depth = self.frames.len();
                let Some(anchored) = self.anchors.get(&anchor) else {
                    return Err(Error::new("an alias stands inside the value that it stands for"));
                };
                self.budget.charge(anchored.weight)?;
                self.budget.check_depth(depth + anchored.height)?;
                self.complete(anchored.value.clone(), 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.budget.charge_text(text.len())?;
                let plain = style == ScalarStyle::Plain;
                if plain && tag.is_none() && text == MERGE && self.expects_key() {
                    if let Some(Frame { content: Content::Entries { key, .. }, .. }) = self.frames.last_mut()
                    {
                        *key = Some(Pending::Merge);
                    }
                    return Ok(());
                }
                let kind = match tag.as_deref() {
                    Some(tag) => scalar::tagged(&text, &tag_name(tag))?,
                    None if plain => scalar::resolve(&text)?,
                    None => Kind::Str(text.into_owned()),
                };
                self.complete(Value::new(kind).with_span(Some(span.clone())), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let tuple = match tag.as_deref().map(tag_name).as_deref() {
                    None | Some("!!seq") => false,
                    Some("!!python/tuple") => true,
                    Some(tag) => return Err(scalar::unknown_tag(tag)),
                };
                self.open(anchor, span, Content::Items { items: Vec::new(), tuple })
            }
            Event::MappingStart(anchor, tag) => match tag.as_deref().map(tag_name).as_deref() {
                None | Some("!!map") => self.open(
                    anchor,
                    span,
                    Content::Entries { merged: Vec::new(), own: Vec::new(), key: None },
                ),
                Some(tag) => Err(scalar::unknown_tag(tag)),
            },
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    /// Whether what comes next is the key of a mapping.
    fn expects_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { content: Content::Entries { key: None, .. }, .. }))
    }

    fn open(&mut self, anchor: usize, span: &Span, content: Content) -> Result<(), Error> {
        self.frames.push(Frame { anchor, span: span.clone(), content });
        self.budget.check_depth(self.frames.len())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(Frame { anchor, span, content }) = self.frames.pop() else {
            return Ok(());
        };
        let kind = match content {
            Content::Items { items, tuple: false } => Kind::List(items),
            Content::Items { items, tuple: true } => Kind::Tuple(items),
            Content::Entries { merged, own, .. } => {
                let mut dict = Dict::new();
                for (key, key_span, value) in merged.into_iter().chain(own) {
                    dict.insert_spanned(key, key_span, value);
                }
                Kind::Dict(dict)
            }
        };
        self.complete(Value::new(kind).with_span(Some(span)), anchor)
    }

    /// Puts a whole value where it belongs: into the sequence or mapping around it, as key or as value.
    fn complete(&mut self, value: Value, anchor: usize) -> Result<(), Error> {
        if anchor != 0 {
            let (weight, height) = value.measure();
            self.budget.charge(weight)?;
            self.anchors.insert(anchor, Anchored { value: value.clone(), weight, height });
        }
        match self.frames.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(value),
            Some(Content::Items { items, .. }) => items.push(value),
            Some(Content::Entries { merged, own, key }) => match key.take() {
                None => *key = Some(as_key(value)?),
                Some(Pending::Merge) => merged.extend(self::merged(value)?),
                Some(Pending::Key(key, key_span)) => own.push((key, Some(key_span), value)),
            },
        }
        Ok(())
    }
}

fn as_key(value: Value) -> Result<Pending, Error> {
    let Value { kind, span: Some(span) } = value else {
        return Err(Error::new("a key has no place"));
    };
    let key = match kind {
        Kind::Str(text) => Key::Str(text),
        Kind::Int(number) => Key::Int(number),
        other => {
            let found = other.python_name();
            return Err(Error::new(format!("a key must be a str or int, found {found}"))
                .with_span(Some(span))
                .with_help("put it in quotes to make it a str"));
        }
    };
    Ok(Pending::Key(key, span))
}

/// The entries that `<<: value` brings: those of a mapping, or of several, of which the first has the last word.
fn merged(value: Value) -> Result<Vec<Entry>, Error> {
    let span = value.span.clone();
    match value.kind {
        Kind::Dict(dict) => Ok(dict.into_spanned().collect()),
        Kind::List(items) if items.iter().all(|item| item.as_dict().is_some()) => {
            let mut entries = Vec::new();
            for item in items.into_iter().rev() {
                entries.extend(merged(item)?);
            }
            Ok(entries)
        }
        other => {
            let found = other.python_name();
            Err(Error::new(format!("`<<` merges a mapping or a list of them, not a value of type {found}"))
                .with_span(span))
        }
    }
}

/// A tag as it is written: `!!str`, `!mine`.
fn tag_name(tag: &Tag) -> String {
    match tag.is_yaml_core_schema() {
        true => format!("!!{}", tag.suffix),
        false => format!("{}{}", tag.handle, tag.suffix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Loader};

    fn load(text: &str) -> Result<Value, Error> {
        Loader::new().load_str("a.yaml", text)
    }

    #[test]
    fn reads_what_people_write() {
        let config = load(
            "# a comment\nmodel: &m\n  type: ResNet\n  out_indices: !!python/tuple [3]\n  0: zero\n\
             copy: *m\nmore:\n  <<: *m\n  type: VGG\nboth: {<<: [{a: 1, b: 2}, {b: 3, c: 4}], d: 5}\n\
             lines: |\n  two\n  lines\nlist:\n- 1\n- - 2\n  - \"x: y\"\nnone:\nempty: {}\n",
        )
        .unwrap();
        let expected = "{'model': {'type': 'ResNet', 'out_indices': (3,), 0: 'zero'}, \
             'copy': {'type': 'ResNet', 'out_indices': (3,), 0: 'zero'}, \
             'more': {'type': 'VGG', 'out_indices': (3,), 0: 'zero'}, \
             'both': {'b': 2, 'c': 4, 'a': 1, 'd': 5}, \
             'lines': 'two\\nlines\\n', 'list': [1, [2, 'x: y']], 'none': None, 'empty': {}}";
        assert_eq!(config.repr(), expected);
    }

    #[test]
    fn values_know_their_places() {
        let config = load("ä: 'ü'\r\nlist: [ö, {k: 12}]\n").unwrap();
        for (path, place, text) in
            [("ä", "a.yaml:1:4", "'ü'"), ("list.0", "a.yaml:2:8", "ö"), ("list.1.k", "a.yaml:2:15", "12")]
        {
            let span = config.get(path).unwrap().span.clone().unwrap();
            assert_eq!((span.to_string().as_str(), span.text()), (place, text), "{path}");
        }
        let dict = config.as_dict().unwrap();
        assert_eq!(dict.key_span("list").unwrap().to_string(), "a.yaml:2:1");
    }

    #[test]
    fn explains_what_it_cannot_read() {
        let texts = [
            "a: [1, 2",
            "a: 1\n  b: 2",
            "a: *nowhere",
            "a: &x [*x]",
            "a: !!python/object/apply:os.system ['true']",
            "a: !mine 3",
            "a: !!int x",
            "a: 2024-01-31",
            "a: 12:30",
            "a: 99999999999999999999",
            "yes: 1",
            "[1]: 2",
            "a: 1\n---\nb: 2",
            "- 1",
            "",
            "<<: 3",
            "a: {{ _base_.x }}",
            "text: 1",
        ];
        let errors: Vec<_> =
            texts.iter().map(|text| format!("{text}\n{:?}", load(text).expect_err(text))).collect();
        insta::assert_snapshot!(errors.join("\n\n"));
    }

    #[test]
    fn aliases_are_bounded() {
        let mut laughs = "a0: &a0 [lol, lol]\n".to_owned();
        for n in 1..60 {
            laughs += &format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1);
        }
        let mut deep = "a0: &a0 []\n".to_owned();
        for n in 1..5000 {
            deep += &format!("a{n}: &a{n} [*a{}]\n", n - 1);
        }
        let mut merges = "a0: &a0 {k: 1}\n".to_owned();
        for n in 1..60 {
            merges += &format!("a{n}: &a{n} {{<<: *a{0}, k{n}: [*a{0}, *a{0}]}}\n", n - 1);
        }
        let long = format!("a: &a '{}'\nb: [{}]", "x".repeat(1 << 19), "*a, ".repeat(1 << 16));
        let nested = format!("a: {}", "[".repeat(100_000));
        let blocks: String = (0..1000).map(|n| format!("{}k:\n", " ".repeat(n))).collect();
        for text in [laughs, deep, merges, long, nested, blocks] {
            let error = load(&text).expect_err(text.get(..20).unwrap());
            assert!(error.span().is_some(), "{error}");
        }
        let few = Limits { steps: 10, ..Limits::default() };
        Loader::new().with_limits(few).load_str("a.yaml", &"- 1\n".repeat(20)).expect_err("too many");
    }
}
