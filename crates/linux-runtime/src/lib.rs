//! An OCI runtime-spec in, a running native guest out.
//!
//! ```text
//! runtime.rs       what the supervisor does: plan, cgroup, clone3, filter
//! guest.rs         its handle on the new process; exec.rs makes a second one
//! message.rs       what the two say to each other
//! ─────────────── clone3 ───────────────
//! init.rs          the first process: namespaces, then
//! rootfs.rs  mounts.rs  cgroup_view.rs  device.rs  mask.rs      its tree
//! execute.rs       who it is and what it becomes; user.rs, reaper.rs
//! ─────────────── pure ─────────────────
//! plan.rs  process_plan.rs  options.rs  capability.rs  filter/  defaults/
//! ```

#![forbid(unsafe_code)]

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
mod options;
mod plan;
mod process_plan;
mod reaper;
mod rootfs;
mod runtime;
mod user;

pub use mounts::mount_on_host;
pub use plan::{ANNOTATION_CLAMP, ANNOTATION_INIT};
pub use rootfs::mount_root_on_host;
pub use runtime::LinuxRuntime;
