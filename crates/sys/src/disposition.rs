//! What signals do to this process: their actions and the mask, which a program inherits, and waiting for
//! those that are blocked.

use std::io;

use berth_contract::Signal;

/// Gives every signal its default action and unblocks all.
///
/// The action of an ignored signal and the mask survive execute: Rust ignores SIGPIPE, a supervisor blocks what
/// it reads through a signalfd, and whoever started it may have ignored any.
pub fn reset() {
    reset_actions();
    unblock_all_but(&[]);
}

/// Gives every signal its default action.
pub fn reset_actions() {
    let default = KernelAction::default();
    for number in 1..=LAST_SIGNAL {
        set_action(number, &default);
    }
}

/// `_NSIG` of every architecture that Rust's standard library runs on but MIPS.
const LAST_SIGNAL: libc::c_int = 64;

/// The kernel's `struct sigaction`; all zero is the default action without a flag.
#[repr(C)]
#[derive(Default)]
struct KernelAction {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

/// Sets what a signal does, past the C library: that one refuses the two signals it keeps for threads (32 and
/// 33), which may be inherited as ignored like any other.
fn set_action(number: libc::c_int, action: &KernelAction) {
    let nothing = std::ptr::null_mut::<KernelAction>();
    // SAFETY: the kernel reads one structure from `action` and writes nothing. SIGKILL and SIGSTOP are refused,
    // and cannot have been changed by anybody else either.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            number,
            std::ptr::from_ref(action),
            nothing,
            size_of::<u64>(),
        )
    };
}

/// Blocks every signal that can be blocked, for reading them with [`next`] or for the program that follows.
///
/// A blocked signal is kept even for the first process of a pid namespace, which otherwise never sees one
/// that it has no handler for (`sig_ignored()` of kernel/signal.c).
pub fn block_all() {
    // SAFETY: an all-zero set is a valid one.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is valid for writing.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: `all` lives across the call; the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) };
}

/// Unblocks every signal but these.
pub fn unblock_all_but(kept: &[Signal]) {
    // SAFETY: an all-zero set is a valid, empty one.
    let mut mask: libc::sigset_t = unsafe { std::mem::zeroed() };
    for signal in kept {
        // SAFETY: `mask` is valid for writing.
        unsafe { libc::sigaddset(&raw mut mask, i32::from(signal.number())) };
    }
    // SAFETY: `mask` lives across the call; the old one is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut()) };
}

/// Waits for a blocked signal and says its number.
///
/// # Errors
/// The kernel refuses; an interruption is not an error.
pub fn next() -> io::Result<i32> {
    // SAFETY: an all-zero set is a valid one.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is valid for writing.
    unsafe { libc::sigfillset(&raw mut all) };
    loop {
        // SAFETY: `all` lives across the call; no details are asked for.
        let number = unsafe { libc::sigwaitinfo(&raw const all, std::ptr::null_mut()) };
        if number > 0 {
            return Ok(number);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use berth_contract::Exit;

    use super::*;
    use crate::namespace::Namespaces;

    /// Neither allocates nor takes a lock: it runs in a copy of a process with several threads.
    fn status_has(words: &[&[u8]]) -> bool {
        let mut text = [0; 4096];
        let read =
            std::fs::File::open("/proc/self/status").and_then(|mut file| file.read(&mut text));
        read.is_ok()
            && words
                .iter()
                .all(|word| text.windows(word.len()).any(|part| part == *word))
    }

    #[test]
    fn no_signal_stays_ignored_or_blocked() {
        let child = crate::clone::spawn(Namespaces::empty(), None, || {
            let ignore = KernelAction {
                handler: libc::SIG_IGN,
                ..KernelAction::default()
            };
            for number in 1..=LAST_SIGNAL {
                set_action(number, &ignore);
            }
            block_all();
            // All but SIGKILL and SIGSTOP; bit 0 is signal 1.
            let ignored = status_has(&[b"SigIgn:\tfffffffffffbfeff"]);
            reset();
            let reset = status_has(&[b"SigIgn:\t0000000000000000", b"SigBlk:\t0000000000000000"]);
            u8::from(!ignored) + 2 * u8::from(!reset)
        });
        let exit = crate::pidfd::wait(child.unwrap().pidfd.as_fd()).unwrap();
        assert_eq!(exit, Exit::Code { code: 0 });
    }
}
