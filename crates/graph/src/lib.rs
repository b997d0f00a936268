//! The graph: what to compute, with what shapes, at what cost.
//!
//! A [`Graph`] holds nodes (an [`Op`] each) and values in arenas with small copyable ids. Parameters are values
//! that a state dict fills ([`Weights`]). Edits are [`Patch`]es; after each one the graph is verified. No tensor
//! engine is needed for any of it.

mod array;
pub mod axes;
mod builder;
mod content;
mod cost;
mod dim;
mod dtype;
mod error;
mod fact;
mod graph;
mod narrow;
pub mod onnx;
pub mod ops;
mod patch;
mod pattern;
pub mod picture;
mod print;
pub mod recognize;
mod verify;
mod weights;

pub use array::{Array, Data};
pub use axes::{Axis, AxisMap, Block, Correspondence, Link, Part, Port, Regroup};
pub use builder::{Builder, Returned};
pub use content::{Content, Inferred, Known, Size};
pub use cost::{Cost, GraphCost};
pub use dim::{Bindings, Dim, DimExpr};
pub use dtype::DType;
pub use error::{Error, Result};
pub use fact::Fact;
pub use graph::{Call, Graph, Node, NodeId, Role, Source, Value, ValueId};
pub use narrow::Narrow;
pub use ops::Op;
pub use patch::{Patch, Wire};
pub use pattern::matches;
pub use weights::{Fit, Weights, fit};
