//! What a monitor is told about its container: `launch.json` in the container's directory.
//!
//! The host writes it at `create` and again before every `start`; the monitor only reads it. The guest
//! itself is described by the OCI runtime-spec in `config.json` beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use berth_contract::{ContainerId, Rootfs, Signal};
use serde::{Deserialize, Serialize};

/// Everything a monitor needs beside the OCI runtime-spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "Docker's own flags, each independent"
)]
pub struct Launch {
    /// The container.
    pub id: ContainerId,
    /// Which runtime drives it.
    pub runtime: RuntimeKind,
    /// Where its root file system comes from.
    pub rootfs: Rootfs,
    /// The compiled module of a wasm guest.
    #[serde(default)]
    pub module: Option<PathBuf>,
    /// The program to run with our own reaper as pid 1 (`--init`).
    #[serde(default)]
    pub init: bool,
    /// Whether the guest has a terminal (`-t`).
    #[serde(default)]
    pub terminal: bool,
    /// Whether the guest's standard input stays open (`-i`); otherwise it is `/dev/null`.
    #[serde(default)]
    pub open_stdin: bool,
    /// Whether standard input closes when the first client that attached to it leaves.
    #[serde(default)]
    pub stdin_once: bool,
    /// What `stop` sends.
    pub stop_signal: Signal,
    /// How long `stop` waits before it kills, in seconds; `None` waits for ever.
    pub stop_timeout: Option<u64>,
    /// How long the guest may run before it is killed, in seconds; `None` is for ever.
    #[serde(default)]
    pub timeout: Option<u64>,
    /// Where the guest's pid is written at every start.
    #[serde(default)]
    pub pid_file: Option<PathBuf>,
    /// What happens when the guest ends.
    pub restart: RestartPolicy,
    /// Whether the container is removed when it ends (`--rm`).
    #[serde(default)]
    pub auto_remove: bool,
    /// Whether it is killed and removed when a client leaves that is attached to it: a step of a build is of
    /// no use to anybody else.
    #[serde(default)]
    pub attended: bool,
    /// A JSON list of variables that are not in the runtime-spec, in memory: they are secret.
    #[serde(default)]
    pub environment: Option<PathBuf>,
    /// Directories removed together with it unless another container mounts them: its anonymous volumes.
    #[serde(default)]
    pub remove_with: Vec<PathBuf>,
    /// Directories of volumes whose own file system is mounted while it runs.
    #[serde(default)]
    pub mounted: Vec<PathBuf>,
    /// Where its output goes.
    pub log: Log,
    /// Its network.
    pub network: berth_network::Request,
    /// The containers whose namespaces it joins, by the runtime-spec's word for the kind.
    #[serde(default)]
    pub joined: BTreeMap<String, ContainerId>,
    /// Files the monitor completes once addresses are known.
    pub names: NameFiles,
    /// The engine's directories.
    pub directories: Directories,
}

/// The runtimes the monitor's binary links; the library never looks at this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeKind {
    /// Native guests.
    Linux,
    /// Wasm guests.
    Wasm,
}

/// What happens when a guest ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Nothing.
    No,
    /// It is started again, until `stop`.
    Always,
    /// As `Always`; differs only in what happens after a reboot.
    UnlessStopped,
    /// It is started again when its status was not 0.
    OnFailure {
        /// How often at most; 0 means without end.
        maximum: u32,
    },
}

/// Where a container's output goes; with neither nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The file that `logs` reads.
    #[serde(default)]
    pub file: Option<LogFile>,
    /// Who gets it as it comes.
    #[serde(default)]
    pub receiver: Option<Receiver>,
}

/// A log in Docker's json-file format: one JSON object a line with `log`, `stream` and `time`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// The current file; older ones have `.1`, `.2`, … appended.
    pub path: PathBuf,
    /// A file larger than this many bytes is rotated; 0 means never.
    pub max_size: u64,
    /// How many files are kept, the current one included; at least 1.
    pub max_files: u32,
    /// Attributes from `--log-opt labels/env/tag`, written into each line when not empty.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// A socket that gets each entry of the log as a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Where it listens.
    pub address: Address,
    /// What it understands.
    pub format: LogFormat,
    /// How many bytes may wait for it before more is dropped; without, the guest waits instead.
    #[serde(default)]
    pub buffer: Option<u64>,
}

/// Where a [`Receiver`] listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// A unix socket of connections.
    Stream(PathBuf),
    /// A unix socket of datagrams.
    Datagram(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
    /// UDP.
    Udp(SocketAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(path) => write!(formatter, "unix://{}", path.display()),
            Self::Datagram(path) => write!(formatter, "unixgram://{}", path.display()),
            Self::Tcp(address) => write!(formatter, "tcp://{address}"),
            Self::Udp(address) => write!(formatter, "udp://{address}"),
        }
    }
}

/// What a [`Receiver`] understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Syslog messages.
    Syslog(Syslog),
    /// The journal's native protocol.
    Journal {
        /// The fields of every entry, beside the message and what belongs to it.
        fields: BTreeMap<String, String>,
    },
}

/// How a syslog message is put together: priority, time, `before_pid`, the monitor's pid, `after_pid`, text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syslog {
    /// The facility, 0 to 23.
    pub facility: u8,
    /// How the time is written.
    pub time: SyslogTime,
    /// What stands between the time and the pid.
    pub before_pid: String,
    /// What stands between the pid and the text.
    pub after_pid: String,
    /// The local time's distance from UTC in seconds, and since when: seconds since the Unix epoch.
    pub offsets: Vec<(u64, i32)>,
}

/// How a syslog message says when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogTime {
    /// `Nov 23 18:15:24`.
    Stamp,
    /// `1 2026-11-23T18:15:24Z`, after the version of RFC 5424.
    Seconds,
    /// `1 2026-11-23T18:15:24.123456Z`.
    Microseconds,
}

/// Files that are bind-mounted into the guest and completed once addresses are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameFiles {
    /// The container's `/etc/hosts` in its directory; the monitor appends `address hostname…` lines.
    #[serde(default)]
    pub hosts: Option<PathBuf>,
    /// The names written beside each of the container's addresses.
    #[serde(default)]
    pub names: Vec<String>,
    /// The names written beside the default gateway's address (`--add-host NAME:host-gateway`).
    #[serde(default)]
    pub gateway_names: Vec<String>,
}

/// The engine's directories as the monitor needs them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directories {
    /// The data directory (`/var/lib/berth`).
    pub data: PathBuf,
    /// The run directory (`/run/berth`).
    pub run: PathBuf,
    /// Where `berth-wasm` and `berth-wasmc` lie.
    pub programs: PathBuf,
}

impl Directories {
    /// The container's durable directory: `DATA/containers/ID`.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.data.join("containers").join(id.as_str())
    }

    /// The container's volatile directory: `RUN/ID`.
    #[must_use]
    pub fn running(&self, id: &ContainerId) -> PathBuf {
        self.run.join(id.as_str())
    }

    /// Where the container's root file system is mounted for people of the host: `RUN/mounts/ID`.
    #[must_use]
    pub fn mounted(&self, id: &ContainerId) -> PathBuf {
        self.run.join("mounts").join(id.as_str())
    }
}

/// The name of the file that holds a [`Launch`], in the container's directory.
pub const LAUNCH_FILE: &str = "launch.json";
/// The name of the file that holds the OCI runtime-spec, in the container's directory.
pub const SPEC_FILE: &str = "config.json";

impl Launch {
    /// The path of the launch file in a container's directory.
    #[must_use]
    pub fn path(container: &Path) -> PathBuf {
        container.join(LAUNCH_FILE)
    }
}
