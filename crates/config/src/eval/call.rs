//! Calls: evaluating arguments, and telling functions from methods.

use ruff_python_ast::{Expr, ExprCall};

use super::comparison::as_key;
use super::imports::Imported;
use super::object::{Entries, Node, Object, Slot};
use super::{Evaluator, builtins, methods};
use crate::{Error, Key, Span};

/// The arguments of a call.
pub(super) struct Arguments {
    /// Name of the function, for errors.
    pub(super) function: String,
    pub(super) positional: Vec<Node>,
    /// Keyword arguments, those from `**` included.
    pub(super) keywords: Entries,
    /// Where the call is.
    pub(super) span: Option<Span>,
}

impl Arguments {
    /// No arguments.
    pub(super) fn none(function: &str) -> Self {
        Self { function: function.to_owned(), positional: Vec::new(), keywords: Entries::new(), span: None }
    }

    /// Exactly `N` positional arguments and no others.
    pub(super) fn exactly<const N: usize>(self) -> Result<[Node; N], Error> {
        self.no_keywords()?;
        let given = self.positional.len();
        let function = self.function;
        <[Node; N]>::try_from(self.positional)
            .map_err(|_| Error::new(format!("`{function}` takes {N} arguments, {given} are given")))
    }

    /// One positional argument, perhaps a second, and no others.
    pub(super) fn one_or_two(self) -> Result<(Node, Option<Node>), Error> {
        self.no_keywords()?;
        let given = self.positional.len();
        let mut arguments = self.positional.into_iter();
        match (arguments.next(), arguments.next(), arguments.next()) {
            (Some(first), second, None) => Ok((first, second)),
            _ => Err(Error::new(format!("`{}` takes 1 or 2 arguments, {given} are given", self.function))),
        }
    }

    /// No or one positional argument and no others.
    pub(super) fn at_most_one(self) -> Result<Option<Node>, Error> {
        self.no_keywords()?;
        let given = self.positional.len();
        let mut arguments = self.positional.into_iter();
        match (arguments.next(), arguments.next()) {
            (first, None) => Ok(first),
            _ => Err(Error::new(format!("`{}` takes at most 1 argument, {given} are given", self.function))),
        }
    }

    /// Takes out a keyword argument.
    pub(super) fn take_keyword(&mut self, name: &str) -> Option<Node> {
        self.keywords.shift_remove(&Key::from(name)).map(|slot| slot.node)
    }

    pub(super) fn no_keywords(&self) -> Result<(), Error> {
        match self.keywords.first() {
            None => Ok(()),
            Some((key, slot)) => Err(Error::new(format!("`{}` takes no argument `{key}`", self.function))
                .with_span(slot.key_span.clone())),
        }
    }
}

impl Evaluator<'_> {
    pub(super) fn call(&mut self, call: &ExprCall) -> Result<Object, Error> {
        if let Expr::Attribute(attribute) = &*call.func {
            let receiver = self.eval(&attribute.value)?;
            let name = attribute.attr.as_str();
            if methods::exists(&receiver.object, name) {
                let arguments = self.arguments(call, name)?;
                return self.call_method(&receiver.object, name, arguments);
            }
            if let Object::Imported(Imported::Copy) = receiver.object {
                let arguments = self.arguments(call, name)?;
                return self.call_copy_member(name, arguments);
            }
            let value = self.attribute(&receiver.object, name)?;
            return Err(not_callable(&value.object));
        }
        let function = self.eval(&call.func)?;
        match function.object {
            Object::Builtin(builtin) => {
                let arguments = self.arguments(call, builtin.name())?;
                builtins::call(self, builtin, arguments)
            }
            Object::Imported(imported) => {
                let arguments = self.arguments(call, "copy")?;
                self.call_imported(imported, arguments)
            }
            other => Err(not_callable(&other)),
        }
    }

    fn arguments(&mut self, call: &ExprCall, function: &str) -> Result<Arguments, Error> {
        let mut positional = Vec::new();
        for argument in &*call.arguments.args {
            match argument {
                Expr::Starred(starred) => {
                    let items = self.eval(&starred.value)?;
                    positional.extend(self.iterate(&items.object)?);
                }
                _ => positional.push(self.eval(argument)?),
            }
        }
        let mut keywords = Entries::new();
        for keyword in &call.arguments.keywords {
            let node = self.eval(&keyword.value)?;
            let added: Vec<(Key, Slot)> = match &keyword.arg {
                Some(name) => {
                    let key_span = self.span_of(name);
                    vec![(Key::from(name.as_str()), Slot { key_span, node })]
                }
                None => {
                    let entries = self.entries_of(&node.object)?;
                    entries.into_iter().collect()
                }
            };
            for (key, slot) in added {
                let key_span = slot.key_span.clone();
                if keywords.contains_key(&key) {
                    return Err(
                        Error::new(format!("the argument `{key}` is given twice")).with_span(key_span)
                    );
                }
                if key.as_str().is_none() {
                    return Err(
                        Error::new("the keys after `**` must be strs here").with_span(self.span_of(keyword))
                    );
                }
                keywords.insert(key, slot);
            }
        }
        Ok(Arguments { function: function.to_owned(), positional, keywords, span: self.span_of(call) })
    }

    /// The entries that `dict(object)` has: those of a dict, or pairs.
    pub(super) fn entries_from(&self, object: &Object) -> Result<Entries, Error> {
        if matches!(object, Object::Dict(_)) {
            return self.entries_of(object);
        }
        let mut entries = Entries::new();
        for pair in self.iterate(object)? {
            let [key, node] = <[Node; 2]>::try_from(self.iterate(&pair.object)?)
                .map_err(|_| Error::new("a dict is made from pairs"))?;
            let key_span = key.span;
            entries.insert(as_key(&key.object)?, Slot { key_span, node });
        }
        Ok(entries)
    }

    /// The entries of a dict.
    pub(super) fn entries_of(&self, object: &Object) -> Result<Entries, Error> {
        match object {
            Object::Dict(dict) => {
                self.budget.charge(dict.len())?;
                Ok(dict.entries())
            }
            _ => Err(Error::new(format!("expected a dict, found {}", object.described()))),
        }
    }
}

fn not_callable(object: &Object) -> Error {
    Error::new(format!("{} is not callable", object.described()))
}
