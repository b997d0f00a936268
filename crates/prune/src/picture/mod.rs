//! Pictures of what pruning does, as SVG: widths before and after, and how accuracy falls. One a file.

mod sensitivity;
mod sheet;
mod widths;

pub use sensitivity::{About, sensitivity};
pub use widths::widths;
