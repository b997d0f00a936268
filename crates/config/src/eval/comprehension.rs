//! Comprehensions and generators, which are evaluated at once.

use ruff_python_ast::{Comprehension, Expr};

use super::comparison::as_key;
use super::object::{Entries, Node, Object, Slot};
use super::{Evaluator, unsupported};
use crate::Error;

impl Evaluator<'_> {
    /// The items of `element for ... in ...`.
    pub(super) fn comprehension(
        &mut self,
        element: &Expr,
        loops: &[Comprehension],
    ) -> Result<Vec<Node>, Error> {
        let mut items = Vec::new();
        self.each(loops, &mut |evaluator| {
            items.push(evaluator.eval(element)?);
            Ok(())
        })?;
        Ok(items)
    }

    /// The entries of `key: value for ... in ...`.
    pub(super) fn dict_comprehension(
        &mut self,
        key: &Expr,
        value: &Expr,
        loops: &[Comprehension],
    ) -> Result<Entries, Error> {
        let mut entries = Entries::new();
        self.each(loops, &mut |evaluator| {
            let key_node = evaluator.eval(key)?;
            let node = evaluator.eval(value)?;
            let key_span = evaluator.span_of(key);
            entries.insert(as_key(&key_node.object)?, Slot { key_span, node });
            Ok(())
        })?;
        Ok(entries)
    }

    /// Runs `body` once for each round of nested loops, with the loop variables set.
    fn each(
        &mut self,
        loops: &[Comprehension],
        body: &mut dyn FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some((outer, inner)) = loops.split_first() else {
            return body(self);
        };
        if outer.is_async {
            return Err(unsupported("`async` is").with_span(self.span_of(outer)));
        }
        let items = self.eval(&outer.iter)?;
        let items =
            self.iterate(&items.object).map_err(|error| error.with_span(self.span_of(&outer.iter)))?;
        let variables = self.locals.len();
        for item in items {
            self.bind_local(&outer.target, item)?;
            let mut holds = true;
            for condition in &outer.ifs {
                holds = holds && self.eval(condition)?.object.truth();
            }
            if holds {
                self.each(inner, body)?;
            }
            self.locals.truncate(variables);
        }
        Ok(())
    }

    /// Sets loop variables: a name, or a tuple of them.
    fn bind_local(&mut self, target: &Expr, node: Node) -> Result<(), Error> {
        match target {
            Expr::Name(name) => {
                self.locals.push((name.id.to_string(), node));
                Ok(())
            }
            Expr::Tuple(tuple) => self.bind_locals(&tuple.elts, &node, target),
            Expr::List(list) => self.bind_locals(&list.elts, &node, target),
            _ => Err(unsupported("a loop over anything but names is").with_span(self.span_of(target))),
        }
    }

    fn bind_locals(&mut self, targets: &[Expr], node: &Node, whole: &Expr) -> Result<(), Error> {
        let items =
            self.unpack(&node.object, targets.len()).map_err(|error| error.with_span(self.span_of(whole)))?;
        for (target, item) in targets.iter().zip(items) {
            self.bind_local(target, item)?;
        }
        Ok(())
    }

    /// Exactly `count` items of `object`.
    pub(super) fn unpack(&self, object: &Object, count: usize) -> Result<Vec<Node>, Error> {
        let items = self.iterate(object)?;
        if items.len() != count {
            let found = items.len();
            return Err(Error::new(format!("cannot unpack {found} items into {count} names")));
        }
        Ok(items)
    }
}
