//! An OCI runtime-spec in, a running native guest out.
//!
//! ```text
//! runtime.rs       what the supervisor does: plan, cgroup, clone3, filter
//! users.rs  opened.rs  birth.rs      own users: their maps, what they cannot open, the go-between
//! guest.rs         its handle on the new process; exec.rs makes a second one
//! hooks.rs  agent.rs                 programs that run beside it; the one that answers its system calls
//! message.rs       what the two say to each other
//! ─────────────── clone3 ───────────────
//! init.rs          the first process: namespaces, then
//! rootfs.rs  mounts.rs  cgroup_view.rs  device.rs  mask.rs      its tree
//! execute.rs       who it is and what it becomes; outside.rs, user.rs, reaper.rs
//! ─────────────── pure ─────────────────
//! plan/  capability.rs  filter/  defaults/
//! ```

#![forbid(unsafe_code)]

mod agent;
mod birth;
mod capability;
mod cgroup_view;
pub mod defaults;
mod device;
mod exec;
mod execute;
mod filter;
mod guest;
mod hooks;
mod init;
mod mask;
mod message;
mod mounts;
mod opened;
mod outside;
mod plan;
mod reaper;
mod rootfs;
mod runtime;
mod user;
mod users;

pub use mounts::mount_on_host;
pub use plan::{ANNOTATION_CLAMP, ANNOTATION_INIT};
pub use rootfs::mount_root_on_host;
pub use runtime::LinuxRuntime;
