//! A model of a few widths, all trained in every step (Yu et al., Slimmable Neural Networks, 2019, arXiv:1812.08928).

use std::sync::Arc;

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::{Batch, Seed};
use occam_engine::{Mode, Request, collect};
use occam_graph::{Graph, Weights};
use occam_space::{Resources, Selection, kept, slice};
use occam_train::{
    Algorithm, AlgorithmConfig, Env, Error, Form, Group, Model, Picks, Result, Space, Step, StepContext,
    scalars, supervised, total, without_chance,
};
use occam_zoo::{Losses, Sites, TaskModel};
use serde::Deserialize;

use super::average::Average;
use crate::mutators::{ChannelMutator, Units, subnets};
use crate::shaped::failed;
use crate::supernet::Switch;
use crate::{Subnet, Supernet};

/// Prefix of the model's parameters.
const PREFIX: &str = "architecture.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    architecture: Value,
    mutator: Value,
    #[serde(default = "none")]
    deploy_index: i64,
    #[serde(default)]
    data_preprocessor: Option<Value>,
    #[serde(default)]
    init_cfg: Option<Value>,
}

fn none() -> i64 {
    -1
}

struct Config {
    keys: Keys,
    mutator: Box<ChannelMutator>,
    /// The whole dict, for the place of errors.
    value: Value,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    let keys: Keys = value.parse()?;
    super::no_init_cfg(value, keys.init_cfg.as_ref())?;
    let mutator = registry.build::<ChannelMutator>(&keys.mutator)?;
    Ok(Box::new(Config { keys, mutator, value: value.clone() }))
}

/// What a config makes of a model.
struct Plan {
    net: Supernet,
    units: Units,
    /// By subnet the width of every unit.
    widths: Vec<Vec<usize>>,
    /// The subnet that is deployed.
    deploy: Option<usize>,
}

