//! Config files of OpenMMLab's kind, read without Python.
//!
//! A [`Loader`] evaluates a `.py` config (a small, hermetic subset of Python: nothing is executed,
//! imported or read but other configs) with its `_base_` files, after mmengine's rules, or reads a `.yaml` or
//! `.json` one, and returns a tree of [`Value`]s, each of which knows where it was written. [`apply_options`] applies
//! overrides from the command line. A [`Registry`] then turns dicts with a `type` into components,
//! which read their arguments with [`Value::parse`].
//!
//! ```
//! use occam_config::Loader;
//!
//! let config = Loader::new().load_str("a.py", "lr = 0.1\noptimizer = dict(type='SGD', lr=lr / 2)\n")?;
//! assert_eq!(config.get("optimizer.lr").and_then(|lr| lr.as_f64()), Some(0.05));
//! # Ok::<(), occam_config::Error>(())
//! ```

mod base;
mod components;
mod de;
mod dict;
mod diff;
mod error;
mod eval;
mod json;
mod loader;
mod merge;
mod nesting;
mod options;
mod placeholder;
mod print;
mod python;
mod registry;
mod ser;
mod span;
mod suggest;
mod template;
mod value;
mod yaml;

pub use components::Component;
pub use dict::{Dict, Key};
pub use diff::{Change, diff};
pub use error::Error;
pub use loader::{FORMATS, Limits, Loader};
pub use options::apply_options;
pub use registry::{Build, Registry};
pub use span::{SourceFile, Span};
pub use suggest::suggest;
pub use value::{Kind, Value};
