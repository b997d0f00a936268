//! Quantization: integers for floats, chosen from data, and files in which runtimes compute with them.

pub mod algorithms;
pub mod analyze;
pub mod backends;
pub mod calibrate;
mod error;
pub mod fake_quants;
pub mod guard;
pub mod loops;
pub mod lower;
pub mod mixed;
pub mod observers;
pub mod passes;
pub mod picture;
pub mod placement;
pub mod profiles;
pub mod ptq;
mod qscheme;
pub mod quantizers;
pub mod rounding;
pub mod simulate;

pub use error::{Error, Result};
pub use placement::{Kind, Placement, Point, Quant};
pub use profiles::Profile;
pub use qscheme::{EPS, QDtype, QParams, QScheme};

/// Makes all components of this crate known.
pub fn register(registry: &mut occam_config::Registry) {
    observers::register(registry);
    fake_quants::register(registry);
    quantizers::register(registry);
    algorithms::register(registry);
    loops::register(registry);
}
