//! What mmengine's `ConfigDict` does otherwise than a `dict`.

use super::Evaluator;
use super::object::{DictObject, Entries, Node, Object, Slot};
use crate::{Error, Key, Span};

impl Evaluator<'_> {
    /// What a `ConfigDict` stores when `node` is put into it: a plain dict becomes a `ConfigDict`, a
    /// list or tuple is built anew. A `ConfigDict` stays the same object.
    pub(super) fn hook(&self, node: Node) -> Result<Node, Error> {
        self.hook_at(node, 0)
    }

    fn hook_at(&self, node: Node, depth: usize) -> Result<Node, Error> {
        self.budget.check_depth(depth)?;
        let hook_all = |items: Vec<Node>| -> Result<Vec<Node>, Error> {
            items.into_iter().map(|item| self.hook_at(item, depth + 1)).collect()
        };
        let object = match &node.object {
            Object::Dict(dict) if !dict.config => {
                let mut entries = Entries::new();
                for (key, slot) in dict.entries() {
                    let node = self.hook_at(slot.node, depth + 1)?;
                    entries.insert(key, Slot { node, ..slot });
                }
                Object::config_dict(entries)
            }
            Object::List(list) => Object::list(hook_all(list.items())?),
            Object::Tuple(tuple) => Object::tuple(hook_all(tuple.0.clone())?),
            _ => return Ok(node),
        };
        Ok(Node::new(object, node.span))
    }

    /// `dict[key] = node`.
    pub(super) fn set_item(
        &self,
        dict: &DictObject,
        key: Key,
        key_span: Option<Span>,
        node: Node,
    ) -> Result<(), Error> {
        self.budget.charge(1)?;
        let node = if dict.config { self.hook(node)? } else { node };
        dict.insert(key, Slot { key_span, node });
        Ok(())
    }

    /// `dict.update(changes)`: for a `ConfigDict`, dicts are merged at every level.
    pub(super) fn update(&self, dict: &DictObject, changes: Entries) -> Result<(), Error> {
        self.update_at(dict, changes, 0)
    }

    fn update_at(&self, dict: &DictObject, changes: Entries, depth: usize) -> Result<(), Error> {
        self.budget.check_depth(depth)?;
        self.budget.charge(changes.len())?;
        for (key, slot) in changes {
            if dict.config
                && let Some(Object::Dict(old)) = dict.get(&key).map(|node| node.object)
                && let Object::Dict(new) = &slot.node.object
            {
                self.update_at(&old, new.entries(), depth + 1)?;
            } else {
                self.set_item(dict, key, slot.key_span, slot.node)?;
            }
        }
        Ok(())
    }
}
