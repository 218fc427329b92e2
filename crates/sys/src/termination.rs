//! Ending this process at once: with a status, or when a signal asks for it.
//!
//! The first process of a pid namespace does not suffer the default action of a signal
//! (`pid_namespaces(7)`). A program that has no handlers of its own and runs as such a process would
//! ignore SIGTERM; with [`on_default_signals`] it ends as it would anywhere else, with 128 + n.

use std::io;

/// Signals whose default action is to end the process, without those a fault raises (SEGV, BUS, ILL,
/// FPE, TRAP, ABRT, SYS: they end even pid 1) and without PIPE (a closed pipe is an error to the writer).
const ENDING: [libc::c_int; 13] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGSTKFLT,
    libc::SIGXCPU,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
];

extern "C" fn end(signal: libc::c_int) {
    // SAFETY: `_exit` is async-signal-safe and does not return.
    unsafe { libc::_exit(128 + signal) }
}

/// Ends the process with 128 + n on every signal that would end a process that is not pid 1.
///
/// The handler runs on the alternate stack if the thread has one, and nothing is cleaned up: it works
/// in a busy loop and in a blocking system call alike.
///
/// # Errors
/// Never for valid signal numbers.
pub fn on_default_signals() -> io::Result<()> {
    let handler = end as extern "C" fn(libc::c_int);
    let real_time = libc::SIGRTMIN()..=libc::SIGRTMAX();
    for signal in ENDING.into_iter().chain(real_time) {
        // SAFETY: all-zero bytes are a valid `sigaction`: default handler, empty mask, no flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_ONSTACK;
        // SAFETY: the structure is complete and the handler only calls `_exit`.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Whether this process is the first of its pid namespace.
#[must_use]
pub fn is_first_process() -> bool {
    rustix::process::getpid().is_init()
}

/// Ends the process with this status: no destructors, no buffers written.
pub fn now(status: u8) -> ! {
    // SAFETY: ends the process; nothing runs after it.
    unsafe { libc::_exit(i32::from(status)) }
}
