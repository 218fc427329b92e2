//! New processes by `clone3`: with a pidfd, in new namespaces, born inside a cgroup.

use std::io;
#[expect(clippy::disallowed_types, reason = "this crate may adopt descriptors")]
use std::os::fd::FromRawFd as _;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::namespace::Namespaces;

/// A new child process.
#[derive(Debug)]
pub struct Child {
    /// Its pid, as this process sees it.
    pub pid: i32,
    /// Refers to it.
    pub pidfd: OwnedFd,
}

/// `clone_args` as of Linux 5.7, with the cgroup.
#[repr(C, align(8))]
#[derive(Default)]
struct Arguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_PARENT: u64 = 0x8000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Makes a child that runs `body` on a copy of this process's memory and exits with what it returns.
///
/// The caller must have one thread only: another one may hold the allocator's lock, which nobody would
/// release in the child.
///
/// # Errors
/// The kernel refuses: a namespace kind is not available, or a limit on processes is reached.
pub fn spawn(
    namespaces: Namespaces,
    cgroup: Option<BorrowedFd<'_>>,
    body: impl FnOnce() -> u8,
) -> io::Result<Child> {
    let mut arguments = Arguments {
        flags: u64::from(namespaces.bits()),
        exit_signal: libc::SIGCHLD as u64,
        ..Arguments::default()
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?;
    }
    make(arguments, body)
}

/// As [`spawn`], but the new process is a child of this one's parent, which alone can wait for it.
///
/// # Errors
/// As for [`spawn`].
pub fn sibling(namespaces: Namespaces, body: impl FnOnce() -> u8) -> io::Result<Child> {
    // No exit signal: with CLONE_PARENT the kernel takes this process's own and refuses another one.
    let arguments = Arguments {
        flags: CLONE_PARENT | u64::from(namespaces.bits()),
        ..Arguments::default()
    };
    make(arguments, body)
}

fn make(mut arguments: Arguments, body: impl FnOnce() -> u8) -> io::Result<Child> {
    let mut pidfd: libc::c_int = -1;
    arguments.flags |= CLONE_PIDFD;
    arguments.pidfd = (&raw mut pidfd).addr() as u64;
    // SAFETY: no stack, no shared memory: this is fork with more flags. The kernel writes the pidfd into
    // `pidfd` of the parent, which lives across the call, and reads `arguments` up to the given size.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<Arguments>()) };
    if result == 0 {
        let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(125);
        exit_now(status);
    }
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: clone3 succeeded, so the kernel stored a new descriptor there that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child {
        pid: i32::try_from(result).map_err(io::Error::other)?,
        pidfd,
    })
}

/// Ends this process without running destructors or exit handlers of the process it is a copy of.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit only ends the process.
    unsafe { libc::_exit(libc::c_int::from(status)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_contract::Exit;
    use std::os::fd::AsFd as _;

    #[test]
    fn a_child_runs_and_ends() {
        let child = spawn(Namespaces::empty(), None, || 7).unwrap();
        assert_eq!(
            crate::pidfd::wait(child.pidfd.as_fd()).unwrap(),
            Exit::Code { code: 7 }
        );
    }
}
