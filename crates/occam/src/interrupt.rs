//! Ctrl-C.

/// Exit code of a command that Ctrl-C ended, as of a shell's.
pub const CODE: u8 = 130;

/// From here on the first Ctrl-C asks trainings to save and stop, and the second ends the program at once. Where a system
/// has no such signal the first ends it.
pub fn listen() {
    #[cfg(unix)]
    unix::listen();
}

/// Whether Ctrl-C was pressed.
pub fn happened() -> bool {
    occam_train::interrupt::requested()
}

#[cfg(unix)]
mod unix {
    const TEXT: &[u8] = b"\nstopping after this step; press Ctrl-C again to stop at once\n";

    /// Calls only what a signal handler may: atomics, `write` and `_exit`.
    extern "C" fn handle(_: libc::c_int) {
        if occam_train::interrupt::request() {
            // SAFETY: it takes no pointers and does not return.
            unsafe { libc::_exit(super::CODE.into()) }
        }
        // SAFETY: the buffer is static and of that length. Where nobody can be told, nothing is lost.
        let _ = unsafe { libc::write(libc::STDERR_FILENO, TEXT.as_ptr().cast(), TEXT.len()) };
    }

    pub fn listen() {
        let handler: extern "C" fn(libc::c_int) = handle;
        // SAFETY: the handler is a function of that signature and lives as long as the program.
        let before = unsafe { libc::signal(libc::SIGINT, handler as libc::sighandler_t) };
        if before == libc::SIG_ERR {
            eprintln!("warning: Ctrl-C will stop at once, without saving");
        }
    }
}
