//! The safe face of the kernel: one file per facility, and the only home of `unsafe` beside the
//! loader of compiled modules.
//!
//! Nothing here knows what a container is. Functions return [`std::io::Result`]; [`error::Explain`]
//! turns a failure into a classified [`berth_contract::Error`] where the intent is known.

pub mod capability;
pub mod cgroup;
pub mod channel;
pub mod clock;
#[expect(unsafe_code, reason = "clone3")]
pub mod clone;
pub mod copy;
#[expect(unsafe_code, reason = "rt_sigaction past the C library, the mask")]
pub mod disposition;
#[expect(unsafe_code, reason = "signal dispositions before main")]
pub mod entry;
pub mod epoll;
pub mod error;
pub mod fault;
#[expect(unsafe_code, reason = "dup2 to a number nobody owns, close_range")]
pub mod fd;
pub mod file;
pub mod filter;
#[expect(unsafe_code, reason = "malloc_trim")]
pub mod heap;
pub mod inet;
pub mod inotify;
#[expect(unsafe_code, reason = "Landlock has no wrapper in libc")]
pub mod landlock;
pub mod lock;
pub mod memory_file;
#[expect(unsafe_code, reason = "mount_setattr")]
pub mod mount;
#[expect(unsafe_code, reason = "unshare")]
pub mod namespace;
pub mod netlink;
pub mod owner;
pub mod path;
#[expect(unsafe_code, reason = "a signal number of the kernel's range")]
pub mod pidfd;
pub mod pipe;
#[expect(unsafe_code, reason = "execve, prlimit, kill, scheduling")]
pub mod process;
pub mod random;
#[expect(unsafe_code, reason = "loading a filter program")]
pub mod seccomp;
pub mod signals;
pub mod socket;
#[expect(
    unsafe_code,
    reason = "posix_spawn, close_range, adopting an inherited file"
)]
pub mod spawn;
pub mod terminal;
#[expect(unsafe_code, reason = "a signal handler, _exit")]
pub mod termination;
pub mod unnamed_file;
pub mod user;
#[expect(unsafe_code, reason = "sync_file_range")]
pub mod write_out;
