//! The safe face of the kernel: one file per facility, and the only home of `unsafe` beside the
//! loader of compiled modules.
//!
//! Nothing here knows what a container is. Functions return [`std::io::Result`]; [`error::Explain`]
//! turns a failure into a classified [`berth_contract::Error`] where the intent is known.

pub mod cgroup;
pub mod error;
#[expect(unsafe_code, reason = "dup2 to a number nobody owns, close_range")]
pub mod fd;
#[expect(unsafe_code, reason = "mount_setattr")]
pub mod mount;
pub mod path;
#[expect(unsafe_code, reason = "a signal number of the kernel's range")]
pub mod pidfd;
pub mod file;
pub mod clock;
pub mod epoll;
pub mod fault;
#[expect(unsafe_code, reason = "malloc_trim")]
pub mod heap;
pub mod inet;
pub mod inotify;
pub mod lock;
pub mod netlink;
pub mod pipe;
pub mod random;
pub mod signals;
pub mod socket;
#[expect(unsafe_code, reason = "posix_spawn, close_range, adopting an inherited file")]
pub mod spawn;
pub mod terminal;
#[expect(unsafe_code, reason = "Landlock has no wrapper in libc")]
pub mod landlock;
#[expect(unsafe_code, reason = "a signal handler, _exit")]
pub mod termination;
pub mod capability;
pub mod channel;
#[expect(unsafe_code, reason = "clone3")]
pub mod clone;
pub mod copy;
pub mod memory_file;
#[expect(unsafe_code, reason = "unshare")]
pub mod namespace;
#[expect(unsafe_code, reason = "execve, prlimit, signals, scheduling")]
pub mod process;
#[expect(unsafe_code, reason = "loading a filter program")]
pub mod seccomp;
pub mod user;
pub mod filter;
