//! The engine: tensors, execution of graphs, optimizers and schedules.
//!
//! The only crate that names burn.

mod autocast;
mod device;
mod error;
mod eval;
mod executor;
mod kernels;
pub mod optim;
mod params;
pub mod schedule;
mod tensor;

pub use autocast::{Autocast, Precision};
pub use device::Device;
pub use error::{Error, Result};
pub use executor::{Executor, Grid, Grids, Mode, Noise, Operand, Outputs, Request};
pub use kernels::QuantRange;
pub use params::{Bound, Param, Params, collect};
pub use tensor::{BatchNormTrain, Gradients, Tensor};
