//! The evaluator of config files.
//!
//! It walks the syntax tree that ruff's parser makes of a file and knows assignments, `if`, `assert`
//! and `del`, expressions over Python's plain data types, comprehensions, and a fixed set of
//! functions and methods. Everything else is an error that names what is not supported, where. No
//! code is run, no module imported, no environment variable read.

mod arithmetic;
mod budget;
mod builtins;
mod call;
mod comparison;
mod comprehension;
mod config_dict;
mod convert;
mod expression;
mod format;
mod imports;
mod methods;
mod numbers;
mod object;
mod statement;
mod subscript;
mod text;

use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;
use ruff_python_ast::{Expr, Stmt};
use ruff_text_size::{Ranged, TextRange};

pub(crate) use budget::Budget;
pub(crate) use statement::base_expression;

use self::object::{DictObject, Node, Object, Slot};
use crate::{Dict, Error, SourceFile, Span, Value};

/// The name under which a file sees what its bases define.
pub(crate) const BASE: &str = "_base_";

/// What scripts compare with `'__main__'`; a config is never the main module, and mmengine sees `'builtins'` there.
const MODULE_NAME: &str = "__name__";

/// What running a file leaves behind.
pub(crate) struct Outcome {
    /// The file's own variables.
    pub(crate) own: Dict,
    /// What its bases define, with the changes that the file made to it.
    pub(crate) base: Dict,
}

/// Runs the statements of `file` with `base` under the name `_base_`; `presets` replace what the file gives their
/// names, so that all that follows from it follows from them.
pub(crate) fn run(
    file: &Arc<SourceFile>,
    statements: &[Stmt],
    base: Dict,
    presets: &IndexMap<String, Value>,
    budget: &Budget,
) -> Result<Outcome, Error> {
    let mut evaluator = Evaluator::new(file, budget);
    evaluator.presets = Some(presets);
    let Object::Dict(base) = convert::from_dict(base) else {
        return Err(Error::new("the bases do not make a dict"));
    };
    evaluator.base = Some(Rc::clone(&base));
    evaluator.run(statements)?;
    let mut own = Dict::new();
    for (name, slot) in &evaluator.globals {
        // As in mmengine, what is imported is no part of the config.
        let imported = matches!(slot.node.object, Object::Imported(_));
        if !imported && !name.starts_with("__") && name != BASE {
            let value = convert::to_value(&slot.node, budget)?;
            own.insert_spanned(name.as_str(), slot.key_span.clone(), value);
        }
    }
    Ok(Outcome { own, base: convert::to_dict(&base, budget)? })
}

/// Evaluates one expression, in which no variable is known.
pub(crate) fn evaluate(file: &Arc<SourceFile>, expression: &Expr, budget: &Budget) -> Result<Value, Error> {
    let node = Evaluator::new(file, budget).eval(expression)?;
    convert::to_value(&node, budget)
}

struct Evaluator<'a> {
    file: &'a Arc<SourceFile>,
    budget: &'a Budget,
    base: Option<Rc<DictObject>>,
    globals: IndexMap<String, Slot>,
    /// Values that take the place of what the file gives a name.
    presets: Option<&'a IndexMap<String, Value>>,
    /// The loop variables of the comprehensions that are being evaluated, innermost last.
    locals: Vec<(String, Node)>,
}

impl<'a> Evaluator<'a> {
    fn new(file: &'a Arc<SourceFile>, budget: &'a Budget) -> Self {
        Self { file, budget, base: None, globals: IndexMap::new(), presets: None, locals: Vec::new() }
    }

    fn span(&self, range: TextRange) -> Option<Span> {
        Some(Span::new(self.file, range.start().to_usize(), range.len().to_usize()))
    }

    fn span_of(&self, node: &impl Ranged) -> Option<Span> {
        self.span(node.range())
    }

    fn lookup(&self, name: &str) -> Result<Node, Error> {
        if let Some((_, node)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return Ok(node.clone());
        }
        if let Some(slot) = self.globals.get(name) {
            return Ok(slot.node.clone());
        }
        if name == BASE
            && let Some(base) = &self.base
        {
            return Ok(Node::new(Object::Dict(Rc::clone(base)), None));
        }
        if let Some(builtin) = builtins::Builtin::named(name) {
            return Ok(Node::new(Object::Builtin(builtin), None));
        }
        if name == MODULE_NAME {
            return Ok(Node::new(Object::str("builtins"), None));
        }
        let globals = self.globals.keys().map(String::as_str);
        let builtins = builtins::Builtin::ALL.iter().map(|builtin| builtin.name());
        let error = Error::new(format!("name `{name}` is not defined"));
        Err(match crate::suggest(name, globals.chain(builtins)) {
            Some(meant) => error.with_help(format!("did you mean `{meant}`?")),
            None => error,
        })
    }
}

/// The error for a construct that configs cannot have.
fn unsupported(what: &str) -> Error {
    Error::new(format!("{what} not supported in configs"))
}
