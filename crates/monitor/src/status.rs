//! What a monitor tells about its container: two small files with one writer.
//!
//! ```text
//! RUN/<id>/lock          held exclusively (open-file-description lock) as long as the monitor lives
//! RUN/<id>/state.json    [`Status`], replaced by rename at every change; gone after a reboot
//! RUN/<id>/monitor.sock  the control socket, 0600
//! DATA/containers/<id>/exit   [`Status`] again, durable. Written at start as `Exited` + `Exit::Lost`,
//!                             so that a lost monitor can never leave a false success behind; replaced
//!                             by the truth when the guest ends, before anyone is told.
//! ```
//!
//! A reader asks whether the lock is held (`F_OFD_GETLK`, which takes nothing). Held: `state.json` is
//! true. Free: `exit` is true; without `exit` the container was never started.

use berth_contract::{Exit, State};
use serde::{Deserialize, Serialize};

/// A container's state as its monitor last wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// The guest's pid on the host; 0 when there is none.
    pub pid: i32,
    /// The monitor's pid on the host; 0 when there is none.
    pub monitor: i32,
    /// When the guest was last started: nanoseconds since the Unix epoch, 0 for never.
    pub started_at: u64,
    /// When it last ended: nanoseconds since the Unix epoch, 0 for never.
    pub finished_at: u64,
    /// How it last ended.
    pub exit: Option<Exit>,
    /// Whether the kernel killed a process of it for lack of memory since its start.
    #[serde(default)]
    pub out_of_memory: bool,
    /// How often the restart policy started it again.
    #[serde(default)]
    pub restart_count: u32,
    /// Whether a person stopped it: the restart policy must not start it again.
    #[serde(default)]
    pub stopped_by_user: bool,
    /// Failures while cleaning up after it, for `inspect` and `rm`.
    #[serde(default)]
    pub leftovers: Vec<String>,
    /// What its network gave it.
    #[serde(default)]
    pub network: berth_network::Attached,
    /// The ids of running exec sessions.
    #[serde(default)]
    pub execs: Vec<String>,
}

/// The lock's name in the container's run directory.
pub const LOCK_FILE: &str = "lock";
/// The status file's name in the container's run directory.
pub const STATE_FILE: &str = "state.json";
/// The control socket's name in the container's run directory.
pub const SOCKET_FILE: &str = "monitor.sock";
/// The durable status file's name in the container's directory.
pub const EXIT_FILE: &str = "exit";
