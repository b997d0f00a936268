//! How memory is taken from the system, and how much.

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

/// Bytes of memory that the process holds now; none where the system does not tell.
pub fn resident() -> Option<u64> {
    status("VmRSS:")
}

/// Bytes of memory that the process has held at most; none where the system does not tell.
pub fn peak() -> Option<u64> {
    status("VmHWM:")
}

/// A field of Linux' `/proc/self/status`, which counts in units of 1024 bytes.
fn status(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
