//! A supernet trained by the sandwich rule, from which widths are chosen later (Yu and Huang, AutoSlim, 2019,
//! arXiv:1903.11728).

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::streams::Draw;
use occam_data::{Batch, Seed};
use occam_distill::{Distiller, DistillerConfig, Observed, Side, Subject};
use occam_engine::{Mode, Request, collect};
use occam_space::Resources;
use occam_train::{
    Algorithm, AlgorithmConfig, Env, Error, Form, Group, Model, Picks, Result, Space, Step, StepContext,
    scalars, total, without_chance,
};
use occam_zoo::{Losses, TaskModel};
use serde::Deserialize;

use super::average::Average;
use crate::Supernet;
use crate::mutators::{ChannelMutator, OneShot, Units};
use crate::shaped::failed;

/// Prefix of the model's parameters.
const PREFIX: &str = "architecture.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    architecture: Value,
    mutator: Value,
    distiller: Value,
    #[serde(default, alias = "bn_training_mode")]
    norm_training: bool,
    #[serde(default = "two")]
    num_random_samples: usize,
    #[serde(default)]
    data_preprocessor: Option<Value>,
    #[serde(default)]
    init_cfg: Option<Value>,
}

fn two() -> usize {
    2
}

struct Config {
    keys: Keys,
    mutator: Box<ChannelMutator>,
    distiller: Box<dyn DistillerConfig>,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    let keys: Keys = value.parse()?;
    super::no_init_cfg(value, keys.init_cfg.as_ref())?;
    let mutator = registry.build::<ChannelMutator>(&keys.mutator)?;
    let distiller = registry.build::<dyn DistillerConfig>(&keys.distiller)?;
    Ok(Box::new(Config { keys, mutator, distiller }))
}

/// What a config makes of a model.
struct Plan {
    net: Supernet,
    units: Units,
    space: OneShot,
}

impl Config {
    fn plan(&self, task: &TaskModel) -> Result<Plan, ConfigError> {
        let net = super::supernet(task, &self.keys.architecture)?;
        let units = self.mutator.units(net.trace())?;
        let space = OneShot::new(&self.mutator, &units, net.trace());
        let space = space.map_err(|message| ConfigError::new(message).at(&self.keys.mutator))?;
        Ok(Plan { net, units, space })
    }
}

