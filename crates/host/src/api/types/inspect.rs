//! What is told about containers: the answers of `ps`, `inspect`, `top` and `prune`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::ContainerConfig;
use super::host::{HostConfig, MountKind, PortBinding};
use super::network::EndpointSettings;

/// One container in full, as `inspect` shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerInspect {
    /// The id.
    pub id: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// What is executed.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where it stands.
    pub state: ContainerState,
    /// The image's id.
    pub image: String,
    /// The container's resolver configuration on the host.
    pub resolv_conf_path: String,
    /// Its host name file on the host.
    pub hostname_path: String,
    /// Its hosts file on the host.
    pub hosts_path: String,
    /// Its log file on the host.
    pub log_path: String,
    /// Its name, with a leading `/`.
    pub name: String,
    /// How often its restart policy started it again.
    pub restart_count: u32,
    /// How its root file system is made: `overlay2` for tools that know Docker's words.
    pub driver: String,
    /// `linux`.
    pub platform: String,
    /// `linux` or `wasm`: which runtime runs it.
    pub runtime: String,
    /// The `SELinux` mount label.
    pub mount_label: String,
    /// The `SELinux` process label.
    pub process_label: String,
    /// The `AppArmor` profile.
    pub app_armor_profile: String,
    /// Running exec sessions.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    /// What was asked of the host.
    pub host_config: HostConfig,
    /// Where the root file system lies.
    pub graph_driver: GraphDriver,
    /// Bytes of its writable layer, with `--size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<i64>,
    /// Bytes of its whole root file system, with `--size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<i64>,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
    /// What was asked, with the image's defaults filled in.
    pub config: ContainerConfig,
    /// Its addresses and ports.
    pub network_settings: NetworkSettings,
}

/// Where a container stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the Engine API's own fields")]
pub struct ContainerState {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    pub status: String,
    /// Whether its guest runs, frozen or not.
    pub running: bool,
    /// Whether its guest is frozen.
    pub paused: bool,
    /// Whether its restart policy waits.
    pub restarting: bool,
    /// Whether the kernel killed it for lack of memory.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// Whether only `rm` is left.
    pub dead: bool,
    /// The guest's pid on the host.
    pub pid: i32,
    /// The last exit status.
    pub exit_code: i32,
    /// Why it could not run, or what it trapped on.
    pub error: String,
    /// When it was last started, RFC 3339.
    pub started_at: String,
    /// When it last ended, RFC 3339.
    pub finished_at: String,
    /// What could not be cleaned up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
}

/// Where a root file system lies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GraphDriver {
    /// `overlay2` or `directory`.
    pub name: String,
    /// `LowerDir`, `UpperDir`, `WorkDir`.
    pub data: BTreeMap<String, String>,
}

/// One mount of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountPoint {
    /// What it is made of.
    #[serde(rename = "Type")]
    pub kind: MountKind,
    /// The volume's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its path on the host.
    pub source: String,
    /// Its path in the container.
    pub destination: String,
    /// The volume's driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The options as written.
    pub mode: String,
    /// Whether it is writable.
    #[serde(rename = "RW")]
    pub rw: bool,
    /// How mounts inside it travel.
    pub propagation: String,
    /// The part of the volume or image that is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subpath: Option<std::path::PathBuf>,
}

/// A container's addresses and ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSettings {
    /// The bridge of the default network; always empty.
    pub bridge: String,
    /// The sandbox's id: the container's.
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    /// Where the network namespace is.
    pub sandbox_key: String,
    /// Ports by `80/tcp`; `null` for exposed and not published.
    pub ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// Kept by Docker for old clients.
    pub hairpin_mode: bool,
    /// Kept by Docker for old clients.
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_ipv6_address: String,
    /// Kept by Docker for old clients.
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_ipv6_prefix_len: u8,
    /// Kept by Docker for old clients.
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: Option<Vec<String>>,
    /// Kept by Docker for old clients.
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: Option<Vec<String>>,
    /// The default network's endpoint.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// The default network's IPv4 gateway.
    pub gateway: String,
    /// The default network's IPv4 address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// The length of its prefix.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// The default network's IPv6 gateway.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// The default network's IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// The length of its prefix.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// The default network's hardware address.
    pub mac_address: String,
    /// By network name.
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// One container in a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerSummary {
    /// The id.
    pub id: String,
    /// Its names, each with a leading `/`.
    pub names: Vec<String>,
    /// The image as the user wrote it.
    pub image: String,
    /// The image's id.
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// The command in one line.
    pub command: String,
    /// When it was made: seconds since the Unix epoch.
    pub created: i64,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Bytes of its writable layer, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<i64>,
    /// Bytes of its whole root file system, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<i64>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Docker's word for the state.
    pub state: String,
    /// The state in words: `Up 3 minutes`, `Exited (0) 2 hours ago`.
    pub status: String,
    /// Its network mode.
    pub host_config: SummaryHostConfig,
    /// Its networks.
    pub network_settings: SummaryNetworks,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
    /// `linux` or `wasm`: which runtime runs it.
    pub runtime: String,
    /// The last exit status; for `--filter exited=`.
    pub exit_code: i32,
    /// Ports the image or the user exposes: `80/tcp`.
    pub exposed_ports: Vec<String>,
}

/// The part of the host configuration that listings show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SummaryHostConfig {
    /// `bridge`, `none`, `host`, …
    pub network_mode: String,
}

/// The part of the network settings that listings show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SummaryNetworks {
    /// By network name.
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// One port of a container in a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Port {
    /// The host address of a published port.
    #[serde(rename = "IP", skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The port in the container.
    pub private_port: u16,
    /// The port on the host of a published port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_port: Option<u16>,
    /// `tcp` or `udp`.
    #[serde(rename = "Type")]
    pub kind: String,
}

/// A container's processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerTop {
    /// The columns' titles.
    pub titles: Vec<String>,
    /// One row a process.
    pub processes: Vec<Vec<String>>,
}

/// What `container prune` removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PruneReport {
    /// The removed containers' ids, or the removed images'.
    pub deleted: Vec<String>,
    /// Bytes set free.
    pub space_reclaimed: u64,
}
