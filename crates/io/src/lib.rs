//! Model files: ONNX, safetensors and PyTorch checkpoints.
//!
//! Files are written under a temporary name and renamed when they are whole ([`atomic_write`]); the same input gives
//! the same bytes. Whatever a file holds, reading it gives a value or an [`Error`] that says what is wrong with it.

mod atomic;
mod bytes;
mod error;
pub mod npz;
pub mod onnx;
pub mod pth;
pub mod safetensors;
mod tfevents;
pub mod weights;

pub use atomic::atomic_write;
pub use error::{Error, Result};
pub use tfevents::EventWriter;
