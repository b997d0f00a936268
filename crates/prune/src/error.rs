//! What can go wrong.

/// What went wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The graph is broken.
    #[error(transparent)]
    Graph(#[from] occam_graph::Error),
    /// The units or a selection of them do not fit.
    #[error(transparent)]
    Space(#[from] occam_space::Error),
    /// No unit may be pruned.
    #[error("no channel of this model can be pruned: {0}")]
    Nothing(String),
    /// A target that is below what can be reached.
    #[error(
        "{what} cannot be made {wanted:.3} of {full}: with every unit at its least width they are {least:.3} of it{why}"
    )]
    Unreachable {
        /// What the target is of.
        what: &'static str,
        /// The part asked for.
        wanted: f64,
        /// How much there is.
        full: u64,
        /// The least part that can be reached.
        least: f64,
        /// What keeps the rest.
        why: String,
    },
    /// Times cannot be measured, or their table not kept.
    #[error("{0}")]
    Latency(String),
    /// A time that no widths reach.
    #[error(
        "a run cannot take {wanted:.3} of {full:.2} ms: by the times that were measured no narrower widths take less than \
         {least:.3} of it{why}"
    )]
    Slow {
        /// The part asked for.
        wanted: f64,
        /// Milliseconds with all channels.
        full: f64,
        /// The least part that was found.
        least: f64,
        /// What keeps the rest.
        why: String,
    },
    /// A target that is no part.
    #[error("the target for {what} is {wanted}, it must be above 0 and at most 1")]
    Target {
        /// What the target is of.
        what: &'static str,
        /// What was asked for.
        wanted: f64,
    },
    /// A layer whose filters cannot be sums of filters.
    #[error("the filters of `{layer}` cannot be fused, so unit `{unit}` must keep its channels: {why}")]
    Fuse {
        /// The layer.
        layer: String,
        /// The unit that was to become narrower.
        unit: String,
        /// Why not.
        why: String,
    },
    /// A weight that is missing or no number.
    #[error("parameter `{name}` {message}")]
    Weights {
        /// Its name.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// A name of units or layers that nothing has.
    #[error("no unit or layer is called `{pattern}`{}", hint.as_ref().map_or_else(String::new, |h| format!("; did you mean `{h}`?")))]
    Pattern {
        /// The name, in which `*` stands for any letters.
        pattern: String,
        /// What was likely meant.
        hint: Option<String>,
    },
    /// A model that could not be run.
    #[error("{0}")]
    Run(String),
    /// An importance that needs images.
    #[error("importance `{0}` is measured on images, and none are given")]
    Data(&'static str),
    /// An importance that has nothing to look at.
    #[error("importance `{importance}` needs {needs}, of which unit `{unit}` has none")]
    Needs {
        /// The importance.
        importance: &'static str,
        /// What it looks at.
        needs: &'static str,
        /// The unit.
        unit: String,
    },
}

/// Either a value or what went wrong.
pub type Result<T, E = Error> = std::result::Result<T, E>;
