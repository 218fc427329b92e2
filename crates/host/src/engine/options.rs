//! What callers say to the engine beside the container's configuration, and what they are told.

use berth_contract::{ContainerId, ContainerName, Error, Signal, TerminalSize};
use berth_image::PullPolicy;

use crate::api::types::ContainerSummary;

/// A container that was made.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// What was accepted and will not do what it says.
    pub warnings: Vec<String>,
}

/// Which streams a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "three streams, each wanted or not"
)]
pub struct Streams {
    /// It will send standard input.
    pub stdin: bool,
    /// It wants standard output.
    pub stdout: bool,
    /// It wants standard error.
    pub stderr: bool,
}

/// How a container is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartOptions {
    /// The streams to attach before the guest runs, so that nothing is missed.
    pub attach: Option<Streams>,
    /// The terminal's size.
    pub size: Option<TerminalSize>,
}

/// How a container is stopped.
#[derive(Debug, Clone, Copy, Default)]
pub struct StopOptions {
    /// In place of the container's stop signal.
    pub signal: Option<Signal>,
    /// In place of the container's stop timeout, in seconds; -1 waits for ever.
    pub timeout: Option<i64>,
}

/// How a container is removed.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Kill it first when it runs.
    pub force: bool,
    /// Remove its anonymous volumes as well.
    pub volumes: bool,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitFor {
    /// That it does not run: at once when it does not.
    #[default]
    NotRunning,
    /// That it ends the next time.
    NextExit,
    /// That it is removed.
    Removed,
}

/// A second process in a container.
#[derive(Debug, Clone, Default)]
pub struct ExecRequest {
    /// The program and its arguments; may be empty for a wasm container: its own module then.
    pub command: Vec<String>,
    /// `NAME=value`, in addition to the container's.
    pub env: Vec<String>,
    /// In place of the container's user.
    pub user: Option<String>,
    /// In place of the container's working directory.
    pub working_dir: Option<String>,
    /// With all capabilities.
    pub privileged: bool,
}

/// Where a second process's streams go.
#[derive(Debug)]
pub enum ExecStreams {
    /// To `/dev/null`; the call returns at once.
    Detached,
    /// To these three files: standard input, output, error.
    Files([std::os::fd::OwnedFd; 3]),
    /// To a new terminal of this size, whose master the caller gets.
    Terminal(TerminalSize),
}

/// All containers.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that could be read, newest first.
    pub containers: Vec<ContainerSummary>,
    /// What could not be read, and where it was put.
    pub damaged: Vec<Error>,
}

/// One of a guest's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output (and the terminal).
    Stdout,
    /// Standard error.
    Stderr,
}

/// Which lines of a container's log are wanted.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "two streams, each wanted or not, and follow"
)]
pub struct LogOptions {
    /// Standard output's.
    pub stdout: bool,
    /// Standard error's.
    pub stderr: bool,
    /// Wait for more until the container has ended.
    pub follow: bool,
    /// Only lines at or after this moment: nanoseconds since the Unix epoch.
    pub since: Option<u64>,
    /// Only lines before this moment: nanoseconds since the Unix epoch.
    pub until: Option<u64>,
    /// Only the last so many lines.
    pub tail: Option<usize>,
}

/// One line of a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Which stream it came from.
    pub stream: Stream,
    /// When it was written, RFC 3339 with nanoseconds.
    pub time: String,
    /// Attributes from `--log-opt`.
    pub attributes: std::collections::BTreeMap<String, String>,
    /// The line, its newline included; a line without one was the last before the end.
    pub text: Vec<u8>,
}

/// What an image for several platforms runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preference {
    /// As a program of this host.
    Native,
    /// As a wasm module.
    Wasm,
}

/// How a container is made, beside what it is.
pub struct CreateOptions<'a> {
    /// Which entry of a multi-platform image: `linux/arm64`, `wasi/wasm`; `None` prefers the host's.
    pub platform: Option<String>,
    /// What an image that is both native and wasm runs as when no platform is asked for.
    pub prefer: Option<Preference>,
    /// When the registry is asked.
    pub pull: PullPolicy,
    /// Who to be for registries, and how to reach them.
    pub pull_options: Option<&'a berth_image::PullOptions>,
    /// Hears how a pull goes on.
    pub progress: Option<&'a dyn berth_image::Progress>,
    /// What a build has made so far, in place of an image.
    pub stack: Option<&'a LayerStack>,
}

impl Default for CreateOptions<'_> {
    /// An image that is not here is fetched.
    fn default() -> Self {
        Self {
            platform: None,
            prefer: None,
            pull: PullPolicy::Missing,
            pull_options: None,
            progress: None,
            stack: None,
        }
    }
}

/// Layers that are no image yet.
#[derive(Debug, Clone)]
pub struct LayerStack {
    /// Topmost first.
    pub layers: Vec<std::path::PathBuf>,
    /// What they are for.
    pub platform: berth_image::Platform,
    /// A file in memory with variables that are to be written nowhere else.
    pub environment: Option<std::path::PathBuf>,
    /// A file in the data directory that the build holds locked while it goes on.
    pub builder: std::path::PathBuf,
}

impl std::fmt::Debug for CreateOptions<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CreateOptions")
            .field("platform", &self.platform)
            .field("pull", &self.pull)
            .finish_non_exhaustive()
    }
}

/// A container that runs.
#[derive(Debug)]
pub struct Started {
    /// Its guest's pid on the host.
    pub pid: i32,
    /// The connection to its monitor; with [`StartOptions::attach`] the guest's output comes on it.
    pub connection: berth_monitor::client::Connection,
}

/// A second process that runs in a container.
#[derive(Debug)]
pub struct ExecSession {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// Its pid on the host.
    pub pid: i32,
    /// The connection on which its end is told.
    pub connection: berth_monitor::client::Connection,
    /// The master of its terminal.
    pub terminal: Option<std::os::fd::OwnedFd>,
}

impl ExecSession {
    /// Waits until it has ended.
    ///
    /// # Errors
    /// The monitor is gone.
    pub fn wait(&mut self) -> berth_contract::Result<berth_contract::Exit> {
        self.connection.exited()
    }
}
