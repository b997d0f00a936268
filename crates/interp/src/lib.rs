//! Evaluates ONNX's operators on arrays in host memory: every operator, every element type, no gradients.
//!
//! This is what says what an operator means: constants are folded with it, `occam run` executes files with it, and the engine
//! falls back on it where an operator has no gradient. There is a file for each group of operators in `ops`, under the
//! name that the group has in `occam_graph::onnx`.

mod arith;
mod error;
mod map;
mod moves;
mod numbers;
mod ops;
mod product;
mod room;
mod run;
mod view;

pub use error::{Error, Result};
pub use ops::{evaluate, knows};
pub use room::{check_room, content, room};
pub use run::{Interpreter, Values};
