//! Loading a system call filter.

use std::io;
#[expect(clippy::disallowed_types, reason = "this crate may adopt descriptors")]
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;

/// One instruction of the classic packet filter: `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions skipped when a comparison holds.
    pub jump_true: u8,
    /// Instructions skipped when it does not.
    pub jump_false: u8,
    /// Operand.
    pub operand: u32,
}

#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Flags of `SECCOMP_SET_MODE_FILTER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Log every action but allow.
    pub log: bool,
    /// Leave Speculative Store Bypass as it is.
    pub allow_speculation: bool,
    /// Whether there is a listener, for whoever answers what the filter does not.
    pub listen: Listen,
}

/// Whether loading a filter gives a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listen {
    /// No.
    #[default]
    No,
    /// Yes; a signal interrupts the wait for an answer.
    Interruptible,
    /// Yes; only being killed ends the wait for an answer (Linux 5.19).
    Killable,
}

/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, which libc does not have.
const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;

/// Filters every further system call of this process and of those it makes. Cannot be undone.
///
/// Returns the listener that was asked for; it closes on execute.
///
/// # Errors
/// Neither `CAP_SYS_ADMIN` nor `no_new_privs` is there, or the program is malformed.
pub fn load(program: &[Instruction], flags: Flags) -> io::Result<Option<OwnedFd>> {
    let program = Program {
        length: u16::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr(),
    };
    let mut bits = 0;
    if flags.log {
        bits |= libc::SECCOMP_FILTER_FLAG_LOG;
    }
    if flags.allow_speculation {
        bits |= libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    }
    bits |= match flags.listen {
        Listen::No => 0,
        Listen::Interruptible => libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
        Listen::Killable => libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE_RECV,
    };
    // SAFETY: the program points to `length` instructions that live across the call; the kernel copies
    // and verifies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            bits,
            &raw const program,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    if flags.listen == Listen::No {
        return Ok(None);
    }
    let number = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: with that flag the kernel returns a new descriptor, which nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(number) }))
}
