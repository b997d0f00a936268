//! Text of objects, and f-strings.

use ruff_python_ast::{
    ConversionFlag, ExprFString, FStringPart, InterpolatedElement, InterpolatedStringElement,
};

use super::convert::to_value;
use super::object::{Node, Object};
use super::{Evaluator, unsupported};
use crate::Error;

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
        if element.format_spec.is_some()
            || element.debug_text.is_some()
            || !matches!(element.conversion, ConversionFlag::None)
        {
            return Err(
                unsupported("format specifications in f-strings are").with_span(self.span_of(element))
            );
        }
        let node = self.eval(&element.expression)?;
        self.str(&node)
    }
}
