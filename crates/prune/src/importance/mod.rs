//! How much each channel matters: one criterion a file.
//!
//! To add one: its file here, and its line in `TABLE`. Most look at weights alone; those that need gradients or values of a run
//! get them of one batch after the other ([`Record`]), and the importance is the mean over all images.

mod activation;
pub(crate) mod axes;
mod bn_scale;
mod fisher;
mod fpgm;
mod group_norm;
mod hessian;
mod lamp;
mod magnitude;
mod normalizer;
mod observe;
mod random;
mod taylor;
mod taylor_gate;
mod taylor_group;

use occam_graph::{Graph, Weights};
use occam_space::Trace;

use crate::{Error, Result};
pub use normalizer::Normalizer;
pub use observe::{Record, observe};

/// By unit of a trace and channel: how much it matters. Units that must stay have none.
pub type Scores = Vec<Vec<f64>>;

/// What a criterion may look at.
pub struct Subject<'a> {
    /// The model.
    pub graph: &'a Graph,
    /// Its weights.
    pub weights: &'a Weights,
    /// Its units.
    pub trace: &'a Trace,
    /// Of everything that is drawn by chance.
    pub seed: u64,
}

/// What a criterion needs of a run beside weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Gradients of the loss of a batch with respect to the weights.
    Gradients,
    /// Those of the loss of single images.
    ImageGradients,
    /// Gradients with respect to factors on what layers read, by image.
    Gates,
    /// The sizes of what layers read.
    Values,
}

/// How a criterion is computed.
enum Rule {
    Weights(fn(&Subject<'_>) -> Result<Scores>),
    Data(Needs, fn(&Subject<'_>, &Record) -> Result<Scores>),
}

/// A criterion.
pub struct Importance {
    /// Its name on the command line and in configs.
    pub name: &'static str,
    /// What it computes, in one line.
    pub about: &'static str,
    rule: Rule,
}

const fn of_weights(
    name: &'static str,
    about: &'static str,
    score: fn(&Subject<'_>) -> Result<Scores>,
) -> Importance {
    Importance { name, about, rule: Rule::Weights(score) }
}

const fn of_data(
    name: &'static str,
    about: &'static str,
    needs: Needs,
    score: fn(&Subject<'_>, &Record) -> Result<Scores>,
) -> Importance {
    Importance { name, about, rule: Rule::Data(needs, score) }
}

/// All criteria.
const TABLE: &[Importance] = &[
    of_weights("group-l2", group_norm::ABOUT_L2, group_norm::l2),
    of_weights("group-l1", group_norm::ABOUT_L1, group_norm::l1),
    of_weights("l2", magnitude::ABOUT_L2, magnitude::l2),
    of_weights("l1", magnitude::ABOUT_L1, magnitude::l1),
    of_weights("bn-scale", bn_scale::ABOUT, bn_scale::score),
    of_weights("fpgm", fpgm::ABOUT, fpgm::score),
    of_weights("lamp", lamp::ABOUT, lamp::score),
    of_data("taylor", taylor::ABOUT, Needs::Gradients, taylor::score),
    of_data("taylor-group", taylor_group::ABOUT, Needs::Gradients, taylor_group::score),
    of_data("taylor-gate", taylor_gate::ABOUT, Needs::Gates, taylor_gate::score),
    of_data("fisher", fisher::ABOUT, Needs::Gates, fisher::score),
    of_data("hessian", hessian::ABOUT, Needs::ImageGradients, hessian::score),
    of_data("activation", activation::ABOUT, Needs::Values, activation::score),
    of_weights("random", random::ABOUT, random::score),
];

impl Importance {
    /// All criteria, the default first.
    pub fn all() -> &'static [Importance] {
        TABLE
    }

    /// The criterion called `name`.
    pub fn find(name: &str) -> Option<&'static Importance> {
        TABLE.iter().find(|i| i.name == name)
    }

    /// What it needs beside weights; none where it can do without images.
    pub fn needs(&self) -> Option<Needs> {
        match self.rule {
            Rule::Weights(_) => None,
            Rule::Data(needs, _) => Some(needs),
        }
    }

    /// Refuses a criterion that is measured on images, where weights alone are looked at.
    pub(crate) fn needs_no_images(&self) -> Result<(), occam_config::Error> {
        if self.needs().is_none() {
            return Ok(());
        }
        let error = occam_config::Error::new(format!("importance `{}` is measured on images", self.name));
        Err(error
            .with_help("`occam prune --data` does that; here weights alone are looked at, as group-l2 does"))
    }

    /// The importance of every channel that can be pruned.
    ///
    /// # Errors
    /// A weight is missing or no finite number, a unit has nothing of what the criterion looks at, or it needs images:
    /// [`observe`] computes it then.
    pub fn score(&self, subject: &Subject<'_>) -> Result<Scores> {
        match self.rule {
            Rule::Weights(score) => score(subject),
            Rule::Data(..) => Err(Error::Data(self.name)),
        }
    }

    /// The importance by one batch.
    fn score_on(&self, subject: &Subject<'_>, record: &Record) -> Result<Scores> {
        match self.rule {
            Rule::Weights(score) => score(subject),
            Rule::Data(_, score) => score(subject, record),
        }
    }
}