impl Config {
    fn plan(&self, task: &TaskModel) -> Result<Plan, ConfigError> {
        let net = super::supernet(task, &self.keys.architecture)?;
        let units = self.mutator.units(net.trace())?;
        let place = |key: &str| self.value.get(key).unwrap_or(&self.value);
        let widths = subnets(&self.mutator, &units, net.trace())
            .map_err(|message| ConfigError::new(message).at(place("mutator")))?;
        let index = self.keys.deploy_index;
        let deploy = match usize::try_from(index) {
            Ok(i) if i < widths.len() => Some(i),
            Err(_) if index == -1 => None,
            _ => {
                let last = widths.len().saturating_sub(1);
                let message =
                    format!("there is no subnet {index}: `deploy_index` is from 0 to {last}, or -1");
                return Err(ConfigError::new(message).at(place("deploy_index")));
            }
        };
        Ok(Plan { net, units, widths, deploy })
    }
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let mut task = env.task_model(&self.keys.architecture)?;
        let Plan { net, units, widths, deploy } = self.plan(&task)?;
        let data_preprocessor = self.keys.data_preprocessor.or_else(|| task.data_preprocessor.clone());
        let switched = |widths: &[usize]| -> Result<Switched> {
            let subnet = net.at(widths)?;
            let switch = Switch::of(net.graph(), subnet.graph())?;
            Ok(Switched { subnet, switch })
        };
        if let Some(widths) = deploy.and_then(|i| widths.get(i)) {
            let Switched { subnet, switch } = switched(widths)?;
            let task = TaskModel { graph: Graph::clone(subnet.graph()), ..task };
            return Ok(Box::new(Deployed {
                model: Model::new(task, env.seed, &env.device)?,
                selection: subnet.selection().clone(),
                subnet_file: self.mutator.template(net.trace(), &units, widths),
                net,
                switch,
                data_preprocessor,
            }));
        }
        let subnets: Vec<Switched> = widths.iter().map(|w| switched(w)).collect::<Result<_>>()?;
        for Switched { subnet, switch } in &subnets {
            switch.add_to(&mut task, subnet.graph())?;
        }
        let mut warnings = Vec::new();
        if !subnets.iter().any(|s| s.subnet.selection().is_all()) {
            warnings.push(
                "no subnet has all channels: use SlimmableValLoop, since ValLoop measures the whole model, \
                 whose normalizations are not trained"
                    .into(),
            );
        }
        let groups = vec![Group { name: "subnet".into(), choices: subnets.len() }];
        Ok(Box::new(SlimmableNetwork {
            model: Model::new(task, env.seed, &env.device)?,
            net,
            mutator: self.mutator,
            units,
            widths,
            subnets,
            groups,
            data_preprocessor,
            warnings,
        }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        let plan = self.plan(&env.task_model(&self.keys.architecture)?)?;
        plan.widths.iter().try_for_each(|widths| plan.net.at(widths).map(drop))
    }
}

/// A subnet and its own normalizations.
struct Switched {
    subnet: Arc<Subnet>,
    switch: Switch,
}

/// Trains a model at a few widths, all of them in every step.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model with all channels, or `dict(cfg_path=..)` |
/// | `mutator` | | the subnets: a `SlimmableChannelMutator`, whose units' `candidate_choices` have an entry for each; see [`subnets`] |
/// | `deploy_index` | -1 | the subnet that alone is trained, measured and exported, as a small model; -1: all of them |
/// | `data_preprocessor` | the architecture's | how images are prepared |
///
/// Convolutions and linear layers are shared: a subnet has the first channels of each unit. Batch normalizations are not: a
/// subnet with `n` of a normalization's channels has weights and statistics of its own, called
/// `<module>.candidate_bn.<n>.*` in checkpoints as in the original, where all channels are those of the module. The losses of
/// subnet `i` are called `subnet_<i>.*`; the gradients of all are averaged, with one step of the optimizer.
///
/// With `deploy_index` the model is the subnet, whose parameters have the names of the architecture. It takes checkpoints of
/// such models, and those of trainings of all subnets, of which it takes its part; the original takes the former alone.
///
/// Parameters are called `architecture.*`.
pub struct SlimmableNetwork {
    model: Model,
    net: Supernet,
    mutator: Box<ChannelMutator>,
    units: Units,
    widths: Vec<Vec<usize>>,
    subnets: Vec<Switched>,
    groups: Vec<Group>,
    data_preprocessor: Option<Value>,
    warnings: Vec<String>,
}

impl SlimmableNetwork {
    fn index(&self, picks: &[usize]) -> Result<usize> {
        match picks {
            &[i] if i < self.subnets.len() => Ok(i),
            _ => Err(Error::Other(format!("there is no subnet {picks:?}"))),
        }
    }

    fn widths(&self, picks: &[usize]) -> Result<&[usize]> {
        Ok(self.widths.get(self.index(picks)?).map(Vec::as_slice).unwrap_or_default())
    }
}

impl Algorithm for SlimmableNetwork {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        let mut average = Average::over(self.subnets.len());
        let mut step = Step::default();
        for (i, Switched { subnet, switch }) in self.subnets.iter().enumerate() {
            let noise = context.noise(&format!("{PREFIX}subnet_{i}."));
            let request = Request { noise: Some(noise), ..Request::new(Mode::Train) };
            let leaves = self.model.params.leaves();
            let bound = switch.bind(subnet, &leaves)?;
            let outputs = self.model.forward_by(subnet.executor(), &bound, batch, &request)?;
            let losses = self.model.loss(&outputs, batch, &mut Sites::default())?;
            let named: Losses =
                losses.iter().map(|(n, term)| (format!("subnet_{i}.{n}"), term.clone())).collect();
            step.losses.extend(scalars(&named, context)?);
            drop(named);
            let mut gradients = average.share(&total(&losses)?)?.backward()?;
            average.add(PREFIX, collect(&leaves, &mut gradients))?;
            subnet.keep(&mut self.model.params, switch.rename(outputs.buffers))?;
        }
        step.gradients = average.into_gradients();
        Ok(step)
    }

    fn architecture(&self) -> &Model {
        &self.model
    }

