//! A model with weights on a device.

use std::sync::Arc;

use indexmap::IndexMap;
use occam_config::Value;
use occam_data::{Batch, DataSample, Seed};
use occam_engine::{Autocast, Bound, Device, Executor, Mode, Outputs, Params, Request, Tensor};
use occam_graph::{Array, Fact, Fit, Graph, Role, Weights};
use occam_zoo::{FromFile, Losses, Sites, Task, TaskModel};

use crate::{Error, Result};

/// Graph, parameters and task together.
pub struct Model {
    executor: Executor,
    /// The parameters.
    pub params: Params,
    task: Arc<dyn Task>,
    data_preprocessor: Option<Value>,
    batch_augments: Option<Value>,
    file: Option<Arc<FromFile>>,
    device: Device,
    autocast: Autocast,
}

impl Model {
    /// A model with first values drawn from `seed`.
    ///
    /// # Errors
    /// The model breaks a rule.
    pub fn new(model: TaskModel, seed: Seed, device: &Device) -> Result<Self> {
        let weights = occam_zoo::initialize(&model.graph, &model.inits, seed)?;
        Self::with_weights(model, &weights, device)
    }

    /// A model with the given weights.
    ///
    /// # Errors
    /// The model breaks a rule, or a parameter is missing or has another shape.
    pub fn with_weights(model: TaskModel, weights: &Weights, device: &Device) -> Result<Self> {
        let params = Params::new(&model.graph, weights, device)?;
        let executor = Executor::new(Arc::new(model.graph))?;
        Ok(Self {
            executor,
            params,
            task: model.task.into(),
            data_preprocessor: model.data_preprocessor,
            batch_augments: model.batch_augments,
            file: model.file.map(Arc::new),
            device: device.clone(),
            autocast: Autocast::default(),
        })
    }

    /// Parameters of no network, such as those of a mutator, in a model that is never run.
    ///
    /// # Errors
    /// Two have the same name.
    pub fn of_parameters(
        parameters: impl IntoIterator<Item = (String, Array, Role)>,
        device: &Device,
    ) -> Result<Self> {
        let (mut graph, mut weights) = (Graph::default(), Weights::new());
        for (name, array, role) in parameters {
            graph.add_param(&name, Fact::new(array.dtype(), array.shape().iter().copied()), role)?;
            weights.insert(name, array);
        }
        let params = Params::new(&graph, &weights, device)?;
        Ok(Self {
            executor: Executor::new(Arc::new(graph))?,
            params,
            task: Arc::new(NoTask),
            data_preprocessor: None,
            batch_augments: None,
            file: None,
            device: device.clone(),
            autocast: Autocast::default(),
        })
    }

    /// Another graph for the same task, with parameters of its own.
    ///
    /// # Errors
    /// The graph breaks a rule, or a parameter is missing or has another shape.
    pub fn like(&self, graph: Graph, weights: &Weights) -> Result<Self> {
        Ok(Self {
            params: Params::new(&graph, weights, &self.device)?,
            executor: Executor::new(Arc::new(graph))?,
            task: self.task.clone(),
            data_preprocessor: self.data_preprocessor.clone(),
            batch_augments: self.batch_augments.clone(),
            file: self.file.clone(),
            device: self.device.clone(),
            autocast: self.autocast,
        })
    }

    /// Becomes another graph of the same task, with all its parameters; parameters that learn go on to do so.
    ///
    /// # Errors
    /// The graph breaks a rule, or a parameter is missing or has another shape.
    pub fn reshape(&mut self, graph: Graph, weights: &Weights) -> Result<()> {
        let mut params = Params::new(&graph, weights, &self.device)?;
        params.set_trainable(|name| self.params.get(name).is_some_and(|p| p.trainable));
        self.executor = Executor::new(Arc::new(graph))?;
        self.params = params;
        Ok(())
    }

    /// What it computes.
    pub fn graph(&self) -> &Arc<Graph> {
        self.executor.graph()
    }

    /// What runs it.
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// What is done with its outputs.
    pub fn task(&self) -> &dyn Task {
        &*self.task
    }

    /// Its own `data_preprocessor`, where its config has one.
    pub fn data_preprocessor(&self) -> Option<&Value> {
        self.data_preprocessor.as_ref()
    }

    /// What its preprocessor gets as `batch_augments`, where its config says so.
    pub fn batch_augments(&self) -> Option<&Value> {
        self.batch_augments.as_ref()
    }

    /// What else its file says, where it comes from one.
    pub fn file(&self) -> Option<&FromFile> {
        self.file.as_deref()
    }

    /// The device it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What [`Model::forward`] computes in less than `f32`, where a request asks for nothing itself.
    pub fn set_autocast(&mut self, autocast: Autocast) {
        self.autocast = autocast;
    }

    /// What [`Model::set_autocast`] set.
    pub fn autocast(&self) -> Autocast {
        self.autocast
    }

    /// Mode `tensor`: runs the graph on a batch with the given parameters, which may be leaves of a tape.
    ///
    /// # Errors
    /// The batch does not fit.
    pub fn forward(&self, params: &Bound, batch: &Batch, request: &Request) -> Result<Outputs> {
        self.forward_by(&self.executor, params, batch, request)
    }

    /// As [`Model::forward`], by another graph for the same task: a narrower one, for instance, with parameters of its own.
    ///
    /// # Errors
    /// The batch or the parameters do not fit.
    pub fn forward_by(
        &self,
        executor: &Executor,
        params: &Bound,
        batch: &Batch,
        request: &Request,
    ) -> Result<Outputs> {
        if self.autocast == Autocast::default() || request.autocast != Autocast::default() {
            return self.run(executor, params, batch, request);
        }
        self.run(executor, params, batch, &Request { autocast: self.autocast, ..request.clone() })
    }

