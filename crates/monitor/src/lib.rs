//! One process per container: the direct parent of its guest and the only writer of its state.
//!
//! Supervision is written here once, over a pidfd, pipes or a pty, and a cgroup, so that stop, wait,
//! logs, attach, restart and pause mean the same for native and wasm guests.

#![forbid(unsafe_code)]

pub mod client;
mod frame;
pub mod launch;
pub mod protocol;
pub mod status;
