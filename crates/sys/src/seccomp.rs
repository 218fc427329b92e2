//! Loading a system call filter.

use std::io;

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
}

/// Filters every further system call of this process and of those it makes. Cannot be undone.
///
/// # Errors
/// Neither `CAP_SYS_ADMIN` nor `no_new_privs` is there, or the program is malformed.
pub fn load(program: &[Instruction], flags: Flags) -> io::Result<()> {
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
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
