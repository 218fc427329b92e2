//! What a monitor is told about its container: `launch.json` in the container's directory.
//!
//! The host writes it at `create` and again before every `start`; the monitor only reads it. The guest
//! itself is described by the OCI runtime-spec in `config.json` beside it.

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
    /// What happens when the guest ends.
    pub restart: RestartPolicy,
    /// Whether the container is removed when it ends (`--rm`).
    #[serde(default)]
    pub auto_remove: bool,
    /// Directories removed together with it unless another container mounts them: its anonymous volumes.
    #[serde(default)]
    pub remove_with: Vec<PathBuf>,
    /// Directories of volumes whose own file system is mounted while it runs.
    #[serde(default)]
    pub mounted: Vec<PathBuf>,
    /// Where its output is kept.
    pub log: Log,
    /// Its network.
    pub network: berth_network::Request,
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

/// Where a container's output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// Nowhere.
    None,
    /// In Docker's json-file format: one JSON object a line with `log`, `stream` and `time`.
    JsonFile {
        /// The current file; older ones have `.1`, `.2`, … appended.
        path: PathBuf,
        /// A file larger than this many bytes is rotated; 0 means never.
        max_size: u64,
        /// How many files are kept, the current one included; at least 1.
        max_files: u32,
        /// Attributes from `--log-opt labels/env/tag`, written into each line when not empty.
        #[serde(default)]
        attributes: std::collections::BTreeMap<String, String>,
    },
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
