//! Algorithms: trainings that remove channels, or that train models of several widths. One a file.

mod auto_slim;
mod average;
mod dcff;
mod dmcp;
mod group_fisher;
mod ite_prune;
mod resrep;
mod slimmable_network;
mod sparse_training;
mod sparsity;
mod target_prune;

pub use auto_slim::AutoSlim;
pub use dcff::Dcff;
pub use dmcp::{Dmcp, FlopsLoss, Groups, Rates};
pub use group_fisher::GroupFisherAlgorithm;
pub use ite_prune::ItePruneAlgorithm;
pub use resrep::ResRep;
pub use slimmable_network::SlimmableNetwork;
pub use sparse_training::SparseTraining;
pub use sparsity::SparsityAlgorithm;
pub use target_prune::TargetPruneAlgorithm;

use occam_config::{Build, Error, Registry, Value};
use occam_space::Trace;
use occam_train::{AlgorithmConfig, UnitState};
use occam_zoo::TaskModel;

use crate::Supernet;
use crate::mutators::{Unit, Units};

const TABLE: &[(&str, Build<dyn AlgorithmConfig>)] = &[
    ("AutoSlim", auto_slim::build),
    ("GroupFisherAlgorithm", group_fisher::build),
    ("DCFF", dcff::build),
    ("DMCP", dmcp::build),
    ("ItePruneAlgorithm", ite_prune::build),
    ("ResRep", resrep::build),
    ("SlimmableNetwork", slimmable_network::build),
    ("SparseTraining", sparse_training::build),
    ("SparsityAlgorithm", sparsity::build),
    ("TargetPruneAlgorithm", target_prune::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn AlgorithmConfig>("algorithm", TABLE);
}

/// Refuses the `init_cfg` of an algorithm, whose config is `value`.
fn no_init_cfg(value: &Value, init_cfg: Option<&Value>) -> Result<(), Error> {
    match init_cfg.filter(|v| !v.is_none()) {
        None => Ok(()),
        Some(_) => Err(Error::new("`init_cfg` of the algorithm is not supported")
            .with_help("give it to the architecture, or use `load_from`")
            .at(value.get("init_cfg").unwrap_or(value))),
    }
}

/// What is told of `units` at `widths`.
fn unit_states(units: &Units, trace: &Trace, widths: &[usize]) -> Vec<UnitState> {
    let state = |((traced, &width), unit): ((&occam_space::Unit, &usize), &Unit)| UnitState {
        name: unit.name.clone(),
        channels: traced.channels,
        width,
        mutable: unit.mutable,
        importance: None,
    };
    trace.units.iter().zip(widths).zip(units).map(state).collect()
}

/// The supernet of a model, whose config is `value`.
fn supernet(task: &TaskModel, value: &Value) -> Result<Supernet, Error> {
    if task.file.is_some() {
        let error = Error::new("a model that comes from an ONNX file cannot have several widths");
        return Err(error.with_help("use an architecture such as `ImageClassifier`").at(value));
    }
    Supernet::new(task.graph.clone().into()).map_err(|e| Error::new(e.to_string()).at(value))
}
