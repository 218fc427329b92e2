//! What is told about the host and about berth itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::null;

/// What `info` shows: Docker's fields, and what only berth has at the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the Engine API's own fields")]
pub struct SystemInfo {
    /// The engine's id: the same as long as the host and the data directory are.
    #[serde(rename = "ID")]
    pub id: String,
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
    /// What can be chosen by name.
    pub plugins: Plugins,
    /// Whether memory can be limited.
    pub memory_limit: bool,
    /// Whether swap can be limited.
    pub swap_limit: bool,
    /// Whether CPU bandwidth can be limited: the period.
    pub cpu_cfs_period: bool,
    /// Whether CPU bandwidth can be limited: the quota.
    pub cpu_cfs_quota: bool,
    /// Whether CPU time can be shared by weight.
    #[serde(rename = "CPUShares")]
    pub cpu_shares: bool,
    /// Whether CPUs can be chosen.
    #[serde(rename = "CPUSet")]
    pub cpu_set: bool,
    /// Whether processes can be limited.
    pub pids_limit: bool,
    /// Whether packets are forwarded.
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: bool,
    /// Whether the engine tells every step; it has no daemon that could.
    pub debug: bool,
    /// File descriptors of a daemon: none.
    #[serde(rename = "NFd")]
    pub nfd: u32,
    /// Whether the kernel can be kept from killing for lack of memory.
    pub oom_kill_disable: bool,
    /// Threads of a daemon: none.
    #[serde(rename = "NGoroutines")]
    pub ngoroutines: u32,
    /// Now, RFC 3339.
    pub system_time: String,
    /// The log driver of containers that name none.
    pub logging_driver: String,
    /// `cgroupfs`.
    pub cgroup_driver: String,
    /// `1` (hybrid hosts too) or `2`.
    pub cgroup_version: String,
    /// Who listens for events: nobody.
    #[serde(rename = "NEventsListener")]
    pub nevents_listener: u32,
    /// The kernel's release.
    pub kernel_version: String,
    /// The distribution.
    pub operating_system: String,
    /// The distribution's version.
    #[serde(rename = "OSVersion")]
    pub os_version: String,
    /// `linux`.
    #[serde(rename = "OSType")]
    pub os_type: String,
    /// The machine: `x86_64`.
    pub architecture: String,
    /// The registry of names without one.
    pub index_server_address: String,
    /// How registries are reached.
    pub registry_config: Value,
    /// How many CPUs there are.
    #[serde(rename = "NCPU")]
    pub ncpu: usize,
    /// Bytes of memory.
    pub mem_total: u64,
    /// Swarm's.
    pub generic_resources: Option<Vec<Value>>,
    /// The data directory.
    pub docker_root_dir: String,
    /// The proxy for plain registries.
    pub http_proxy: String,
    /// The proxy for registries.
    pub https_proxy: String,
    /// Hosts that are reached without it.
    pub no_proxy: String,
    /// The host's name.
    pub name: String,
    /// Labels of the engine: none.
    pub labels: Vec<String>,
    /// Whether unfinished features are on.
    pub experimental_build: bool,
    /// berth's version.
    pub server_version: String,
    /// The runtimes, each with the program that carries it out.
    pub runtimes: BTreeMap<String, RuntimeInfo>,
    /// The runtime of native images.
    pub default_runtime: String,
    /// Swarm: inactive.
    pub swarm: Swarm,
    /// Whether containers outlive the engine: there is nothing to outlive.
    pub live_restore_enabled: bool,
    /// Windows' isolation.
    pub isolation: String,
    /// Docker's parts that berth has none of.
    pub containerd_commit: Commit,
    /// Docker's parts that berth has none of.
    pub runc_commit: Commit,
    /// Docker's parts that berth has none of.
    pub init_commit: Commit,
    /// The reaper of `--init`.
    pub init_binary: String,
    /// `name=seccomp,profile=builtin`, …
    pub security_options: Vec<String>,
    /// Who filters packets.
    pub firewall_backend: FirewallBackend,
    /// Where devices are described by name.
    #[serde(rename = "CDISpecDirs")]
    pub cdi_spec_dirs: Vec<String>,
    /// What does not work here and why.
    #[serde(with = "null")]
    pub warnings: Vec<String>,
    /// The client, which is the same program.
    pub client_info: ClientInfo,
    /// How this host lays its control groups out: `legacy`, `hybrid` or `unified`.
    pub cgroup_layout: String,
    /// The run directory.
    pub run_root: String,
}

/// Which build of a part of Docker is in use: of none of them, any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commit {
    /// Empty.
    #[serde(rename = "ID")]
    pub id: String,
}

/// What can be chosen by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Plugins {
    /// Drivers of volumes.
    pub volume: Vec<String>,
    /// Drivers of networks.
    pub network: Vec<String>,
    /// Authorization plugins: none.
    pub authorization: Option<Vec<String>>,
    /// Drivers of logs.
    pub log: Vec<String>,
}

/// One runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimeInfo {
    /// The program.
    pub path: String,
    /// What is missing for it here.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub missing: String,
}

/// A cluster that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Swarm {
    /// Empty.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// Empty.
    pub node_addr: String,
    /// `inactive`.
    pub local_node_state: String,
    /// Never.
    pub control_available: bool,
    /// Empty.
    pub error: String,
    /// None.
    pub remote_managers: Option<Vec<Value>>,
}

/// Who filters packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FirewallBackend {
    /// `nftables`.
    pub driver: String,
}

/// The client's part of `info`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClientInfo {
    /// Whether it tells every step.
    pub debug: bool,
    /// Its version.
    pub version: String,
    /// Its operating system.
    pub os: String,
    /// Its architecture.
    pub arch: String,
    /// Which engine it speaks to: always this one.
    pub context: String,
    /// Further programs: none.
    pub plugins: Vec<Value>,
    /// None.
    pub warnings: Option<Vec<String>>,
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
