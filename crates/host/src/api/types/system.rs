//! What is told about the host and about berth itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What `info` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the Engine API's own fields")]
pub struct SystemInfo {
    /// The host's name.
    pub name: String,
    /// How many containers there are.
    pub containers: usize,
    /// How many run.
    pub containers_running: usize,
    /// How many are frozen.
    pub containers_paused: usize,
    /// How many do not run.
    pub containers_stopped: usize,
    /// How many images there are.
    pub images: usize,
    /// How root file systems are made: `overlay2`.
    pub driver: String,
    /// What the kernel under the storage offers.
    pub driver_status: Vec<(String, String)>,
    /// The data directory.
    pub docker_root_dir: String,
    /// The run directory.
    pub run_root: String,
    /// The runtimes and whether this host can run them.
    pub runtimes: BTreeMap<String, String>,
    /// The runtime of native images.
    pub default_runtime: String,
    /// `1`, `2` or `hybrid`.
    pub cgroup_version: String,
    /// `cgroupfs`.
    pub cgroup_driver: String,
    /// The log driver of containers that name none.
    pub logging_driver: String,
    /// `name=seccomp,profile=builtin`, …
    pub security_options: Vec<String>,
    /// The kernel's release.
    pub kernel_version: String,
    /// The distribution.
    pub operating_system: String,
    /// `linux`.
    #[serde(rename = "OSType")]
    pub os_type: String,
    /// The machine: `x86_64`.
    pub architecture: String,
    /// How many CPUs there are.
    #[serde(rename = "NCPU")]
    pub ncpu: usize,
    /// Bytes of memory.
    pub mem_total: u64,
    /// berth's version.
    pub server_version: String,
    /// Whether memory can be limited.
    pub memory_limit: bool,
    /// Whether swap can be limited.
    pub swap_limit: bool,
    /// Whether processes can be limited.
    pub pids_limit: bool,
    /// Whether CPU bandwidth can be limited.
    pub cpu_cfs_quota: bool,
    /// Whether packets are forwarded.
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: bool,
    /// What does not work here and why.
    pub warnings: Vec<String>,
}

/// What `version` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Version {
    /// berth's version.
    pub version: String,
    /// The Engine API's version that berth speaks.
    pub api_version: String,
    /// The oldest one.
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: String,
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`.
    pub arch: String,
    /// The kernel's release.
    pub kernel_version: String,
    /// What berth is made of.
    pub components: Vec<ComponentVersion>,
}

/// One part of berth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ComponentVersion {
    /// `wasmtime`, `berth-monitor`, …
    pub name: String,
    /// Its version.
    pub version: String,
}
