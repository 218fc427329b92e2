//! One process per container: the direct parent of its guest and the only writer of its state.
//!
//! Supervision is written here once, over a pidfd, pipes or a pty, and a cgroup, so that stop, wait,
//! logs, attach, restart and pause mean the same for native and wasm guests.

#![forbid(unsafe_code)]

pub mod client;
mod clients;
mod console;
mod ending;
mod exec;
mod frame;
mod join;
pub mod launch;
mod link;
mod log;
mod peer;
mod place;
pub mod protocol;
mod requests;
mod restart;
mod run;
mod start;
pub mod status;
mod stop;
mod streams;
mod supervisor;
mod token;
pub mod volume;

pub use run::{Arguments, refuse_connection, run};
