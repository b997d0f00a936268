//! How memory is taken from the system, and how much.

pub use occam_train::memory::{peak, resident};

/// Keeps freed memory for the next step instead of handing it back.
///
/// A training step allocates and frees the same few hundred tensors of some megabytes each time. The GNU C library
/// maps and unmaps such blocks one by one, and the page faults take about a fifth of a step.
pub fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const TOP_PAD: libc::c_int = 64 << 20;
        // SAFETY: `mallopt` only sets numbers inside the allocator, and no other thread runs yet.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
            libc::mallopt(libc::M_TOP_PAD, TOP_PAD);
        }
    }
}