fn distiller(config: Box<dyn DistillerConfig>, task: &TaskModel) -> Result<Box<dyn Distiller>, ConfigError> {
    let subject = Subject::new(&task.graph, &*task.task);
    config.build(&subject, &subject)
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let task = env.task_model(&self.keys.architecture)?;
        let Plan { net, units, space } = self.plan(&task)?;
        let distiller = distiller(self.distiller, &task)?;
        let mut warnings = distiller.warnings().to_vec();
        if !distiller.teaches(Side::Student) {
            warnings.push("no distillation loss depends on the subnets: they learn from labels alone".into());
        }
        let data_preprocessor = self.keys.data_preprocessor.or_else(|| task.data_preprocessor.clone());
        Ok(Box::new(AutoSlim {
            model: Model::new(task, env.seed, &env.device)?,
            net,
            mutator: self.mutator,
            units,
            space,
            distiller,
            norm_training: self.keys.norm_training,
            num_random_samples: self.keys.num_random_samples,
            data_preprocessor,
            warnings,
        }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        self.plan(&env.task_model(&self.keys.architecture)?)?;
        Ok(())
    }
}

/// Trains a model at many widths at once, all with one set of weights.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model with all channels, or `dict(cfg_path=..)` |
/// | `mutator` | | its units and their widths: a `OneShotChannelMutator`; see [`OneShot`] |
/// | `distiller` | | what the narrower subnets learn from the widest: a `ConfigurableDistiller` whose teacher is the widest subnet |
/// | `num_random_samples` | 2 | subnets of random widths in each step |
/// | `norm_training` | False | whether loops that measure subnets normalize by the statistics of the batch; the original's old configs call it `bn_training_mode` |
/// | `data_preprocessor` | the architecture's | how images are prepared |
///
/// The sandwich rule: each step trains the widest subnet by its own loss, then the narrowest and `num_random_samples` others by
/// their own loss and by the distillation loss to what the widest computed, of which no gradient flows to the teacher. Their
/// gradients are averaged, with one step of the optimizer. Losses are called `max_subnet.*`, `min_subnet.*` and
/// `random0_subnet.*`. Each subnet moves the running statistics of the channels that it has, in this order; since these are
/// those of no subnet then, [`SubnetValLoop`](crate::loops::SubnetValLoop) computes them anew.
///
/// Widths are drawn from a stream of the step, so a resumed run draws what an uninterrupted one does. Parameters are called
/// `architecture.*`. What is exported, and measured by other loops, is the whole model.
pub struct AutoSlim {
    model: Model,
    net: Supernet,
    mutator: Box<ChannelMutator>,
    units: Units,
    space: OneShot,
    distiller: Box<dyn Distiller>,
    norm_training: bool,
    num_random_samples: usize,
    data_preprocessor: Option<Value>,
    warnings: Vec<String>,
}

impl AutoSlim {
    /// The subnets of a step or a validation: the widest, the narrowest, and others from `stream`.
    fn sandwich(&self, mut stream: impl Draw) -> Vec<(String, Picks)> {
        let mut kinds = vec![("max".to_owned(), self.space.max()), ("min".to_owned(), self.space.min())];
        for i in 0..self.num_random_samples {
            kinds.push((format!("random{i}"), self.space.random(&mut stream)));
        }
        kinds
    }

    fn widths(&self, picks: &[usize]) -> Result<Vec<usize>> {
        let refuse = || Error::Other(format!("the channel units have no choices {picks:?}"));
        self.space.widths(picks).ok_or_else(refuse)
    }
}

impl Algorithm for AutoSlim {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        let kinds = self.sandwich(context.seed.stream("autoslim.widths", &[context.iter]));
        let mut average = Average::over(kinds.len());
        let mut step = Step::default();
        let mut teacher: Option<Observed> = None;
        for (kind, picks) in kinds {
            let subnet = self.net.at(&self.widths(&picks)?)?;
            let watch = match teacher {
                None => self.distiller.watch(Side::Teacher),
                Some(_) => self.distiller.watch(Side::Student),
            };
            let noise = context.noise(&format!("{PREFIX}{kind}."));
            let request = Request { noise: Some(noise), ..watch.request(Mode::Train) };
            let leaves = self.model.params.leaves();
            let bound = subnet.bind(&leaves)?;
            let mut outputs = self.model.forward_by(subnet.executor(), &bound, batch, &request)?;
            let mut sites = watch.sites();
            let mut losses = self.model.loss(&outputs, batch, &mut sites)?;
            let observed = watch.gather(&mut outputs, sites, batch, self.model.device())?;
            match &teacher {
                None => teacher = Some(observed.detached()),
                Some(teacher) => losses.extend(self.distiller.losses(&observed, teacher)?),
            }
            let named: Losses =
                losses.iter().map(|(n, term)| (format!("{kind}_subnet.{n}"), term.clone())).collect();
            step.losses.extend(scalars(&named, context)?);
            drop(named);
            let mut gradients = average.share(&total(&losses)?)?.backward()?;
            average.add(PREFIX, collect(&leaves, &mut gradients))?;
            subnet.keep(&mut self.model.params, outputs.buffers)?;
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
}

impl Space for AutoSlim {
    fn groups(&self) -> &[Group] {
        self.space.groups()
    }

    fn kinds(&self, seed: Seed) -> Vec<(String, Picks)> {
        let kinds = self.sandwich(seed.stream("autoslim.validation", &[]));
        kinds.into_iter().map(|(kind, picks)| (format!("{kind}_subnet"), picks)).collect()
    }

    fn form(&self, picks: &[usize]) -> Result<Form> {
        let subnet = self.net.at(&self.widths(picks)?)?;
        let mode = if self.norm_training { Mode::Train } else { Mode::Eval };
        let params = subnet.bind(&self.model.params.constants())?;
        Ok(Form { executor: without_chance(subnet.executor())?, params, mode })
    }

    fn resources(&self, picks: &[usize], image: [usize; 3]) -> Result<Resources> {
        self.net.resources(&self.widths(picks)?, image).map_err(failed)
    }

    fn subnet(&self, picks: &[usize]) -> Result<serde_json::Value> {
        Ok(self.mutator.template(self.net.trace(), &self.units, &self.widths(picks)?))
    }
}
