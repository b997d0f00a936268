//! What can go wrong.

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something cannot be quantized.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no integers of that many bits.
    #[error("{bit} bits do not hold a grid: 1 to 16 do, of signed symmetric integers 2 to 16")]
    Bits {
        /// What was asked for.
        bit: u32,
    },
    /// A tensor that was to be observed has elements that are not finite.
    #[error("`{name}` has elements that are not finite ({what}): no range holds them")]
    NotFinite {
        /// The value or node.
        name: String,
        /// What was found, such as `NaN`.
        what: String,
    },
    /// Nothing was observed.
    #[error("`{name}` was never observed: no calibration data reached it")]
    Unobserved {
        /// The value or node.
        name: String,
    },
    /// A backend has no integers of that many bits.
    #[error("{backend} does not store integers of {bits} bits; it does of {stored:?}")]
    Unstorable {
        /// The backend.
        backend: &'static str,
        /// What was asked for.
        bits: u32,
        /// What it stores.
        stored: &'static [u32],
    },
    /// There is nothing to quantize.
    #[error("nothing of the model can be integers in {backend}: {why}")]
    Nothing {
        /// The backend.
        backend: &'static str,
        /// Why the first layer cannot.
        why: String,
    },
    /// No choice of layers keeps enough of the quality.
    #[error(
        "{wanted:.2} is not reached with any of the {layers} layers in integers but one; with all it is {all:.2}"
    )]
    Dropped {
        /// The score that was asked for.
        wanted: f64,
        /// That with everything rounded.
        all: f64,
        /// How many layers there are.
        layers: usize,
    },
    /// Shapes do not fit.
    #[error("{0}")]
    Shape(String),
    /// The graph breaks a rule.
    #[error(transparent)]
    Graph(#[from] occam_graph::Error),
    /// The model could not be run.
    #[error(transparent)]
    Engine(#[from] occam_engine::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] occam_io::Error),
    /// What a runtime says.
    #[error(transparent)]
    Runtime(#[from] occam_runtime::Error),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
