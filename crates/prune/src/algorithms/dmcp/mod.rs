//! Widths are learned as a Markov chain (Guo et al., DMCP: Differentiable Markov Channel Pruning for Neural Networks, 2020,
//! arXiv:2005.03354).

mod config;
mod flops_loss;
mod gates;
mod markov;
mod plan;

pub use flops_loss::FlopsLoss;
pub use markov::{Groups, Rates};

pub(super) use config::build;

use indexmap::IndexMap;
use occam_config::Value;
use occam_data::streams::Draw;
use occam_data::{Batch, Seed};
use occam_distill::{Distiller, Observed, Side};
use occam_engine::{Mode, Request, Tensor, collect};
use occam_graph::Graph;
use occam_space::SmoothMacs;
use occam_space::subnet::Choice;
use occam_train::{
    Algorithm, Error, GradientMap, Model, Result, Step, StepContext, UnitState, scalars, total,
};
use occam_zoo::{Losses, Sites};

use super::unit_states;
use crate::Supernet;
use crate::mutators::{DmcpChannelMutator, Units};
use crate::shaped::failed;
use crate::supernet::bindings;
use gates::Gates;
use plan::{Kind, Part, Strategy};

/// Prefix of the network's parameters.
const PREFIX: &str = "architecture.";
/// Prefix of the architecture parameters.
const MUTATOR: &str = "mutator.";

/// How wide one unit may be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Width {
    /// As wide as it is.
    Fixed(usize),
    /// As the parameter of that name says.
    Learned { name: String, groups: Groups },
}

/// What a model of some widths is to cost.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Target {
    /// Multiply-accumulates of one image, in millions.
    millions: f64,
    loss: FlopsLoss,
    weight: f64,
}

/// `DMCP(distiller, architecture, mutator_cfg, ..)`: trains subnets of all widths, and the widths themselves, of which each unit's are
/// a Markov chain (see [`Groups`]), towards a target of multiply-accumulates.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model, or `dict(cfg_path=..)` |
/// | `distiller` | | what the subnets learn from the one of all channels; see [`ConfigurableDistiller`](occam_distill::ConfigurableDistiller) |
/// | `mutator_cfg` | `DMCPChannelMutator` | which units there are and between which widths; see [`DmcpChannelMutator`] |
/// | `strategy` | `['max', 'min', 'arch_random']` | the subnets of an iteration, each of which moves the weights once |
/// | `arch_start_train` | 10000 | iterations before the architecture learns |
/// | `arch_train_freq` | 500 | iterations from one of its updates to the next |
/// | `distillation_times` | 20000 | iterations before subnets learn from the one of all channels |
/// | `target_flops` | 150 | multiply-accumulates of one image that are wanted, in millions |
/// | `flops_loss_type` | `'log_l1'` | how a distance to them counts; see [`FlopsLoss`] |
/// | `flop_loss_weight` | 1.0 | factor of that loss |
/// | `data_preprocessor` | the architecture's | how images are prepared |
///
/// Kinds of subnets: `max`, `min`; `arch_random`, drawn from the chains once the architecture learns, and of equally likely widths
/// before; `scheduled_random`, of equally likely widths with the chance `0.9999^i` in iteration `i`, else as `arch_random`. Their
/// losses are told as `max_subnet1.*`, `min_subnet1.*`, `direct_subnet1.*` and `random_subnet1.*`. `max` comes first where the others
/// learn from it.
///
/// An update of the architecture has two steps, with the running statistics of normalizations. First the loss of the
/// network of all channels, where what normalizations give is multiplied by the chances that each channel stays (`arch.loss`);
/// then the loss of the expected multiply-accumulates (`flops.loss`), a function of the expected widths
/// ([`SmoothMacs`]) at the size of the training's images. `expected_macs` tells them, in millions.
///
/// `optim_wrapper` has an optimizer for `architecture` and one for `mutator` (`constructor='SeparateOptimWrapperConstructor'`).
/// The model that is measured and exported is the subnet of expected widths, rounded. [`DmcpSubnetHook`](crate::hooks::DmcpSubnetHook)
/// writes subnets near the target, to be trained on their own.
///
/// Differences from the original: multiply-accumulates are those of convolutions and linear layers of the whole model and of the
/// images that it is trained with, where the original counts the backbone's at 224 x 224, and additions of normalization,
/// activation and pooling too; normalizations are multiplied by chances in updates of the architecture alone, where the original
/// goes on to do so in those of the weights; the losses are mended (see [`FlopsLoss`]); a target that no widths reach is refused.
///
/// Parameters are called `architecture.*` and `mutator.arch_params.*`, by the number of a unit that can be pruned.
pub struct Dmcp {
    /// All channels, which are trained.
    model: Model,
    /// The architecture parameters.
    arch: Model,
    /// What is measured and exported.
    small: Model,
    supernet: Supernet,
    mutator: Box<DmcpChannelMutator>,
    units: Units,
    widths: Vec<Width>,
    gates: Gates,
    distiller: Box<dyn Distiller>,
    strategy: Strategy,
    target: Target,
    data_preprocessor: Option<Value>,
    warnings: Vec<String>,
    /// The cost of one image of a size, once one was seen.
    macs: Option<([usize; 3], SmoothMacs)>,
    /// What is left to do in the present iteration.
    parts: Vec<Part>,
    /// What the network of all channels computed in the present iteration.
    taught: Option<Observed>,
}

