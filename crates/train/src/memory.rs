//! How much memory the process takes from the system.

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
