//! Makes SIGTERM and SIGINT end the process, also as PID 1 of a container, for which the kernel
//! ignores signals without a handler. The handler may do nothing but exit.

/// Called once, before any thread.
pub(crate) fn exit_when_told() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let handler: extern "C" fn(libc::c_int) = exit;
        // SAFETY: signal(2) gets a valid signal number and a function of the right type that
        // lives for ever and is async-signal-safe (it calls only _exit(2)).
        unsafe {
            libc::signal(signal, handler as libc::sighandler_t);
        }
    }
}

extern "C" fn exit(signal: libc::c_int) {
    // SAFETY: _exit(2) is async-signal-safe (signal-safety(7)) and takes any number. 128 + signal
    // is what a shell, and Docker, show of a process that such a signal ended.
    unsafe { libc::_exit(128 + signal) }
}
