//! Landlock (`landlock(7)`): a process gives up access to the file system, for itself and for ever.
//!
//! ```text
//! rules:  everything not allowed beneath a directory is refused, and so are mount, pivot_root, …
//! ABI 1 (5.13) files · 2 (5.19) rename across · 3 (6.2) truncate · 4 (6.7) TCP · 5 (6.10) ioctl · 6 (6.12) scopes
//! ```

#![expect(
    clippy::disallowed_types,
    reason = "a new descriptor comes from the kernel as a number"
)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;

const EXECUTE: u64 = 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIRECTORY: u64 = 1 << 3;
const MAKE_CHARACTER: u64 = 1 << 6;
const MAKE_BLOCK: u64 = 1 << 11;

/// Only a process outside may still be reached through its abstract socket or by a signal.
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
const SCOPE_SIGNAL: u64 = 1 << 1;

#[repr(C)]
struct RulesetAttributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`, which the kernel declares packed.
#[repr(C, packed)]
struct PathBeneathAttributes {
    allowed_access: u64,
    parent_fd: i32,
}

/// What stays allowed beneath a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading files and directories.
    Read,
    /// Everything but executing programs and making device nodes.
    ReadWrite,
}

/// Which version of Landlock this kernel has; 0 is none.
#[must_use]
pub fn version() -> u32 {
    let (no_attributes, no_size) = (std::ptr::null::<RulesetAttributes>(), 0_usize);
    // SAFETY: with this flag the kernel reads no memory and answers with its version.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            no_attributes,
            no_size,
            CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(answer).unwrap_or(0)
}

/// Restricts this thread, and every thread and program it starts from now on, to `allowed`.
///
/// Returns `false` when the kernel has no Landlock; nothing is restricted then. The thread must have
/// `no_new_privs` set.
///
/// # Errors
/// The kernel knows Landlock and refuses.
pub fn restrict(allowed: &[(BorrowedFd<'_>, Access)]) -> io::Result<bool> {
    let version = version();
    if version == 0 {
        return Ok(false);
    }
    let handled = known_rights(version);
    let attributes = RulesetAttributes {
        handled_access_fs: handled,
        handled_access_net: 0,
        scoped: if version >= 6 {
            SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL
        } else {
            0
        },
    };
    // Older kernels accept only as much of the structure as they know.
    let size: usize = match version {
        1..=3 => 8,
        4 | 5 => 16,
        _ => 24,
    };
    let ruleset = create(&attributes, size)?;
    for (directory, access) in allowed {
        let rights = handled
            & match access {
                Access::Read => READ_FILE | READ_DIRECTORY,
                Access::ReadWrite => !(EXECUTE | MAKE_CHARACTER | MAKE_BLOCK),
            };
        add(&ruleset, *directory, rights)?;
    }
    // SAFETY: the call takes a descriptor and no memory.
    let answer =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(true)
    }
}

/// The rights a version of Landlock can handle; asking for unknown ones is an error.
fn known_rights(version: u32) -> u64 {
    let count = match version {
        1 => 13,
        2 => 14,
        3 | 4 => 15,
        _ => 16,
    };
    (1 << count) - 1
}

fn create(attributes: &RulesetAttributes, size: usize) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads `size` bytes, no more than the structure has.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(attributes),
            size,
            0_u32,
        )
    };
    let number = i32::try_from(answer).ok().filter(|number| *number >= 0);
    let number = number.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn add(ruleset: &OwnedFd, directory: BorrowedFd<'_>, rights: u64) -> io::Result<()> {
    let rule = PathBeneathAttributes {
        allowed_access: rights,
        parent_fd: directory.as_raw_fd(),
    };
    // SAFETY: the kernel reads one structure of this kind.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_PATH_BENEATH,
            &raw const rule,
            0_u32,
        )
    };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd as _;

    #[test]
    fn rights_grow_with_the_version() {
        assert_eq!(known_rights(1), 0x1fff);
        assert_eq!(known_rights(3), 0x7fff);
        assert_eq!(known_rights(6), 0xffff);
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        let directory = std::env::temp_dir();
        let inside = directory.join(format!("berth-landlock-{}", std::process::id()));
        let handle = File::open(&directory).unwrap();
        // Restrictions are the thread's own: the other tests keep their rights.
        let thread = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            if !restrict(&[(handle.as_fd(), Access::ReadWrite)]).unwrap() {
                return;
            }
            std::fs::write(&inside, b"x").unwrap();
            std::fs::remove_file(&inside).unwrap();
            let refused = File::open("/etc/passwd").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        });
        thread.join().unwrap();
    }
}
