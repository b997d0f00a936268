//! Why channels must stay.

use std::fmt;

/// Why the channels of a unit must all stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// They are an axis of an input of the model.
    Input(String),
    /// They are an axis of an output of the model.
    Output(String),
    /// A node needs the axis as it is.
    Node {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// The value that has the axis.
        value: String,
        /// Which axis of it.
        axis: usize,
    },
    /// A node divides the axis in a way in which no part can be cut.
    Divided {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// The sizes of the parts.
        parts: Vec<usize>,
    },
    /// No weights compute or read them.
    Weightless,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(name) => write!(f, "they are those of the model's input `{name}`"),
            Self::Output(name) => write!(f, "they are those of the model's output `{name}`"),
            Self::Node { node, op, value, axis } => {
                write!(f, "{op} `{node}` needs all elements of axis {axis} of `{value}`")
            }
            Self::Divided { node, op, parts } => {
                write!(f, "{op} `{node}` divides them into {parts:?}, of which no part can be cut alone")
            }
            Self::Weightless => f.write_str("no weights compute or read them"),
        }
    }
}
