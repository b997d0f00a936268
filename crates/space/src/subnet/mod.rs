//! Subnets: what is chosen at each place where a model may change, and the files that say so.
//!
//! MMRazor writes them in two modes: channel units with their widths, as JSON (read and written here), and mutables with what
//! is chosen, as YAML ([`chosen`]).

pub mod chosen;
mod units;

pub use chosen::{Chosen, Subnet};
pub use units::{Choice, Choices, Template, choices, config, parse, widths};
