//! Where a model may change: channel units, found by following the axes of its graph, and the smaller models that follow from
//! choices of them.

mod error;
mod resources;
mod selection;
mod shrink;
mod smooth;
pub mod subnet;
pub mod trace;
mod unit;

pub use error::{Error, Result};
pub use resources::{Estimator, Resources};
pub use selection::Selection;
pub use shrink::{Kept, kept, narrow, shrink, slice, spread, zeroed};
pub use smooth::SmoothMacs;
pub use trace::{Divide, Reason, Trace, TraceOptions, trace};
pub use unit::{Channel, Member, Unit};
