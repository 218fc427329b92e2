//! What the end-to-end tests stand on: hermetic sandboxes, whole screens, images made on the spot,
//! terminals, and the lifecycle suite that both runtimes must pass.
//!
//! Development only. The programs under test are found through `BERTH_PROGRAMS` (`cargo xtask test`
//! sets it), else in the workspace's release folder.

#![forbid(unsafe_code)]
#![expect(
    clippy::missing_panics_doc,
    reason = "a test kit panics to fail a test"
)]
#![expect(clippy::panic, reason = "a test kit panics to fail a test")]
#![expect(
    clippy::disallowed_methods,
    reason = "it finds the programs under test through its environment"
)]

mod archive;
mod clearing;
pub mod conformance;
mod debian;
mod programs;
mod sandbox;
mod screen;
mod skip;
mod terminal;
mod twin;
mod valve;

pub use archive::{ImageArchive, Layer};
pub use debian::debian_root;
pub use programs::{programs, twins};
pub use sandbox::{Running, Sandbox};
pub use screen::Screen;
pub use skip::{available, skip};
pub use terminal::Terminal;
pub use twin::{Kind, Twin};
pub use valve::{Valve, noise};
