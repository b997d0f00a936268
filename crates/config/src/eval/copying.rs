//! Python's `copy`, the one module that configs import.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::Stmt;

use super::call::Arguments;
use super::object::{Entries, Node, Object, Slot};
use super::{Evaluator, methods, unsupported};
use crate::Error;

/// The module and its functions.
#[derive(Clone, Copy)]
pub(crate) enum Copying {
    Module,
    Shallow,
    Deep,
}

impl Copying {
    fn member(name: &str) -> Option<Self> {
        match name {
            "copy" => Some(Self::Shallow),
            "deepcopy" => Some(Self::Deep),
            _ => None,
        }
    }
}

impl Evaluator<'_> {
    /// `import copy` or `from copy import ...`.
    pub(super) fn import(&mut self, statement: &Stmt) -> Result<(), Error> {
        let refused = || unsupported("imports are").with_help("only the module `copy` can be imported");
        let (aliases, members) = match statement {
            Stmt::Import(import) => (&import.names, false),
            Stmt::ImportFrom(import) if import.module.as_deref() == Some("copy") && import.level == 0 => {
                (&import.names, true)
            }
            _ => return Err(refused()),
        };
        for alias in aliases {
            let imported = match (members, alias.name.as_str()) {
                (false, "copy") => Some(Copying::Module),
                (false, _) => None,
                (true, name) => Copying::member(name),
            };
            let imported = imported.ok_or_else(refused)?;
            let name = alias.asname.as_ref().unwrap_or(&alias.name).to_string();
            let span = self.span_of(alias);
            let node = Node::new(Object::Copying(imported), span.clone());
            self.globals.insert(name, Slot { key_span: span, node });
        }
        Ok(())
    }

    /// `copy.name(arguments)`.
    pub(super) fn call_copy_member(&self, name: &str, arguments: Arguments) -> Result<Object, Error> {
        match Copying::member(name) {
            Some(member) => self.call_copying(member, arguments),
            None => Err(unsupported(&format!("`copy.{name}` is"))),
        }
    }

    /// Calls one of the functions.
    pub(super) fn call_copying(&self, function: Copying, arguments: Arguments) -> Result<Object, Error> {
        match function {
            Copying::Module => {
                Err(Error::new("a module is not callable").with_help("write copy.deepcopy(...)"))
            }
            Copying::Shallow => {
                let [node] = arguments.exactly()?;
                match &node.object {
                    Object::Dict(_) | Object::List(_) => {
                        self.call_method(&node.object, methods::COPY, Arguments::none(methods::COPY))
                    }
                    _ => Ok(node.object),
                }
            }
            Copying::Deep => {
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