impl Dmcp {
    /// The architecture parameter of that name.
    fn alpha(&self, name: &str) -> Result<Vec<f32>> {
        match self.arch.params.get(name) {
            Some(param) => Ok(param.tensor.to_f32()?),
            None => Err(Error::Other(format!("there is no architecture parameter `{name}`"))),
        }
    }

    /// By unit what `of` says of its chain and parameter, and `fixed` where it has none.
    fn each<T>(&self, fixed: impl Fn(usize) -> T, mut of: impl FnMut(Groups, &[f32]) -> T) -> Result<Vec<T>> {
        let one = |width: &Width| match width {
            Width::Fixed(channels) => Ok(fixed(*channels)),
            Width::Learned { name, groups } => Ok(of(*groups, &self.alpha(name)?)),
        };
        self.widths.iter().map(one).collect()
    }

    /// As units have them: `divisor` and the other arguments of the units count.
    fn allowed(&self, widths: &[usize]) -> Vec<usize> {
        let channels = self.supernet.trace().units.iter().map(|u| u.channels);
        let allowed = |((unit, &width), channels): ((&crate::mutators::Unit, &usize), usize)| {
            if width < channels { unit.args.width(Choice::Number(width), channels) } else { channels }
        };
        self.units.iter().zip(widths).zip(channels).map(allowed).collect()
    }

    /// The expected width of every unit.
    ///
    /// # Errors
    /// The device failed.
    pub fn expected(&self) -> Result<Vec<f64>> {
        self.each(|n| n as f64, |groups, alpha| groups.expected(alpha))
    }

    /// The expected widths as whole channels.
    ///
    /// # Errors
    /// The device failed.
    pub fn expected_widths(&self) -> Result<Vec<usize>> {
        let rounded: Vec<usize> = self.expected()?.into_iter().map(|w| w.round() as usize).collect();
        Ok(self.allowed(&rounded))
    }

    /// Widths drawn from the chains.
    ///
    /// # Errors
    /// The device failed.
    pub fn draw(&self, random: &mut impl Draw) -> Result<Vec<usize>> {
        Ok(self.allowed(&self.each(|n| n, |groups, alpha| groups.draw(alpha, random))?))
    }

    fn smooth(&self, image: [usize; 3]) -> Result<SmoothMacs> {
        let graph = self.supernet.graph();
        let bindings = bindings(graph, image).map_err(failed)?;
        SmoothMacs::new(graph, self.supernet.trace(), &bindings).map_err(failed)
    }

    /// Tells how many multiply-accumulates one image of `[channels, height, width]` costs at widths.
    ///
    /// # Errors
    /// The graph has sizes that images do not say.
    pub fn macs_of(&self, image: [usize; 3]) -> Result<impl Fn(&[usize]) -> f64 + use<>> {
        let smooth = self.smooth(image)?;
        Ok(move |widths: &[usize]| smooth.at(&widths.iter().map(|&w| w as f64).collect::<Vec<_>>()).0)
    }

    /// Multiply-accumulates that are wanted.
    pub fn target_macs(&self) -> f64 {
        self.target.millions * 1e6
    }

