//! What expressions evaluate to.
//!
//! Unlike a [`Value`](crate::Value), an object has an identity: lists and dicts are shared, so that a
//! change made through one name, or to a value of a base file, is seen through all others.

use std::cell::RefCell;
use std::rc::Rc;

use indexmap::IndexMap;

use super::builtins::Builtin;
use super::imports::Imported;
use crate::{Key, Span};

/// An object and the place where it was written.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) object: Object,
    pub(crate) span: Option<Span>,
}

impl Node {
    pub(crate) fn new(object: Object, span: Option<Span>) -> Self {
        Self { object, span }
    }
}

#[derive(Clone)]
pub(crate) enum Object {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Rc<str>),
    List(Rc<List>),
    Tuple(Rc<Tuple>),
    Dict(Rc<DictObject>),
    /// The items of a `range`, a generator or a dict's view. They can be looped over but are no
    /// config value.
    Iterable(Rc<Tuple>),
    Builtin(Builtin),
    Imported(Imported),
}

impl Object {
    pub(crate) fn str(text: impl AsRef<str>) -> Self {
        Self::Str(Rc::from(text.as_ref()))
    }

    pub(crate) fn list(items: Vec<Node>) -> Self {
        Self::List(Rc::new(List(RefCell::new(items))))
    }

    pub(crate) fn tuple(items: Vec<Node>) -> Self {
        Self::Tuple(Rc::new(Tuple(items)))
    }

    pub(crate) fn iterable(items: Vec<Node>) -> Self {
        Self::Iterable(Rc::new(Tuple(items)))
    }

    /// A plain `dict`.
    pub(crate) fn dict(entries: Entries) -> Self {
        Self::Dict(Rc::new(DictObject { entries: RefCell::new(entries), config: false }))
    }

    /// A `ConfigDict`, as values of base files are.
    pub(crate) fn config_dict(entries: Entries) -> Self {
        Self::Dict(Rc::new(DictObject { entries: RefCell::new(entries), config: true }))
    }

    /// The type in a sentence: `an int`, `a list`.
    pub(crate) fn described(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Float(_) => "a float",
            Self::Str(_) => "a str",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dict",
            Self::Iterable(_) => "a range, generator or view",
            Self::Builtin(_) | Self::Imported(Imported::ShallowCopy | Imported::DeepCopy) => "a function",
            Self::Imported(Imported::Copy) => "a module",
            Self::Imported(Imported::Code) => "imported code",
        }
    }

    pub(crate) fn truth(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(list) => list.len() > 0,
            Self::Tuple(tuple) | Self::Iterable(tuple) => !tuple.0.is_empty(),
            Self::Dict(dict) => dict.len() > 0,
            Self::Builtin(_) | Self::Imported(_) => true,
        }
    }

    /// The number of an int, or of a bool, which Python counts as one.
    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bool(truth) => Some(i64::from(*truth)),
            _ => None,
        }
    }

    /// Whether both are one and the same list, tuple or dict.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => Rc::ptr_eq(a, b),
            (Self::Tuple(a), Self::Tuple(b)) => Rc::ptr_eq(a, b),
            (Self::Dict(a), Self::Dict(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// The items of a tuple.
pub(crate) struct Tuple(pub(crate) Vec<Node>);

/// A list. Every borrow ends within the method that begins it, so none can clash.
pub(crate) struct List(RefCell<Vec<Node>>);

impl List {
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// The items as they are now.
    pub(crate) fn items(&self) -> Vec<Node> {
        self.0.borrow().clone()
    }

    pub(crate) fn get(&self, index: usize) -> Option<Node> {
        self.0.borrow().get(index).cloned()
    }

    /// Sets an item; false if there is none at `index`.
    pub(crate) fn set(&self, index: usize, node: Node) -> bool {
        match self.0.borrow_mut().get_mut(index) {
            Some(slot) => {
                *slot = node;
                true
            }
            None => false,
        }
    }

    pub(crate) fn extend(&self, items: Vec<Node>) {
        self.0.borrow_mut().extend(items);
    }

    /// Inserts before `index`, or at the end if that is past it.
    pub(crate) fn insert(&self, index: usize, node: Node) {
        let mut items = self.0.borrow_mut();
        let index = index.min(items.len());
        items.insert(index, node);
    }

    pub(crate) fn remove(&self, index: usize) -> Option<Node> {
        let mut items = self.0.borrow_mut();
        (index < items.len()).then(|| items.remove(index))
    }

    pub(crate) fn replace(&self, items: Vec<Node>) {
        self.0.replace(items);
    }
}

/// The value under a key, and the place where the key was written.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) key_span: Option<Span>,
    pub(crate) node: Node,
}

pub(crate) type Entries = IndexMap<Key, Slot>;

/// A dict. Every borrow ends within the method that begins it, so none can clash.
pub(crate) struct DictObject {
    entries: RefCell<Entries>,
    /// Whether this is mmengine's `ConfigDict`: its keys can be read and set as attributes, and
    /// what is put into it is made a `ConfigDict` too.
    pub(crate) config: bool,
}

impl DictObject {
    pub(crate) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// The entries as they are now.
    pub(crate) fn entries(&self) -> Entries {
        self.entries.borrow().clone()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.entries.borrow().keys().cloned().collect()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Node> {
        self.entries.borrow().get(key).map(|slot| slot.node.clone())
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.entries.borrow().contains_key(key)
    }

    /// Puts a value in as it is; see [`Evaluator::set_item`](super::Evaluator::set_item).
    pub(super) fn insert(&self, key: Key, slot: Slot) {
        self.entries.borrow_mut().insert(key, slot);
    }

    pub(crate) fn remove(&self, key: &Key) -> Option<Node> {
        self.entries.borrow_mut().shift_remove(key).map(|slot| slot.node)
    }

    pub(crate) fn pop_last(&self) -> Option<(Key, Node)> {
        self.entries.borrow_mut().pop().map(|(key, slot)| (key, slot.node))
    }

    pub(crate) fn clear(&self) {
        self.entries.take();
    }
}

// A chain of a million lists, each in the next, is easily written; dropping it link by link must
// not recurse.

impl Drop for List {
    fn drop(&mut self) {
        bury(std::mem::take(self.0.get_mut()));
    }
}

impl Drop for Tuple {
    fn drop(&mut self) {
        bury(std::mem::take(&mut self.0));
    }
}

impl Drop for DictObject {
    fn drop(&mut self) {
        bury(std::mem::take(self.entries.get_mut()).into_values().map(|slot| slot.node));
    }
}

/// Drops nodes and, one after the other, all that only they hold.
fn bury(nodes: impl IntoIterator<Item = Node>) {
    let mut pending: Vec<Node> = nodes.into_iter().collect();
    while let Some(node) = pending.pop() {
        match node.object {
            Object::List(list) => {
                if let Some(mut list) = Rc::into_inner(list) {
                    pending.append(list.0.get_mut());
                }
            }
            Object::Tuple(tuple) | Object::Iterable(tuple) => {
                if let Some(mut tuple) = Rc::into_inner(tuple) {
                    pending.append(&mut tuple.0);
                }
            }
            Object::Dict(dict) => {
                if let Some(mut dict) = Rc::into_inner(dict) {
                    let entries = std::mem::take(dict.entries.get_mut());
                    pending.extend(entries.into_values().map(|slot| slot.node));
                }
            }
            _ => {}
        }
    }
}
