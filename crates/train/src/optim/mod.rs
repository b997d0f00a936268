//! The optimizer of a run: `optim_wrapper`.

mod clip;
mod kinds;
mod paramwise;
mod wrapper;

pub use wrapper::{GroupState, OptimWrapper};

pub(crate) use kinds::register;