    /// What a subnet file says of widths.
    pub fn subnet_of(&self, widths: &[usize]) -> serde_json::Value {
        self.mutator.channels.template(self.supernet.trace(), &self.units, widths)
    }

    fn widths_of(&self, kind: Kind, seed: Seed, index: [u64; 2]) -> Result<Vec<usize>> {
        let mut random = seed.stream("dmcp.widths", &index);
        let widths = match kind {
            Kind::Max => self.each(|n| n, |groups, _| groups.channels()),
            Kind::Min => self.each(|n| n, |groups, _| groups.least),
            Kind::Random => self.each(|n| n, |groups, _| groups.uniform(&mut random)),
            Kind::Direct => self.each(|n| n, |groups, alpha| groups.draw(alpha, &mut random)),
        }?;
        Ok(self.allowed(&widths))
    }

    /// The cost of the images of `batch`, which the target must fit.
    fn measure(&mut self, batch: &Batch) -> Result<()> {
        let image = match *batch.inputs.shape() {
            [_, c, h, w] => [c, h, w],
            ref other => return Err(Error::Other(format!("batches of shape {other:?} are no images"))),
        };
        if self.macs.as_ref().is_some_and(|(known, _)| *known == image) {
            return Ok(());
        }
        let macs = self.smooth(image)?;
        let at = |widths: Vec<f64>| macs.at(&widths).0;
        let most = at(self.each(|n| n as f64, |groups, _| groups.channels() as f64)?);
        let least = at(self.each(|n| n as f64, |groups, _| groups.least as f64)?);
        let [c, h, w] = image;
        if !(least..=most).contains(&self.target_macs()) {
            return Err(Error::Other(format!(
                "`target_flops` is {}, but an image of {c}x{h}x{w} costs between {:.3} and {:.3} million multiply-accumulates",
                self.target.millions,
                least / 1e6,
                most / 1e6
            )));
        }
        self.macs = Some((image, macs));
        Ok(())
    }

    fn run(&mut self, part: &Part, number: usize, batch: &Batch, context: &StepContext) -> Result<Step> {
        match part {
            Part::Net { kind, label } => {
                let widths = self.widths_of(*kind, context.seed, [context.iter, number as u64])?;
                self.train_weights(*kind, label, &widths, batch, context)
            }
            Part::Loss => self.learn_from_loss(batch, context),
            Part::Macs => self.learn_from_macs(),
        }
    }

    /// Gradients of the weights by a subnet.
    fn train_weights(
        &mut self,
        kind: Kind,
        label: &str,
        widths: &[usize],
        batch: &Batch,
        context: &StepContext,
    ) -> Result<Step> {
        let side = if kind == Kind::Max { Side::Teacher } else { Side::Student };
        let compared = self.strategy.distills(context.iter) && (kind == Kind::Max || self.taught.is_some());
        let watch = self.distiller.watch(side);
        let subnet = self.supernet.at(widths)?;
        let leaves = self.model.params.leaves();
        let request = if compared { watch.request(Mode::Train) } else { Request::new(Mode::Train) };
        let request = Request { noise: Some(context.noise(&format!("{PREFIX}{label}."))), ..request };
        let mut outputs =
            self.model.forward_by(subnet.executor(), &subnet.bind(&leaves)?, batch, &request)?;
        let mut sites = if compared { watch.sites() } else { Sites::default() };
        let mut losses = self.model.loss(&outputs, batch, &mut sites)?;
        let mut taught = None;
        if compared {
            let observed = watch.gather(&mut outputs, sites, batch, self.model.device())?;
            match &self.taught {
                _ if kind == Kind::Max => taught = Some(observed.detached()),
                Some(teacher) => losses.extend(self.distiller.losses(&observed, teacher)?),
                None => {}
            }
        }
        let values = named(label, &losses, context)?;
        let found = collect(&leaves, &mut total(&losses)?.backward()?);
        let gradients = found.into_iter().map(|(name, g)| (format!("{PREFIX}{name}"), g)).collect();
        subnet.keep(&mut self.model.params, outputs.buffers)?;
        if taught.is_some() {
            self.taught = taught;
        }
        Ok(Step { losses: values, gradients, ..Step::default() })
    }

