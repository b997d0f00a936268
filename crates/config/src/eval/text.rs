//! Text of objects, and f-strings.

use ruff_python_ast::{
    ConversionFlag, ExprFString, FStringPart, InterpolatedElement, InterpolatedStringElement,
};

use super::call::Arguments;
use super::convert::to_value;
use super::object::{Node, Object};
use super::{Evaluator, format, unsupported};
use crate::{Error, Key};

impl Evaluator<'_> {
    /// Python's `str(node)`.
    pub(super) fn str(&self, node: &Node) -> Result<String, Error> {
        let text = match &node.object {
            Object::Str(text) => text.to_string(),
            _ => to_value(node, self.budget)?.repr(),
        };
        self.budget.charge_text(text.len())?;
        Ok(text)
    }

    pub(super) fn f_string(&mut self, string: &ExprFString) -> Result<Object, Error> {
        let mut text = String::new();
        for part in &string.value {
            match part {
                FStringPart::Literal(literal) => text.push_str(&literal.value),
                FStringPart::FString(part) => {
                    for element in &part.elements {
                        match element {
                            InterpolatedStringElement::Literal(literal) => text.push_str(&literal.value),
                            InterpolatedStringElement::Interpolation(element) => {
                                text.push_str(&self.interpolation(element)?);
                            }
                        }
                        self.budget.charge_text(text.len())?;
                    }
                }
            }
        }
        Ok(Object::str(text))
    }

    fn interpolation(&mut self, element: &InterpolatedElement) -> Result<String, Error> {
        if element.debug_text.is_some() {
            return Err(unsupported("`=` in f-strings is").with_span(self.span_of(element)));
        }
        let mut spec = String::new();
        for part in element.format_spec.iter().flat_map(|spec| spec.elements.iter()) {
            match part {
                InterpolatedStringElement::Literal(literal) => spec.push_str(&literal.value),
                InterpolatedStringElement::Interpolation(inner) => {
                    return Err(unsupported("a format specification that is computed is")
                        .with_span(self.span_of(inner)));
                }
            }
        }
        let node = self.eval(&element.expression)?;
        let conversion = match element.conversion {
            ConversionFlag::None => None,
            ConversionFlag::Str => Some('s'),
            ConversionFlag::Ascii => Some('a'),
            ConversionFlag::Repr => Some('r'),
        };
        self.formatted(&node, conversion, &spec).map_err(|error| error.with_span(self.span_of(element)))
    }

    /// `format(node, spec)`, of `str(node)` or `repr(node)` where a conversion asks for it.
    fn formatted(&self, node: &Node, conversion: Option<char>, spec: &str) -> Result<String, Error> {
        match conversion {
            None => format::format(&node.object, self.str(node)?, spec, self.budget),
            Some('s') => {
                let text = self.str(node)?;
                format::format(&Object::str(&text), text, spec, self.budget)
            }
            Some('r') => {
                let text = to_value(node, self.budget)?.repr();
                self.budget.charge_text(text.len())?;
                format::format(&Object::str(&text), text, spec, self.budget)
            }
            Some(_) => Err(unsupported("a conversion other than `!s` and `!r` is")),
        }
    }

    /// `text.format(arguments)`.
    pub(super) fn str_format(&self, text: &str, arguments: &Arguments) -> Result<String, Error> {
        let unmatched = || Error::new("a single brace in a format; write {{ or }} for the sign itself");
        let mut out = String::new();
        let (mut rest, mut automatic) = (text, 0);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            out.push_str(before);
            if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                out.push_str(brace.get(..1).unwrap_or_default());
                rest = after;
                continue;
            }
            let field = brace.strip_prefix('{').ok_or_else(unmatched)?;
            let (field, after) = field.split_once('}').ok_or_else(unmatched)?;
            rest = after;
            let (field, spec) = field.split_once(':').unwrap_or((field, ""));
            let (name, conversion) = match field.split_once('!') {
                Some((name, conversion)) => (name, conversion.chars().next()),
                None => (field, None),
            };
            let position = if name.is_empty() { Some(automatic) } else { name.parse::<usize>().ok() };
            automatic += usize::from(name.is_empty());
            let node = match position {
                Some(position) => arguments.positional.get(position),
                None => arguments.keywords.get(&Key::from(name)).map(|slot| &slot.node),
            };
            let node =
                node.ok_or_else(|| Error::new(format!("no argument for `{{{name}}}` of the format")))?;
            out.push_str(&self.formatted(node, conversion, spec)?);
            self.budget.charge_text(out.len())?;
        }
        out.push_str(rest);
        Ok(out)
    }
}