    fn run(&self, executor: &Executor, params: &Bound, batch: &Batch, request: &Request) -> Result<Outputs> {
        let input = Tensor::from_array(&batch.inputs, &self.device)?;
        Ok(executor.run(params, &[input], request)?)
    }

    /// Mode `loss`: loss terms of outputs that [`Model::forward`] gave.
    ///
    /// # Errors
    /// The samples have no fitting labels.
    pub fn loss(&self, outputs: &Outputs, batch: &Batch, sites: &mut Sites) -> Result<Losses> {
        Ok(self.task.loss(&outputs.outputs, &batch.samples, sites)?)
    }

    /// Mode `predict`: the batch's samples with predictions, by the running statistics, without a tape and in `f32`.
    ///
    /// # Errors
    /// The batch does not fit.
    pub fn predict(&self, batch: &Batch) -> Result<Vec<DataSample>> {
        self.predict_by(&self.executor, &self.params.constants(), batch, Mode::Eval)
    }

    /// As [`Model::predict`], by another graph for the same task with parameters of its own, in `mode`.
    ///
    /// # Errors
    /// The batch or the parameters do not fit.
    pub fn predict_by(
        &self,
        executor: &Executor,
        params: &Bound,
        batch: &Batch,
        mode: Mode,
    ) -> Result<Vec<DataSample>> {
        let outputs = self.run(executor, params, batch, &Request::new(mode))?;
        Ok(self.task.predict(&outputs.outputs, batch.samples.clone())?)
    }

    /// Keeps the buffers that a run updated.
    ///
    /// # Errors
    /// They are none of this model's.
    pub fn keep_buffers(&mut self, outputs: &Outputs) -> Result<()> {
        for (name, tensor) in &outputs.buffers {
            self.params.set(name, tensor.clone())?;
        }
        Ok(())
    }

    /// Takes over weights by name; other floating-point types become `f32`.
    ///
    /// # Errors
    /// One is missing or has another shape; nothing is changed then. Weights that the model does not have
    /// are left out.
    pub fn load(&mut self, weights: &Weights) -> Result<()> {
        let fit = occam_graph::fit(self.graph(), weights)?;
        match misfit(&fit) {
            Some(message) => Err(Error::Other(message)),
            None => self.take(weights, &fit.matched),
        }
    }

    /// Takes over those weights that it has, in their shape, and says which these are.
    ///
    /// # Errors
    /// One holds no floats; nothing is changed then.
    pub fn load_part(&mut self, weights: &Weights) -> Result<Fit> {
        let fit = occam_graph::fit(self.graph(), weights)?;
        self.take(weights, &fit.matched)?;
        Ok(fit)
    }

    fn take(&mut self, weights: &Weights, names: &[String]) -> Result<()> {
        let mut tensors = Vec::new();
        for (name, array) in names.iter().filter_map(|name| Some((name, weights.get(name)?))) {
            let single = array.to_f32().map_err(|e| Error::Other(format!("weights of `{name}`: {e}")))?;
            tensors.push((name, Tensor::from_array(&single, &self.device)?));
        }
        for (name, tensor) in tensors {
            self.params.set(name, tensor)?;
        }
        Ok(())
    }
}

/// The task of parameters alone.
struct NoTask;

impl NoTask {
    fn refuse<T>() -> occam_zoo::Result<T> {
        Err(occam_zoo::Error::Sample("parameters alone compute nothing".into()))
    }
}

impl Task for NoTask {
    fn loss(&self, _: &[Tensor], _: &[DataSample], _: &mut Sites) -> occam_zoo::Result<Losses> {
        Self::refuse()
    }

    fn predict(&self, _: &[Tensor], _: Vec<DataSample>) -> occam_zoo::Result<Vec<DataSample>> {
        Self::refuse()
    }
}

/// What is wrong with a state dict, for people; none where every parameter was found.
pub(crate) fn misfit(fit: &Fit) -> Option<String> {
    if fit.missing.is_empty() && fit.mismatched.is_empty() {
        return None;
    }
    let mut parts = differences(fit);
    if let Some((found, wanted, count)) = fit.renamed() {
        parts.push(format!("{count} fit once {found:?} at the beginning is {wanted:?}, see `occam convert`"));
    }
    Some(format!("these weights are of another model ({})", parts.join("; ")))
}

/// How many parameters a state dict had, and what it had not or had besides, for people.
pub(crate) fn summary(fit: &Fit) -> String {
    let found = fit.matched.len();
    let all = found + fit.missing.len() + fit.mismatched.len();
    let count =
        if found == all { format!("all {all} parameters") } else { format!("{found} of {all} parameters") };
    [vec![count], differences(fit)].concat().join("; ")
}

/// What is missing, of another shape, and not of the model.
fn differences(fit: &Fit) -> Vec<String> {
    fn some(list: &[String]) -> String {
        let mut text = list.iter().take(5).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        if list.len() > 5 {
            text.push_str(&format!(" and {} more", list.len() - 5));
        }
        text
    }
    let shapes =
        fit.mismatched.iter().map(|(n, want, found)| format!("{n}: {want} wanted, {found} found")).collect();
    let kinds: [(&str, Vec<String>); 3] = [
        ("missing", fit.missing.clone()),
        ("of another shape", shapes),
        ("not of this model", fit.unexpected.clone()),
    ];
    let found = kinds.into_iter().filter(|(_, list)| !list.is_empty());
    found.map(|(what, list)| format!("{what}: {}", some(&list))).collect()
}

/// Gradients by full parameter name.
pub type GradientMap = IndexMap<String, Tensor>;
