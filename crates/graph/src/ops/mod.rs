//! Operators: one family a file, each saying what it makes of facts, how axes map, and what it costs.
//!
//! To add one: its file here, its line in `families!` below, its evaluation in `occam-engine`, its ONNX form in
//! `occam-io` (both under the same file name), its case in [`examples`]. The compiler finds a missing line,
//! the test `every_operator_is_complete` of the `occam` crate a missing case.

mod activation;
mod adaptive_pad;
mod batch_norm;
mod binary;
mod channel_shuffle;
mod concat;
mod conv;
mod dropout;
pub mod examples;
mod expand_batch;
mod fake_quant;
mod flatten;
mod gem_pool;
mod global_avg_pool;
mod layer_norm;
mod linear;
mod mat_mul;
mod norm_scale;
mod pool;
mod scale;
mod slice;
mod softmax;
mod transpose;
mod unflatten;

pub use activation::Activation;
pub use adaptive_pad::AdaptivePad;
pub use batch_norm::BatchNorm;
pub use binary::Binary;
pub(crate) use binary::broadcast;
pub use channel_shuffle::ChannelShuffle;
pub use concat::Concat;
pub use conv::Conv;
pub use dropout::{DropUnit, Dropout};
pub use expand_batch::ExpandBatch;
pub use fake_quant::{FakeQuant, GridLearning, runs};
pub use flatten::Flatten;
pub use gem_pool::GemPool;
pub use global_avg_pool::GlobalAvgPool;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use mat_mul::MatMul;
pub use norm_scale::NormScale;
pub use pool::{Pool, PoolKind};
pub use scale::Scale;
pub use slice::Slice;
pub use softmax::Softmax;
pub use transpose::Transpose;
pub use unflatten::Unflatten;

pub use crate::onnx::Onnx;
use crate::{AxisMap, Bindings, Cost, Error, Fact, Inferred, Known, Result};

/// What every operator family answers.
pub trait OpFamily {
    /// Name as printed, and as errors say it.
    fn name(&self) -> &'static str;

    /// Attributes as printed, in a fixed order.
    fn attributes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Facts of the outputs.
    ///
    /// # Errors
    /// The inputs do not fit; the message names the input.
    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>>;

    /// What its outputs are, where elements of operands may be known; `node` names sizes that only running tells.
    ///
    /// # Errors
    /// As [`OpFamily::infer`].
    fn infer_known(&self, node: &str, inputs: &[Known<'_>]) -> Result<Vec<Inferred>> {
        let _ = node;
        let facts: Vec<&Fact> = inputs.iter().map(|k| k.fact).collect();
        Ok(self.infer(&facts)?.into_iter().map(Into::into).collect())
    }

    /// How axes of inputs and outputs correspond; called with facts that [`OpFamily::infer`] accepted.
    fn axes(&self, inputs: &[&Fact], outputs: &[&Fact]) -> AxisMap;

    /// [`OpFamily::axes`] where elements of operands may be known.
    fn axes_known(&self, inputs: &[Known<'_>], outputs: &[&Fact]) -> AxisMap {
        let facts: Vec<&Fact> = inputs.iter().map(|k| k.fact).collect();
        self.axes(&facts, outputs)
    }

    /// What one run costs.
    ///
    /// # Errors
    /// A symbol of the facts is not bound.
    fn cost(&self, inputs: &[&Fact], outputs: &[&Fact], bindings: &Bindings) -> Result<Cost> {
        let _ = inputs;
        Cost::memory(outputs, bindings)
    }
}

/// Declares [`Op`] over the families.
macro_rules! families {
    ($($family:ident),* $(,)?) => {
        /// An operator: one of the families with its attributes.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)]
        pub enum Op {
            $($family($family)),*
        }

        impl Op {
            /// The family's answers.
            pub fn family(&self) -> &dyn OpFamily {
                match self {
                    $(Op::$family(op) => op),*
                }
            }

            /// Names of all families, for tests that walk them.
            pub const FAMILIES: &'static [&'static str] = &[$(stringify!($family)),*];

            /// Name of the family, as in [`Op::FAMILIES`].
            pub fn family_name(&self) -> &'static str {
                match self {
                    $(Op::$family(_) => stringify!($family)),*
                }
            }
        }

        $(impl From<$family> for Op {
            fn from(op: $family) -> Self {
                Op::$family(op)
            }
        })*
    };
}

families!(
    Activation,
    AdaptivePad,
    BatchNorm,
    Binary,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    ExpandBatch,
    FakeQuant,
    Flatten,
    GemPool,
    GlobalAvgPool,
    LayerNorm,
    Linear,
    MatMul,
    NormScale,
    Onnx,
    Pool,
    Scale,
    Slice,
    Softmax,
    Transpose,
    Unflatten,
);

/// Refuses a count of inputs outside `range`.
pub(crate) fn check_inputs(inputs: &[&Fact], range: std::ops::RangeInclusive<usize>) -> Result<()> {
    if range.contains(&inputs.len()) {
        return Ok(());
    }
    let (low, high) = (range.start(), range.end());
    let wanted = if low == high { low.to_string() } else { format!("{low} to {high}") };
    Err(Error::Op(format!("takes {wanted} inputs, {} given", inputs.len())))
}

/// Refuses an input of another rank.
pub(crate) fn check_rank(fact: &Fact, rank: usize, what: &str) -> Result<()> {
    if fact.rank() == rank {
        return Ok(());
    }
    Err(Error::Op(format!("{what} must have rank {rank}, found {fact}")))
}

/// Refuses an axis beyond the rank.
pub(crate) fn check_axis(fact: &Fact, axis: usize) -> Result<()> {
    if axis < fact.rank() {
        return Ok(());
    }
    Err(Error::Op(format!("axis {axis} is beyond {fact}")))
}

/// A parameter vector with one element a channel.
pub(crate) fn check_channels(fact: &Fact, channels: &crate::Dim, what: &str) -> Result<()> {
    check_rank(fact, 1, what)?;
    match fact.shape.first() {
        Some(d) if d.may_equal(channels) => Ok(()),
        _ => Err(Error::Op(format!("{what} {fact} must have {channels} elements"))),
    }
}