    fn models(&self) -> Vec<(&'static str, &Model)> {
        vec![(PREFIX, &self.model)]
    }

    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)> {
        vec![(PREFIX, &mut self.model)]
    }

    fn data_preprocessor(&self) -> Option<&Value> {
        self.data_preprocessor.as_ref()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn space(&self) -> Option<&dyn Space> {
        Some(self)
    }

    fn exported(&self) -> Result<Option<(Graph, Weights)>> {
        let last = self.subnets.len().saturating_sub(1);
        let error = ConfigError::new(format!("a model of {} widths is exported one at a time", last + 1));
        Err(error.with_help(format!("set `model.deploy_index` to a subnet from 0 to {last}")).into())
    }
}

impl Space for SlimmableNetwork {
    fn groups(&self) -> &[Group] {
        &self.groups
    }

    fn kinds(&self, _: Seed) -> Vec<(String, Picks)> {
        (0..self.subnets.len()).map(|i| (format!("subnet_{i}"), vec![i])).collect()
    }

    fn form(&self, picks: &[usize]) -> Result<Form> {
        let refuse = || Error::Other(format!("there is no subnet {picks:?}"));
        let Switched { subnet, switch } = self.subnets.get(self.index(picks)?).ok_or_else(refuse)?;
        let params = switch.bind(subnet, &self.model.params.constants())?;
        Ok(Form { executor: without_chance(subnet.executor())?, params, mode: Mode::Eval })
    }

    fn resources(&self, picks: &[usize], image: [usize; 3]) -> Result<Resources> {
        self.net.resources(self.widths(picks)?, image).map_err(failed)
    }

    fn subnet(&self, picks: &[usize]) -> Result<serde_json::Value> {
        Ok(self.mutator.template(self.net.trace(), &self.units, self.widths(picks)?))
    }
}

/// One subnet alone.
struct Deployed {
    model: Model,
    net: Supernet,
    selection: Selection,
    switch: Switch,
    subnet_file: serde_json::Value,
    data_preprocessor: Option<Value>,
}

impl Deployed {
    /// The subnet's part of the weights of all subnets, by bare names; none where they are not these.
    fn part(&self, all: &Weights) -> Result<Option<Weights>> {
        let kept = kept(self.net.graph(), self.net.trace(), &self.selection).map_err(failed)?;
        let mut part = Weights::new();
        for (name, param) in self.model.params.iter() {
            let array = match all.get(self.switch.name(name)) {
                Some(array) => array,
                None => return Ok(None),
            };
            let own = match kept.get(name).filter(|_| array.shape() != param.tensor.shape()) {
                Some(axes) => slice(array, axes).map_err(failed)?,
                None => array.clone(),
            };
            part.insert(name.to_owned(), own);
        }
        Ok(Some(part))
    }
}

impl Algorithm for Deployed {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        supervised(&mut self.model, PREFIX, batch, context)
    }

    fn accept(&self, weights: &Weights) -> Result<Option<Weights>> {
        let bare = |(name, a): (&String, &occam_graph::Array)| {
            (name.strip_prefix(PREFIX).unwrap_or(name).to_owned(), a.clone())
        };
        let all: Weights = weights.iter().map(bare).collect();
        if occam_graph::fit(self.model.graph(), &all)?.mismatched.is_empty() {
            return Ok(None);
        }
        let part = self.part(&all)?;
        Ok(part.map(|p| p.into_iter().map(|(name, a)| (format!("{PREFIX}{name}"), a)).collect()))
    }

    fn architecture(&self) -> &Model {
        &self.model
    }

    fn models(&self) -> Vec<(&'static str, &Model)> {
        vec![(PREFIX, &self.model)]
    }

    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)> {
        vec![(PREFIX, &mut self.model)]
    }

    fn data_preprocessor(&self) -> Option<&Value> {
        self.data_preprocessor.as_ref()
    }

    fn subnet(&self) -> Option<serde_json::Value> {
        Some(self.subnet_file.clone())
    }
}
