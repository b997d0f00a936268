//! The optimizer of a run: `optim_wrapper`.

mod amp;
mod clip;
mod kinds;
mod optimizers;
mod paramwise;
mod wrapper;

pub(crate) use kinds::register;
pub use optimizers::Optimizers;
pub use wrapper::{GroupState, OptimWrapper};
