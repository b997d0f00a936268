//! Where a model may change: channel units, found by following the axes of its graph, and the smaller models that follow from
//! choices of them.

mod candidates;
mod divisible;
mod error;
mod index_dict;
pub mod mutables;
mod resources;
mod selection;
mod shrink;
mod smooth;
pub mod subnet;
pub mod trace;
mod unit;

pub use candidates::{Candidate, Candidates, Indicator};
pub use divisible::make_divisible;
pub use error::{Error, Result};
pub use index_dict::IndexDict;
pub use resources::{Estimator, Resources};
pub use selection::Selection;
pub use shrink::{Kept, expand, kept, narrow, shrink, slice, spread, zeroed};
pub use smooth::SmoothMacs;
pub use trace::{Divide, Reason, Trace, TraceOptions, trace};
pub use unit::{Channel, Member, Unit};
