//! Stopping a run from outside.
//!
//! A signal handler calls [`request`]; runs look at [`requested`] between steps, save and end with
//! [`Error::Interrupted`](crate::Error::Interrupted).

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Asks all runs of this process to stop after their present step. Returns whether that was asked before.
pub fn request() -> bool {
    REQUESTED.swap(true, Ordering::SeqCst)
}

/// Whether runs should stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
