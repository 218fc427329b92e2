//! The words berth's crates share, and the promise both runtimes keep.
//!
//! Whatever is not in [`Runtime`] and [`Guest`] cannot differ between native and wasm. Everything a
//! person sees (stop with a grace time, wait, exit status, logs, attach, restart policy, pause) is
//! written once, in the monitor, over what these two traits give.
//!
//! ```text
//!            start                 pause
//!  Created ────────►  Running  ◄──────────► Paused
//!     ▲                 │  ▲                  │
//!     │          exited │  │ started          │ exited
//!     │                 ▼  │                  ▼
//!     │   restart    Restarting ──────►     Exited ──► (start again)
//!     └── never ──        stop / gave up
//! ```
//!
//! This crate does no I/O, reads no clock, starts no thread and holds no `unsafe`.

#![forbid(unsafe_code)]

mod digest;
mod error;
mod exit;
mod id;
pub mod oci;
mod runtime;
mod signal;
mod state;

pub use digest::Digest;
pub use error::{Class, Error, Report, Result};
pub use exit::Exit;
pub use id::{ContainerId, ContainerName, NetworkName, VolumeName};
pub use runtime::{
    Guest, HostFacts, ImageFacts, Inherited, Program, ProgramKind, Rootfs, Runtime, Slot, Stdio,
    Support, TerminalSize, Verdict,
};
pub use signal::Signal;
pub use state::{Event, Refused, State};
