//! How much each channel matters: one criterion a file.
//!
//! To add one: its file here, and its line in `TABLE`.

pub(crate) mod axes;
mod bn_scale;
mod fpgm;
mod group_norm;
mod lamp;
mod magnitude;
mod normalizer;
mod random;

use occam_graph::{Graph, Weights};
use occam_space::Trace;

use crate::Result;
pub use normalizer::Normalizer;

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

/// A criterion.
pub struct Importance {
    /// Its name on the command line and in configs.
    pub name: &'static str,
    /// What it computes, in one line.
    pub about: &'static str,
    score: fn(&Subject<'_>) -> Result<Scores>,
}

/// All criteria.
const TABLE: &[Importance] = &[
    Importance { name: "group-l2", about: group_norm::ABOUT_L2, score: group_norm::l2 },
    Importance { name: "group-l1", about: group_norm::ABOUT_L1, score: group_norm::l1 },
    Importance { name: "l2", about: magnitude::ABOUT_L2, score: magnitude::l2 },
    Importance { name: "l1", about: magnitude::ABOUT_L1, score: magnitude::l1 },
    Importance { name: "bn-scale", about: bn_scale::ABOUT, score: bn_scale::score },
    Importance { name: "fpgm", about: fpgm::ABOUT, score: fpgm::score },
    Importance { name: "lamp", about: lamp::ABOUT, score: lamp::score },
    Importance { name: "random", about: random::ABOUT, score: random::score },
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

    /// The importance of every channel that can be pruned.
    ///
    /// # Errors
    /// A weight is missing or no finite number, or a unit has nothing of what the criterion looks at.
    pub fn score(&self, subject: &Subject<'_>) -> Result<Scores> {
        (self.score)(subject)
    }
}
