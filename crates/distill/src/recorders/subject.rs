//! The model that is looked at.

use std::fmt;

use occam_config::Error;
use occam_graph::{Call, Graph, ValueId};
use occam_train::Model;
use occam_zoo::Task;

use super::{Part, Record, Records, Slot, Source};
use crate::entries::list;

/// A model's graph and task.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    graph: &'a Graph,
    task: &'a dyn Task,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("graph", self.graph).finish_non_exhaustive()
    }
}

impl<'a> From<&'a Model> for Subject<'a> {
    fn from(model: &'a Model) -> Self {
        Self { graph: model.graph(), task: model.task() }
    }
}

impl<'a> Subject<'a> {
    /// A subject of parts.
    pub fn new(graph: &'a Graph, task: &'a dyn Task) -> Self {
        Self { graph, task }
    }

    /// What it computes.
    pub fn graph(&self) -> &'a Graph {
        self.graph
    }

    /// The records of a module's calls, or of the calls at a place that the task notes where the graph has no such
    /// module.
    ///
    /// The root, whose path is empty, is called once: with the graph's inputs and then the batch's labels, and
    /// returns the graph's outputs.
    ///
    /// # Errors
    /// There is neither.
    pub fn calls(&self, source: &Source, part: Part) -> Result<Records, Error> {
        let path = source.path();
        if path.is_empty() {
            return Ok(Records::Known(vec![self.root(part)]));
        }
        if let Some(calls) = self.graph.modules().get(path) {
            let records = calls.iter().map(|call| self.record(call, part)).collect::<Result<_, _>>();
            return Ok(Records::Known(records.map_err(|e| e.at(source.value()))?));
        }
        if self.task.sites().contains(&path) {
            return Ok(Records::Site { path: path.into(), part });
        }
        Err(Error::new(format!("the model has no module {path:?}"))
            .with_help(self.nearest(path))
            .at(source.value()))
    }

    fn root(&self, part: Part) -> Record {
        match part {
            Part::Inputs => {
                let inputs = self.graph.inputs().iter().map(|&v| Slot::Value(v));
                Record::Tuple(inputs.chain([Slot::Labels]).collect())
            }
            Part::Outputs => {
                let outputs: Vec<Slot> = self.graph.outputs().iter().map(|(_, v)| Slot::Value(*v)).collect();
                match outputs.as_slice() {
                    [one] => Record::Single(*one),
                    _ => Record::Tuple(outputs),
                }
            }
        }
    }

    fn record(&self, call: &Call, part: Part) -> Result<Record, Error> {
        let slots = |values: &[ValueId]| -> Result<Vec<Slot>, Error> {
            values
                .iter()
                .map(|&v| self.graph.value(v).map(|_| Slot::Value(v)).map_err(Error::other))
                .collect()
        };
        Ok(match part {
            Part::Inputs => Record::Tuple(slots(&call.inputs)?),
            Part::Outputs => {
                let outputs = slots(&call.outputs)?;
                match outputs.as_slice() {
                    [one] if !call.tuple => Record::Single(*one),
                    _ => Record::Tuple(outputs),
                }
            }
        })
    }

    /// Advice for a path that does not exist: the likeliest, and what there is beside it.
    fn nearest(&self, path: &str) -> String {
        let modules = self.graph.modules();
        let mut known: Vec<&str> =
            modules.keys().map(String::as_str).filter(|path| !path.is_empty()).collect();
        known.extend(self.task.sites());
        let mut parent = path;
        while let Some((shorter, _)) = parent.rsplit_once('.') {
            parent = shorter;
            if known.contains(&parent) {
                break;
            }
        }
        let inside: Vec<&str> = known
            .iter()
            .filter_map(|path| path.strip_prefix(parent)?.strip_prefix('.'))
            .filter(|rest| !rest.contains('.'))
            .collect();
        let beside = if inside.is_empty() {
            format!(
                "modules of the model: {}",
                list(known.iter().copied().filter(|path| !path.contains('.')))
            )
        } else {
            format!("modules in {parent:?}: {}", list(inside))
        };
        match occam_config::suggest(path, known.into_iter()) {
            Some(meant) => format!("did you mean {meant:?}? {beside}"),
            None => beside,
        }
    }

    /// The parameter called `source`, as the one record.
    ///
    /// # Errors
    /// There is none.
    pub fn parameter(&self, source: &Source) -> Result<Records, Error> {
        let path = source.path();
        let found = self.graph.find(path).filter(|&v| self.graph.value(v).is_ok_and(|v| v.role().is_some()));
        match found {
            Some(v) => Ok(Records::Known(vec![Record::Single(Slot::Value(v))])),
            None => {
                let names: Vec<&str> = self.graph.params().map(|(_, v)| v.name.as_str()).collect();
                let module = path.rsplit_once('.').map_or("", |(module, _)| module);
                let beside = names
                    .iter()
                    .filter_map(|name| name.strip_prefix(module)?.strip_prefix('.'))
                    .filter(|rest| !rest.contains('.'));
                let mut help = format!("parameters in {module:?}: {}", list(beside));
                if let Some(meant) = occam_config::suggest(path, names.iter().copied()) {
                    help = format!("did you mean {meant:?}? {help}");
                }
                Err(Error::new(format!("the model has no parameter {path:?}"))
                    .with_help(help)
                    .at(source.value()))
            }
        }
    }
}
