//! Imports: Python's `copy`, and names of code that no config value may depend on.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::Stmt;

use super::call::Arguments;
use super::object::{Entries, Node, Object, Slot};
use super::{Evaluator, methods, unsupported};
use crate::Error;

/// What an import makes known.
#[derive(Clone, Copy)]
pub(crate) enum Imported {
    /// The module `copy`.
    Copy,
    /// `copy.copy`.
    ShallowCopy,
    /// `copy.deepcopy`.
    DeepCopy,
    /// Anything else. It is neither looked for nor run, and using it is an error.
    Code,
}

impl Imported {
    /// A function of the module `copy`.
    fn member(name: &str) -> Option<Self> {
        match name {
            "copy" => Some(Self::ShallowCopy),
            "deepcopy" => Some(Self::DeepCopy),
            _ => None,
        }
    }
}

impl Evaluator<'_> {
    /// `import copy` or `from copy import ...`; names of other modules are known too, but cannot be used.
    pub(super) fn import(&mut self, statement: &Stmt) -> Result<(), Error> {
        let refused = || {
            unsupported("relative imports and `import *` are")
                .with_help("name base files by `_base_ = [...]`")
        };
        let (aliases, module) = match statement {
            Stmt::Import(import) => (&import.names, None),
            Stmt::ImportFrom(import) if import.level == 0 => (&import.names, import.module.as_deref()),
            _ => return Err(refused()),
        };
        for alias in aliases {
            let imported = match (module, alias.name.as_str()) {
                (_, "*") => return Err(refused()),
                (None, "copy") => Imported::Copy,
                (Some("copy"), name) => Imported::member(name).unwrap_or(Imported::Code),
                _ => Imported::Code,
            };
            // `import a.b` makes `a` known.
            let name = alias.asname.as_ref().unwrap_or(&alias.name).split('.').next().unwrap_or_default();
            let span = self.span_of(alias);
            let node = Node::new(Object::Imported(imported), span.clone());
            self.globals.insert(name.to_owned(), Slot { key_span: span, node });
        }
        Ok(())
    }

    /// `copy.name(arguments)`.
    pub(super) fn call_copy_member(&self, name: &str, arguments: Arguments) -> Result<Object, Error> {
        match Imported::member(name) {
            Some(member) => self.call_imported(member, arguments),
            None => Err(unsupported(&format!("`copy.{name}` is"))),
        }
    }

    /// Calls one of the functions.
    pub(super) fn call_imported(&self, function: Imported, arguments: Arguments) -> Result<Object, Error> {
        match function {
            Imported::Code => Err(unsupported("calling imported code is")),
            Imported::Copy => {
                Err(Error::new("a module is not callable").with_help("write copy.deepcopy(...)"))
            }
            Imported::ShallowCopy => {
                let [node] = arguments.exactly()?;
                match &node.object {
                    Object::Dict(_) | Object::List(_) => {
                        self.call_method(&node.object, methods::COPY, Arguments::none(methods::COPY))
                    }
                    _ => Ok(node.object),
                }
            }
            Imported::DeepCopy => {
                let [node] = arguments.exactly()?;
                self.deep_copy(&node, &mut HashMap::new(), 0).map(|copied| copied.object)
            }
        }
    }

    /// A copy that shares nothing with `node`; what `node` holds twice, the copy holds twice. `done`
    /// maps the addresses of lists and dicts to their copies.
    fn deep_copy(
        &self,
        node: &Node,
        done: &mut HashMap<*const (), Object>,
        depth: usize,
    ) -> Result<Node, Error> {
        self.budget.check_depth(depth)?;
        let object = match &node.object {
            Object::List(list) => {
                let address = Rc::as_ptr(list).cast();
                if let Some(copied) = done.get(&address) {
                    return Ok(Node::new(copied.clone(), node.span.clone()));
                }
                let mut items = Vec::new();
                for item in list.items() {
                    items.push(self.deep_copy(&item, done, depth + 1)?);
                }
                let copied = Object::list(items);
                done.insert(address, copied.clone());
                copied
            }
            Object::Dict(dict) => {
                let address = Rc::as_ptr(dict).cast();
                if let Some(copied) = done.get(&address) {
                    return Ok(Node::new(copied.clone(), node.span.clone()));
                }
                let mut entries = Entries::new();
                for (key, slot) in dict.entries() {
                    let copied = self.deep_copy(&slot.node, done, depth + 1)?;
                    entries.insert(key, Slot { node: copied, ..slot });
                }
                let copied = if dict.config { Object::config_dict(entries) } else { Object::dict(entries) };
                done.insert(address, copied.clone());
                copied
            }
            Object::Tuple(tuple) => {
                let mut items = Vec::new();
                for item in &tuple.0 {
                    items.push(self.deep_copy(item, done, depth + 1)?);
                }
                Object::tuple(items)
            }
            _ => return Ok(node.clone()),
        };
        Ok(Node::new(object, node.span.clone()))
    }
}
