//! Statements.

use ruff_python_ast::{Expr, Stmt, StmtAssert, StmtAugAssign};

use super::object::{Node, Object, Slot};
use super::{BASE, Evaluator, convert, unsupported};
use crate::{Error, Key};

/// The value of the first `_base_ = ...`; mmengine takes that one and forgets all others.
pub(crate) fn base_expression(statements: &[Stmt]) -> Option<&Expr> {
    statements.iter().find_map(|statement| match statement {
        Stmt::Assign(assign) if is_base_assignment(statement) => Some(&*assign.value),
        _ => None,
    })
}

/// Whether a statement is `_base_ = ...`.
fn is_base_assignment(statement: &Stmt) -> bool {
    match statement {
        Stmt::Assign(assign) => matches!(assign.targets.first(), Some(Expr::Name(name)) if name.id == BASE),
        _ => false,
    }
}

impl Evaluator<'_> {
    pub(super) fn run(&mut self, statements: &[Stmt]) -> Result<(), Error> {
        for statement in statements {
            self.budget
                .charge(1)
                .and_then(|()| self.statement(statement))
                .map_err(|error| error.with_span(self.span_of(statement)))?;
        }
        Ok(())
    }

    fn statement(&mut self, statement: &Stmt) -> Result<(), Error> {
        let what = match statement {
            Stmt::Assign(assign) => {
                if is_base_assignment(statement) {
                    return Ok(());
                }
                let node = self.eval(&assign.value)?;
                for target in &assign.targets {
                    self.assign(target, node.clone())?;
                }
                return Ok(());
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    let node = self.eval(value)?;
                    self.assign(&assign.target, node)?;
                }
                return Ok(());
            }
            Stmt::AugAssign(assign) => return self.augmented(assign),
            Stmt::If(choice) => {
                if self.eval(&choice.test)?.object.truth() {
                    return self.run(&choice.body);
                }
                for clause in &choice.elif_else_clauses {
                    let holds = match &clause.test {
                        Some(test) => self.eval(test)?.object.truth(),
                        None => true,
                    };
                    if holds {
                        return self.run(&clause.body);
                    }
                }
                return Ok(());
            }
            Stmt::Assert(assertion) => return self.assertion(assertion),
            Stmt::Delete(delete) => {
                for target in &delete.targets {
                    self.delete(target).map_err(|error| error.with_span(self.span_of(target)))?;
                }
                return Ok(());
            }
            // A docstring, or a call for its effect.
            Stmt::Expr(expression) => return self.eval(&expression.value).map(drop),
            Stmt::Pass(_) => return Ok(()),
            Stmt::Import(_) | Stmt::ImportFrom(_) => return self.import(statement),

            Stmt::For(_) => {
                return Err(unsupported("`for` loops are").with_help("use a comprehension: [... for ...]"));
            }
            Stmt::While(_) => "`while` loops are",
            Stmt::FunctionDef(_) => "functions are",
            Stmt::ClassDef(_) => "classes are",
            Stmt::With(_) => "`with` is",
            Stmt::Match(_) => "`match` is",
            Stmt::Try(_) | Stmt::Raise(_) => "exceptions are",
            Stmt::TypeAlias(_) => "type aliases are",
            Stmt::Global(_) | Stmt::Nonlocal(_) => "`global` and `nonlocal` are",
            Stmt::Return(_) | Stmt::Break(_) | Stmt::Continue(_) => "`return`, `break` and `continue` are",
            Stmt::IpyEscapeCommand(_) => "IPython commands are",
        };
        Err(unsupported(what))
    }

    /// `target = node`.
    fn assign(&mut self, target: &Expr, node: Node) -> Result<(), Error> {
        self.assign_inner(target, node).map_err(|error| error.with_span(self.span_of(target)))
    }

    fn assign_inner(&mut self, target: &Expr, node: Node) -> Result<(), Error> {
        match target {
            Expr::Name(name) => {
                let key_span = self.span_of(target);
                let preset = self.presets.and_then(|presets| presets.get(name.id.as_str()));
                let node = preset.map_or(node, |value| convert::from_value(value.clone()));
                self.globals.insert(name.id.to_string(), Slot { key_span, node });
                Ok(())
            }
            Expr::Attribute(attribute) => {
                let container = self.eval(&attribute.value)?;
                let name = attribute.attr.as_str();
                let dict = self.attribute_owner(&container.object, name)?;
                self.set_item(dict, Key::from(name), self.span_of(&attribute.attr), node)
            }
            Expr::Subscript(subscript) => {
                let container = self.eval(&subscript.value)?;
                self.set_subscript(&container, &subscript.slice, node)
            }
            Expr::Tuple(tuple) => self.assign_each(&tuple.elts, &node),
            Expr::List(list) => self.assign_each(&list.elts, &node),
            _ => Err(unsupported("assigning to this is")),
        }
    }

    fn assign_each(&mut self, targets: &[Expr], node: &Node) -> Result<(), Error> {
        let items = self.unpack(&node.object, targets.len())?;
        for (target, item) in targets.iter().zip(items) {
            self.assign(target, item)?;
        }
        Ok(())
    }

    /// `target op= value`; lists are extended or repeated in place, as all their names shall see.
    fn augmented(&mut self, assign: &StmtAugAssign) -> Result<(), Error> {
        let old = self.eval(&assign.target)?;
        let value = self.eval(&assign.value)?;
        let new = match (&old.object, assign.op) {
            (Object::List(list), ruff_python_ast::Operator::Add) => {
                list.extend(self.iterate(&value.object)?);
                old.object
            }
            (Object::List(list), ruff_python_ast::Operator::Mult) => {
                if let Object::List(repeated) = self.binary(assign.op, &old.object, &value.object)? {
                    list.replace(repeated.items());
                }
                old.object
            }
            _ => self.binary(assign.op, &old.object, &value.object)?,
        };
        let span = self.span_of(assign);
        self.assign(&assign.target, Node::new(new, span))
    }

    fn assertion(&mut self, assertion: &StmtAssert) -> Result<(), Error> {
        if self.eval(&assertion.test)?.object.truth() {
            return Ok(());
        }
        let span = self.span_of(&*assertion.test);
        let message = match &assertion.msg {
            Some(message) => {
                let message = self.eval(message)?;
                format!("assertion failed: {}", self.str(&message)?)
            }
            None => "assertion failed".to_owned(),
        };
        Err(Error::new(message).with_span(span))
    }

    fn delete(&mut self, target: &Expr) -> Result<(), Error> {
        match target {
            Expr::Name(name) => match self.globals.shift_remove(name.id.as_str()) {
                Some(_) => Ok(()),
                None => Err(Error::new(format!("name `{}` is not defined", name.id))),
            },
            Expr::Attribute(attribute) => {
                let container = self.eval(&attribute.value)?;
                let name = attribute.attr.as_str();
                let dict = self.attribute_owner(&container.object, name)?;
                let removed = dict.remove(&Key::from(name));
                removed.map(drop).ok_or_else(|| Error::new(format!("there is no `{name}`")))
            }
            Expr::Subscript(subscript) => {
                let container = self.eval(&subscript.value)?;
                self.delete_subscript(&container, &subscript.slice)
            }
            _ => Err(unsupported("deleting this is")),
        }
    }
}
