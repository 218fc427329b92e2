//! Real guests on a busybox root: the runtime's promises, kept by the kernel.
//!
//! These need root and busybox; without either they say so and pass.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says aloud that it is skipped"
)]

mod exec;
mod files;
mod hooks;
mod leftovers;
mod program;
mod races;
mod support;
mod terminal;
mod users;
