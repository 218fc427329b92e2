//! What a client and a monitor say to each other on the control socket.
//!
//! A stream of frames, each `kind: u8, length: u32 little-endian, payload`. Control frames carry JSON,
//! stream frames carry bytes as they are. File descriptors travel with the first byte of the frame they
//! belong to (`SCM_RIGHTS`). A client may have [`STDIN_WINDOW`] bytes of standard input under way, no
//! more; the monitor tells how much the guest has taken ([`Kind::Taken`]). So the monitor never has to
//! stop reading a connection, and a `Kill` is never stuck behind input that the guest does not read.
//!
//! Connection 0, the socketpair the monitor is started with, speaks the same
//! protocol: the client may send [`Request::Attach`] there before the guest runs, so that no output is
//! missed, and is told [`Reply::Started`] or [`Reply::Failed`].

use berth_contract::{Exit, Report, Signal, TerminalSize, oci};
use serde::{Deserialize, Serialize};

/// The largest payload of one frame in bytes; a longer one ends the connection.
pub const MAXIMUM_PAYLOAD: u32 = 16 << 20;

/// How many bytes of standard input a client may have sent beyond what [`Kind::Taken`] returned.
pub const STDIN_WINDOW: usize = 64 << 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Client to monitor: a [`Request`].
    Request = 1,
    /// Monitor to client: a [`Reply`].
    Reply = 2,
    /// Client to monitor: bytes for the guest's standard input.
    Stdin = 3,
    /// Client to monitor: standard input has ended.
    StdinEnd = 4,
    /// Monitor to client: bytes of standard output (of the terminal, with `-t`).
    Stdout = 5,
    /// Monitor to client: bytes of standard error.
    Stderr = 6,
    /// Monitor to client: so many bytes (`u32` little-endian) of its standard input are done with.
    Taken = 7,
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Stream the guest's output to me, and my input to it. Answered by [`Reply::Ok`] (on connection 0
    /// before the guest runs by [`Reply::Started`]), stream frames, and [`Reply::Exited`] when the guest
    /// has ended and all its output was sent.
    Attach {
        /// Whether I will send standard input.
        stdin: bool,
        /// Whether I want standard output.
        stdout: bool,
        /// Whether I want standard error.
        stderr: bool,
    },
    /// Change a terminal's size.
    Resize {
        /// The new size.
        size: TerminalSize,
        /// The exec session; `None` means the guest itself.
        exec: Option<String>,
    },
    /// Send a signal to the guest's first process.
    Kill {
        /// The signal.
        signal: Signal,
    },
    /// Stop the guest; answered by [`Reply::Exited`].
    Stop {
        /// In place of the container's stop signal.
        signal: Option<Signal>,
        /// In place of the container's stop timeout, in seconds; -1 waits for ever.
        timeout: Option<i64>,
        /// Whether a container that goes with its end (`--rm`) stays this time: it is started again.
        #[serde(default)]
        keep: bool,
    },
    /// Freeze the guest.
    Pause,
    /// Thaw the guest.
    Unpause,
    /// Tell me when the container has stopped for good, its restart policy included: answered by
    /// [`Reply::Exited`]; with `removed` by [`Reply::Removed`] instead.
    Wait {
        /// Until its directory is removed (`--rm`; refused for a container that stays).
        removed: bool,
    },
    /// Run a second process inside the guest. Without `detach` and `terminal` the three standard
    /// streams come with the frame; with `terminal` the pty's master goes back with [`Reply::ExecStarted`].
    /// The session's end is told by [`Reply::Exited`] on this connection.
    Exec {
        /// The session's id, chosen by the client: 64 hexadecimal digits.
        id: String,
        /// The process.
        process: Box<oci::Process>,
        /// Run it with its streams on `/dev/null`.
        detach: bool,
    },
    /// Replace the restart policy from now on (`update --restart`).
    SetRestart {
        /// The new policy.
        policy: crate::launch::RestartPolicy,
    },
}

/// What a monitor answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Ok,
    /// The guest runs; sent once on connection 0.
    Started {
        /// Its pid on the host.
        pid: i32,
    },
    /// The exec session runs.
    ExecStarted {
        /// Its pid on the host.
        pid: i32,
    },
    /// The guest, or the exec session, has ended.
    Exited {
        /// How.
        exit: Exit,
    },
    /// The container and its directory are gone.
    Removed,
    /// What was asked did not happen.
    Failed {
        /// Why.
        report: Report,
    },
}
