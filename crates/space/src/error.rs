//! What can go wrong.

/// What went wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The graph could not be edited or walked.
    #[error(transparent)]
    Graph(#[from] occam_graph::Error),
    /// A model too large to follow channel by channel.
    #[error("the model's axes have {0} elements in all, more than can be followed")]
    TooLarge(usize),
    /// No unit has this name.
    #[error("there is no channel unit `{name}`{}", hint.as_ref().map(|h| format!(", did you mean `{h}`?")).unwrap_or_default())]
    UnknownUnit {
        /// The name.
        name: String,
        /// The most similar name.
        hint: Option<String>,
    },
    /// A unit cannot have so many channels.
    #[error("unit `{name}` has {channels} channels, it cannot keep {asked}")]
    Width {
        /// The unit.
        name: String,
        /// How many it has.
        channels: usize,
        /// How many were asked for.
        asked: String,
    },
    /// A unit of which every channel must stay.
    #[error("unit `{name}` cannot be pruned: {why}")]
    Fixed {
        /// The unit.
        name: String,
        /// Which node keeps it, and why.
        why: String,
    },
    /// A node whose attributes or operands could not follow the smaller sizes.
    #[error("node `{node}` cannot follow the smaller channels: {message}")]
    Shrink {
        /// The node.
        node: String,
        /// What does not fit.
        message: String,
    },
    /// More channels than nodes can follow.
    #[error("unit `{unit}` cannot have more channels: {message}")]
    Grow {
        /// The first unit that was to have more.
        unit: String,
        /// What does not fit.
        message: String,
    },
    /// A range of indices that does not fit beside the others.
    #[error("the range {}..{}: {message}", range.start, range.end)]
    Range {
        /// The range.
        range: std::ops::Range<usize>,
        /// What is wrong with it.
        message: String,
    },
    /// Candidates of which nothing can be chosen.
    #[error("the candidates of a mutable: {0}")]
    Candidates(String),
    /// A choice that a mutable does not have.
    #[error("mutable `{name}`: {message}")]
    Choice {
        /// The mutable.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// A subnet file that says nothing of units.
    #[error("the subnet file cannot be read: {0}")]
    Subnet(String),
    /// Weights that do not belong to the graph.
    #[error("parameter `{0}` is not among the weights, or has another shape there")]
    Weights(String),
}

/// Either a value or what went wrong.
pub type Result<T, E = Error> = std::result::Result<T, E>;