    /// Gradients of the architecture by the loss of the network with soft pruning.
    fn learn_from_loss(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        let device = self.model.device().clone();
        let gates = self.each(|n| vec![1.0; n], |groups, alpha| groups.gates(alpha))?;
        let mut params = self.model.params.constants();
        let leaves = self.gates.close(&gates, &mut params, &device)?;
        let outputs = self.model.forward(&params, batch, &Request::new(Mode::Eval))?;
        let losses = self.model.loss(&outputs, batch, &mut Sites::default())?;
        let values = named("arch", &losses, context)?;
        let channels: Vec<usize> = gates.iter().map(Vec::len).collect();
        let found = self.gates.gradients(&leaves, &mut total(&losses)?.backward()?, &channels)?;
        let gradients = self.gradients(|unit, groups, alpha| {
            groups.gates_gradient(alpha, found.get(unit).map(Vec::as_slice).unwrap_or_default())
        })?;
        Ok(Step { losses: values, gradients, ..Step::default() })
    }

    /// Gradients of the architecture by the loss of the expected multiply-accumulates.
    fn learn_from_macs(&mut self) -> Result<Step> {
        let Some((_, macs)) = &self.macs else { return Ok(Step::default()) };
        let (expected, slopes) = macs.at(&self.expected()?);
        let Target { millions, loss, weight } = self.target;
        let (value, slope) = loss.at(expected, millions);
        let gradients = self.gradients(|unit, groups, alpha| {
            groups.expected_gradient(alpha, weight * slope * slopes.get(unit).copied().unwrap_or(0.0))
        })?;
        let losses = IndexMap::from([
            ("flops.loss".to_owned(), (value * weight) as f32),
            ("expected_macs".to_owned(), (expected / 1e6) as f32),
        ]);
        Ok(Step { losses, gradients, ..Step::default() })
    }

    /// The gradient of each architecture parameter, as `of` says of its unit.
    fn gradients(&self, of: impl Fn(usize, Groups, &[f32]) -> Vec<f32>) -> Result<GradientMap> {
        let mut gradients = GradientMap::new();
        for (unit, width) in self.widths.iter().enumerate() {
            let Width::Learned { name, groups } = width else { continue };
            let gradient = of(unit, *groups, &self.alpha(name)?);
            let gradient = Tensor::from_f32(&[gradient.len()], gradient, self.model.device())?;
            gradients.insert(format!("{MUTATOR}{name}"), gradient);
        }
        Ok(gradients)
    }
}

/// The values of all terms, under `label`.
fn named(label: &str, losses: &Losses, context: &StepContext) -> Result<IndexMap<String, f32>> {
    let renamed: Losses =
        losses.iter().map(|(name, term)| (format!("{label}.{name}"), term.clone())).collect();
    scalars(&renamed, context)
}

impl Algorithm for Dmcp {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        self.measure(batch)?;
        self.taught = None;
        self.parts = self.strategy.parts(context.iter, context.seed);
        Ok(self.next_part(0, batch, context)?.unwrap_or_default())
    }

    fn next_part(&mut self, part: usize, batch: &Batch, context: &StepContext) -> Result<Option<Step>> {
        match self.parts.get(part).cloned() {
            Some(own) => self.run(&own, part, batch, context).map(Some),
            None => Ok(None),
        }
    }

    fn settle(&mut self) -> Result<()> {
        let selection = self.supernet.first(&self.expected_widths()?).map_err(failed)?;
        let (graph, weights) =
            self.supernet.fixed(&self.model.params.to_weights()?, &selection).map_err(failed)?;
        self.small.reshape(graph, &weights)
    }

    fn units(&self) -> Vec<UnitState> {
        let widths = self.expected_widths().unwrap_or_default();
        unit_states(&self.units, self.supernet.trace(), &widths)
    }

    fn whole(&self) -> Option<&Graph> {
        Some(self.supernet.graph())
    }

    fn subnet(&self) -> Option<serde_json::Value> {
        Some(self.subnet_of(&self.expected_widths().ok()?))
    }

    fn architecture(&self) -> &Model {
        &self.small
    }

    fn models(&self) -> Vec<(&'static str, &Model)> {
        vec![(PREFIX, &self.model), (MUTATOR, &self.arch)]
    }

    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)> {
        vec![(PREFIX, &mut self.model), (MUTATOR, &mut self.arch)]
    }

    fn data_preprocessor(&self) -> Option<&Value> {
        self.data_preprocessor.as_ref()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
