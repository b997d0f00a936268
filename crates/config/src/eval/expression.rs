//! Expressions.

use ruff_python_ast::{BoolOp, Expr, ExprBoolOp, ExprCompare, ExprDict, Number};

use super::arithmetic::{overflow, unary};
use super::comparison::as_key;
use super::object::{Entries, Node, Object, Slot};
use super::{Evaluator, unsupported};
use crate::Error;

impl Evaluator<'_> {
    /// Evaluates an expression; an error gets the expression's place, unless a part of it has given
    /// its own.
    pub(super) fn eval(&mut self, expression: &Expr) -> Result<Node, Error> {
        self.budget
            .charge(1)
            .and_then(|()| self.eval_inner(expression))
            .map_err(|error| error.with_span(self.span_of(expression)))
    }

    fn eval_inner(&mut self, expression: &Expr) -> Result<Node, Error> {
        let object = match expression {
            // Values that are only looked up keep the place where they were written.
            Expr::Name(name) => {
                let node = self.lookup(&name.id)?;
                let span = node.span.or_else(|| self.span_of(expression));
                return Ok(Node::new(node.object, span));
            }
            Expr::Attribute(attribute) => {
                let container = self.eval(&attribute.value)?;
                return self.attribute(&container.object, &attribute.attr);
            }
            Expr::If(choice) => {
                let test = self.eval(&choice.test)?.object.truth();
                return self.eval(if test { &choice.body } else { &choice.orelse });
            }
            Expr::BoolOp(operation) => return self.bool_op(operation),

            Expr::NoneLiteral(_) => Object::None,
            Expr::BooleanLiteral(literal) => Object::Bool(literal.value),
            Expr::NumberLiteral(literal) => number(&literal.value)?,
            Expr::StringLiteral(literal) => {
                let text = literal.value.to_str();
                self.budget.charge_text(text.len())?;
                Object::str(text)
            }
            Expr::FString(string) => self.f_string(string)?,
            Expr::List(list) => Object::list(self.items(&list.elts)?),
            Expr::Tuple(tuple) => Object::tuple(self.items(&tuple.elts)?),
            Expr::Dict(dict) => Object::dict(self.dict_display(dict)?),
            Expr::ListComp(list) => Object::list(self.comprehension(&list.elt, &list.generators)?),
            Expr::Generator(items) => Object::iterable(self.comprehension(&items.elt, &items.generators)?),
            Expr::DictComp(dict) => match &dict.key {
                Some(key) => Object::dict(self.dict_comprehension(key, &dict.value, &dict.generators)?),
                None => return Err(unsupported("`**` in a comprehension is")),
            },
            Expr::Subscript(subscript) => {
                let container = self.eval(&subscript.value)?;
                self.subscript(&container, &subscript.slice)?
            }
            Expr::BinOp(operation) => {
                let left = self.eval(&operation.left)?;
                let right = self.eval(&operation.right)?;
                self.binary(operation.op, &left.object, &right.object)?
            }
            Expr::UnaryOp(operation) => {
                if let Some(least) = least_int(operation) {
                    least
                } else {
                    unary(operation.op, &self.eval(&operation.operand)?.object)?
                }
            }
            Expr::Compare(comparison) => Object::Bool(self.comparison(comparison)?),
            Expr::Call(call) => self.call(call)?,

            Expr::Set(_) | Expr::SetComp(_) => return Err(unsupported("sets are").with_help("use a list")),
            Expr::Named(_) => return Err(unsupported("`:=` is")),
            Expr::Lambda(_) => return Err(unsupported("functions are")),
            Expr::Await(_) | Expr::Yield(_) | Expr::YieldFrom(_) => {
                return Err(unsupported("`await` and `yield` are"));
            }
            Expr::TString(_) => return Err(unsupported("template strings are")),
            Expr::BytesLiteral(_) => return Err(unsupported("bytes are")),
            Expr::EllipsisLiteral(_) => return Err(unsupported("`...` is")),
            Expr::Starred(_) => return Err(unsupported("`*` is not allowed here and thus")),
            Expr::Slice(_) => return Err(unsupported("a slice of several dimensions is")),
            Expr::IpyEscapeCommand(_) => return Err(unsupported("IPython commands are")),
        };
        Ok(Node::new(object, self.span_of(expression)))
    }

    /// The items of a list or tuple display.
    fn items(&mut self, elements: &[Expr]) -> Result<Vec<Node>, Error> {
        let mut items = Vec::with_capacity(elements.len());
        for element in elements {
            match element {
                Expr::Starred(starred) => {
                    let inner = self.eval(&starred.value)?;
                    let inner = self.iterate(&inner.object);
                    items.extend(inner.map_err(|error| error.with_span(self.span_of(element)))?);
                }
                _ => items.push(self.eval(element)?),
            }
        }
        Ok(items)
    }

    fn dict_display(&mut self, dict: &ExprDict) -> Result<Entries, Error> {
        let mut entries = Entries::new();
        for item in &dict.items {
            match &item.key {
                Some(key) => {
                    let key_span = self.span_of(key);
                    let key_object = self.eval(key)?.object;
                    let key = as_key(&key_object).map_err(|error| error.with_span(key_span.clone()))?;
                    let node = self.eval(&item.value)?;
                    entries.insert(key, Slot { key_span, node });
                }
                None => {
                    let inner = self.eval(&item.value)?;
                    let inner = self.entries_of(&inner.object);
                    entries.extend(inner.map_err(|error| error.with_span(self.span_of(&item.value)))?);
                }
            }
        }
        Ok(entries)
    }

    /// `and` and `or` give back the operand that decides.
    fn bool_op(&mut self, operation: &ExprBoolOp) -> Result<Node, Error> {
        let decides = matches!(operation.op, BoolOp::Or);
        let mut last = Node::new(Object::Bool(!decides), None);
        for operand in &operation.values {
            last = self.eval(operand)?;
            if last.object.truth() == decides {
                break;
            }
        }
        Ok(last)
    }

    fn comparison(&mut self, comparison: &ExprCompare) -> Result<bool, Error> {
        let mut left = self.eval(&comparison.left)?;
        for (op, right) in comparison.ops.iter().zip(&comparison.comparators) {
            let right = self.eval(right)?;
            if !self.compare(*op, &left.object, &right.object)? {
                return Ok(false);
            }
            left = right;
        }
        Ok(true)
    }
}

fn number(number: &Number) -> Result<Object, Error> {
    match number {
        Number::Int(int) => int.as_i64().map(Object::Int).ok_or_else(overflow),
        Number::Float(float) => Ok(Object::Float(*float)),
        Number::Complex { .. } => Err(unsupported("complex numbers are")),
    }
}

/// `-9223372036854775808`, whose operand alone does not fit.
fn least_int(operation: &ruff_python_ast::ExprUnaryOp) -> Option<Object> {
    let Expr::NumberLiteral(literal) = &*operation.operand else {
        return None;
    };
    let Number::Int(int) = &literal.value else {
        return None;
    };
    let least = matches!(operation.op, ruff_python_ast::UnaryOp::USub)
        && int.as_i64().is_none()
        && int.to_string() == i64::MIN.unsigned_abs().to_string();
    least.then_some(Object::Int(i64::MIN))
}
