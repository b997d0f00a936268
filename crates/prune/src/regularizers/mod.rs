//! Penalties that make channels small before they go: what is added to the gradients of a training. One a file.
//!
//! A penalty is a factor by channel on the weights that a channel is on, so it needs no tape: the gradient of
//! `½ · f · ‖w‖²` is `f · w`, that of `f · ‖w‖₁` is `f · sign w`.

mod bn_scale;
mod group_norm;
mod growing;
mod learner;

pub use bn_scale::BNScaleRegularizer;
pub use group_norm::GroupNormRegularizer;
pub use growing::GrowingRegularizer;
pub(crate) use learner::Learner;

use occam_config::{Build, Registry};
use occam_graph::{ValueId, Weights};
use occam_space::Unit;

use crate::Result;
use crate::importance::Subject;

/// What of an element is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The element.
    Value,
    /// Its sign, 0 at 0.
    Sign,
}

/// A term of a gradient: at position `i` of `axis` of a parameter `factors[i]` times its elements or their signs.
#[derive(Debug, Clone, PartialEq)]
pub struct Penalty {
    /// The parameter.
    pub value: ValueId,
    /// The axis that channels are on.
    pub axis: usize,
    /// By position on it.
    pub factors: Vec<f32>,
    /// What they multiply.
    pub of: Of,
}

/// Where a penalized training stands.
pub struct Moment<'a> {
    /// Steps with this penalty before.
    pub step: u64,
    /// By unit and channel whether it will go, by the training's target; none where it has no target.
    pub leaving: Option<&'a [Vec<bool>]>,
}

/// A way to make channels small.
pub trait Regularizer: Send {
    /// Its name in configs.
    fn name(&self) -> &'static str;

    /// Whether it needs to know which channels will go.
    fn needs_target(&self) -> bool {
        false
    }

    /// What is added to the gradients in this step.
    ///
    /// # Errors
    /// A weight is missing or no finite number, or there is nothing that could be penalized.
    fn penalties(&mut self, subject: &Subject<'_>, moment: &Moment<'_>) -> Result<Vec<Penalty>>;

    /// Forgets what it knows of channels, since some are gone.
    fn narrowed(&mut self) {}

    /// What it knows of channels, by names of units.
    fn state(&self) -> Weights {
        Weights::new()
    }

    /// Goes on from what [`Regularizer::state`] gave.
    ///
    /// # Errors
    /// It is of another regularizer.
    fn load_state(&mut self, state: &Weights) -> Result<(), String> {
        match state.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("{} keeps no `{name}`", self.name())),
        }
    }
}

/// By position on an axis of `size` elements the factor of the channel that is there; 0 where none is.
fn along(unit: &Unit, member: usize, size: usize, of_channel: impl Fn(usize) -> f32) -> Vec<f32> {
    let mut factors = vec![0f32; size];
    let Some(member) = unit.members.get(member) else { return factors };
    for c in 0..unit.channels {
        for &e in member.of(c) {
            if let Some(f) = factors.get_mut(e as usize) {
                *f = of_channel(c);
            }
        }
    }
    factors
}

/// The penalties on everything that computes, scales or reads a channel of a unit, with a factor by channel.
fn on_weights(subject: &Subject<'_>, of_unit: impl Fn(usize, usize) -> f32) -> Result<Vec<Penalty>> {
    let parts = crate::importance::axes::parts(subject.graph);
    let mut penalties = Vec::new();
    for (u, unit) in subject.trace.units.iter().enumerate().filter(|(_, u)| u.kept_by.is_none()) {
        for (m, member) in unit.members.iter().enumerate() {
            if !parts.contains_key(&member.value) {
                continue;
            }
            let size = size_of(subject, member)?;
            let factors = along(unit, m, size, |c| of_unit(u, c));
            penalties.push(Penalty { value: member.value, axis: member.axis, factors, of: Of::Value });
        }
    }
    Ok(penalties)
}

/// The number of elements on the axis of a member.
fn size_of(subject: &Subject<'_>, member: &occam_space::Member) -> Result<usize> {
    let fact = &subject.graph.value(member.value)?.fact;
    Ok(fact.shape.get(member.axis).and_then(occam_graph::Dim::known).unwrap_or(0))
}

const TABLE: &[(&str, Build<dyn Regularizer>)] = &[
    ("BNScaleRegularizer", bn_scale::build),
    ("GroupNormRegularizer", group_norm::build),
    ("GrowingRegularizer", growing::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Regularizer>("regularizer", TABLE);
}
