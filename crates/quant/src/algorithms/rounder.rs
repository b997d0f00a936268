//! Observers at work in a run: what each node sees changes its grid, by which it then rounds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use occam_engine::{Grid, Grids, Tensor};
use occam_graph::ops::GridLearning;
use occam_graph::{Array, Graph, Op, ValueId, Weights};
use occam_train::{Error as TrainError, Model};

use crate::fake_quants::FakeQuantizer;
use crate::quantizers::{Placed, Prepared, Rules};
use crate::{Error, Result};

/// Points with one grid.
struct Group {
    /// Of its first point: the beginning of its parameters' names.
    name: String,
    /// Its grid is in the parameters, but for what it found in this step.
    fake: FakeQuantizer,
    /// Whether it ever saw something.
    seen: bool,
}

/// The observers of a model, by the nodes they watch.
pub struct Rounder {
    groups: Vec<Mutex<Group>>,
    /// Index of the group by node.
    nodes: HashMap<String, usize>,
}

impl std::fmt::Debug for Rounder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rounder({} grids)", self.groups.len())
    }
}

/// Whose grids follow what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Observing {
    Nobody,
    /// Those that do not learn.
    Fixed,
    All,
}

/// One run.
#[derive(Debug)]
struct Run {
    rounder: Arc<Rounder>,
}

/// A mutex whose holder may have panicked holds what it held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Rounder {
    /// The observers of a prepared graph.
    ///
    /// # Errors
    /// The graph breaks a rule.
    pub(super) fn new(prepared: &Prepared, placed: &Placed, rules: &Rules) -> Result<Self> {
        let points = &placed.placement.points;
        let (mut groups, mut by_scale) = (Vec::new(), HashMap::<ValueId, usize>::new());
        for (i, (point, quant)) in points.iter().zip(&prepared.quants).enumerate() {
            if placed.placement.root(i) != i || point.fixed.is_some() {
                continue;
            }
            let Some(rounding) = rules.rounding(placed, i) else { continue };
            by_scale.insert(quant.scale, groups.len());
            groups.push(Mutex::new(Group {
                name: quant.name.clone(),
                fake: rounding.fake_quantizer(point.scheme),
                seen: false,
            }));
        }
        let mut nodes = HashMap::new();
        for (_, node) in prepared.graph.nodes() {
            if let (Op::FakeQuant(_), &[_, scale, _]) = (&node.op, node.inputs.as_slice())
                && let Some(&group) = by_scale.get(&scale)
            {
                nodes.insert(node.name.clone(), group);
            }
        }
        Ok(Self { groups, nodes })
    }

    /// What a request takes so that nodes round by what they see.
    pub(super) fn run(self: &Arc<Self>, observing: Observing) -> Arc<dyn Grids> {
        for group in &self.groups {
            let fake = &mut lock(group).fake;
            fake.enable_observer(observing != Observing::Nobody);
            match observing {
                Observing::All => fake.enable_static_estimate(),
                Observing::Fixed => fake.enable_param_learning(),
                Observing::Nobody => {}
            }
        }
        Arc::new(Run { rounder: self.clone() })
    }

    /// Writes the grids that changed into the parameters.
    pub(super) fn commit(&self, model: &mut Model) -> Result<(), TrainError> {
        let device = model.device().clone();
        for group in &self.groups {
            let mut group = lock(group);
            let Some(grid) = group.fake.take_fresh() else { continue };
            let zeros = grid.zero_point.iter().map(|&z| z as f32).collect();
            for (part, numbers) in [("scale", grid.scale), ("zero_point", zeros)] {
                let tensor = Tensor::from_f32(&[numbers.len()], numbers, &device)?;
                model.params.set(&format!("{}.{part}", group.name), tensor)?;
            }
        }
        Ok(())
    }

    /// Names of grids that nothing was ever seen of.
    pub(super) fn unseen(&self) -> Vec<String> {
        let unseen = self.groups.iter().map(lock).filter(|g| !g.seen).map(|g| g.name.clone());
        unseen.collect()
    }

    /// What the observers remember, by names of their own.
    pub(super) fn state(&self) -> Result<Weights> {
        let mut all = Weights::new();
        for group in &self.groups {
            let group = lock(group);
            for (key, numbers) in group.fake.state() {
                // The parameters have these.
                if ["scale", "zero_point"].contains(&key) {
                    continue;
                }
                all.insert(format!("{}.{key}", group.name), Array::from_f32([numbers.len()], numbers)?);
            }
        }
        Ok(all)
    }

    /// Goes on from what [`Rounder::state`] gave.
    pub(super) fn load_state(&self, state: &Weights) -> Result<()> {
        let mut taken = 0;
        for group in &self.groups {
            let mut group = lock(group);
            let prefix = format!("{}.", group.name);
            let mut own = Vec::new();
            for (name, array) in state {
                if let Some(key) = name.strip_prefix(&prefix)
                    && !key.contains('.')
                {
                    own.push((key.to_owned(), array.as_f32()?.to_vec()));
                }
            }
            taken += own.len();
            group.fake.load_state(&own)?;
            group.seen = group.fake.qparams().is_some();
        }
        if taken != state.len() {
            return Err(Error::Other("it has ranges of values that this model does not round".into()));
        }
        Ok(())
    }

    /// Forgets everything.
    pub(super) fn reset(&self) {
        for group in &self.groups {
            let mut group = lock(group);
            group.fake.reset();
            group.seen = false;
        }
    }
}

impl Grids for Run {
    fn grid(&self, node: &str, x: &Tensor) -> occam_engine::Result<Grid> {
        let Some(&index) = self.rounder.nodes.get(node) else { return Ok(Grid::Given) };
        let Some(group) = self.rounder.groups.get(index) else { return Ok(Grid::Given) };
        if lock(group).fake.observes() {
            let (rounder, shape) = (self.rounder.clone(), x.shape());
            let observed = x.with_f32(move |data| match rounder.groups.get(index) {
                Some(group) => lock(group).fake.see(data, &shape),
                None => Ok(()),
            })?;
            let refused =
                |e| occam_engine::Error::Tensor { op: "observe", message: format!("`{node}`: {e}") };
            observed.map_err(refused)?;
            lock(group).seen = true;
        }
        lock(group).fake.answer(&x.device())
    }
}

/// Whether a parameter is one of a grid.
pub(super) fn is_grid(name: &str) -> bool {
    let base = name.strip_suffix(".scale").or_else(|| name.strip_suffix(".zero_point"));
    let last = base.and_then(|b| b.rsplit('.').next());
    last.is_some_and(|l| l.strip_prefix("quant").is_some_and(|n| n.chars().all(|c| c.is_ascii_digit())))
}

/// Scales of a graph that learn.
pub(super) fn learned_scales(graph: &Graph) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (_, node) in graph.nodes() {
        if let (Op::FakeQuant(op), &[_, scale, _]) = (&node.op, node.inputs.as_slice())
            && op.learning != GridLearning::Fixed
        {
            let name = graph.value(scale)?.name.clone();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}
