//! Models of several forms that share their weights: what searches choose from, and what validations of them measure.

use std::sync::Arc;

use occam_data::Seed;
use occam_engine::{Bound, Executor, Mode, Request, Tensor};
use occam_graph::{Graph, Op, Patch};
use occam_space::Resources;

use crate::{Error, Model, Result};

/// What is chosen apart from everything else: a channel unit, or layers that are to agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name in configs and subnet files.
    pub name: String,
    /// How many choices it has; at least one, from the cheapest to the dearest.
    pub choices: usize,
}

/// Of each [`Group`] which choice, from 0.
pub type Picks = Vec<usize>;

/// One form of a model, ready to be measured.
#[derive(Debug, Clone)]
pub struct Form {
    /// What runs it. Nothing in it is left to chance, in training neither.
    pub executor: Arc<Executor>,
    /// Its parameters.
    pub params: Bound,
    /// Whether it is measured by its batches' statistics ([`Mode::Train`]) or by the running ones.
    pub mode: Mode,
}

/// The forms of an algorithm's architecture.
pub trait Space {
    /// What can be chosen, in order.
    fn groups(&self) -> &[Group];

    /// The forms that a validation measures, by the names of their figures, such as `max_subnet`. What is drawn by chance
    /// depends on nothing but `seed`, so that validations can be compared.
    fn kinds(&self, seed: Seed) -> Vec<(String, Picks)>;

    /// A form, with the model's present weights.
    ///
    /// # Errors
    /// There is no such choice, or a node cannot follow it.
    fn form(&self, picks: &[usize]) -> Result<Form>;

    /// What a form costs, for one image of `[channels, height, width]`.
    ///
    /// # Errors
    /// There is no such choice, or the graph has sizes that images do not say.
    fn resources(&self, picks: &[usize], image: [usize; 3]) -> Result<Resources>;

    /// What a subnet file says of a form.
    ///
    /// # Errors
    /// There is no such choice.
    fn subnet(&self, picks: &[usize]) -> Result<serde_json::Value>;
}

impl Form {
    /// A model as it is.
    ///
    /// # Errors
    /// Its graph breaks a rule.
    pub fn of(model: &Model) -> Result<Self> {
        let executor = without_chance(model.executor())?;
        Ok(Self { executor, params: model.params.constants(), mode: Mode::Eval })
    }

    /// Gives batch normalization the statistics of `batches`: the mean of their means and of their unbiased variances,
    /// weighted by the number of samples (Yu and Huang, Universally Slimmable Networks, 2019, arXiv:1903.05134, section
    /// 3.3). Frozen normalizations stay. Says how many samples there were; with none nothing changes.
    ///
    /// # Errors
    /// A batch cannot be read or does not fit.
    pub fn calibrate(
        &mut self,
        model: &Model,
        batches: impl IntoIterator<Item = Result<occam_data::Batch>>,
    ) -> Result<usize> {
        let statistics = statistics(self.executor.graph())?;
        if statistics.is_empty() {
            return Ok(0);
        }
        // From 0 on the new statistics are the batch's, times its share.
        let mut params = self.params.clone();
        for (name, _) in &statistics {
            if let Some(tensor) = params.get_mut(name) {
                *tensor = Tensor::full(&tensor.shape(), 0.0, &tensor.device());
            }
        }
        let mut sums: Bound = Bound::new();
        let mut samples = 0;
        for batch in batches {
            let batch = batch?;
            let own = batch.samples.len();
            let outputs = model.forward_by(&self.executor, &params, &batch, &Request::new(Mode::Train))?;
            for (name, share) in &statistics {
                let Some((_, tensor)) = outputs.buffers.iter().find(|(n, _)| n == name) else { continue };
                let part = tensor.scale(own as f64 / share)?;
                let sum = match sums.swap_remove(name) {
                    Some(sum) => sum.add(&part)?,
                    None => part,
                };
                sums.insert(name.clone(), sum);
            }
            samples += own;
        }
        for (name, sum) in sums {
            self.params.insert(name, sum.scale(1.0 / samples.max(1) as f64)?);
        }
        Ok(samples)
    }
}

/// What runs the same graph with nothing left out by chance: all rates of dropout are 0.
///
/// # Errors
/// The graph breaks a rule.
pub fn without_chance(executor: &Executor) -> Result<Arc<Executor>> {
    let mut patch = Patch::new("without_chance");
    for (id, node) in executor.graph().nodes() {
        if let Op::Dropout(dropout) = &node.op
            && dropout.rate != 0.0
        {
            patch.set_op(id, occam_graph::ops::Dropout { rate: 0.0, ..*dropout });
        }
    }
    if patch.is_empty() {
        return Ok(Arc::new(executor.clone()));
    }
    let mut graph = Graph::clone(executor.graph());
    patch.apply(&mut graph)?;
    Ok(Arc::new(Executor::new(Arc::new(graph))?))
}

/// The running statistics of a graph that training moves, with the share of a batch in them.
///
/// # Errors
/// The share is 0, so that nothing is known of a batch; or the graph is broken.
pub(crate) fn statistics(graph: &Graph) -> Result<Vec<(String, f64)>> {
    let mut found = Vec::new();
    for (_, node) in graph.nodes() {
        if let (Op::BatchNorm(norm), Some(running)) = (&node.op, node.inputs.get(3..5)) {
            // A frozen norm uses its statistics and never moves them.
            for &id in running.iter().filter(|_| !norm.frozen) {
                if norm.momentum == 0.0 {
                    let message = format!("`{}` has momentum 0: its statistics cannot be found", node.name);
                    return Err(Error::Other(message));
                }
                found.push((graph.value(id)?.name.clone(), norm.momentum));
            }
        }
    }
    Ok(found)
}
