//! What is asked of a new container: mounts, limits, isolation, networks, logging.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::container::is_false;
use super::null;

/// The part of a container's configuration that depends on the host.
///
/// Zero and the empty string mean "not asked for", as in the Engine API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the Engine API's own fields")]
pub struct HostConfig {
    /// `SOURCE:DESTINATION[:options]` and bare destinations, as `-v` writes them.
    #[serde(with = "null")]
    pub binds: Vec<String>,
    /// The path of `--cidfile`.
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    /// Where the output goes.
    pub log_config: LogConfig,
    /// `bridge`, `none`, `host`, `container:NAME`, or a network's name; empty means `bridge`.
    pub network_mode: String,
    /// Published ports by `80/tcp`.
    #[serde(deserialize_with = "null::deserialize")]
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    /// What happens when the guest ends.
    pub restart_policy: RestartPolicy,
    /// Remove the container when it ends (`--rm`).
    pub auto_remove: bool,
    /// The driver of named volumes; only `local`.
    pub volume_driver: String,
    /// `CONTAINER[:ro]` whose mounts are taken over.
    #[serde(with = "null")]
    pub volumes_from: Vec<String>,
    /// The structured mounts of `--mount`.
    #[serde(with = "null", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// The terminal's first size: lines, characters.
    pub console_size: [u16; 2],
    /// OCI annotations.
    #[serde(with = "null", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Capabilities to add; `ALL` for all.
    #[serde(with = "null")]
    pub cap_add: Vec<String>,
    /// Capabilities to drop; `ALL` for all.
    #[serde(with = "null")]
    pub cap_drop: Vec<String>,
    /// `host`, `private` or empty.
    pub cgroupns_mode: String,
    /// Name servers.
    #[serde(deserialize_with = "null::deserialize")]
    pub dns: Vec<String>,
    /// Resolver options.
    #[serde(deserialize_with = "null::deserialize")]
    pub dns_options: Vec<String>,
    /// Search domains.
    #[serde(deserialize_with = "null::deserialize")]
    pub dns_search: Vec<String>,
    /// `HOST:ADDRESS` lines for `/etc/hosts`.
    #[serde(with = "null")]
    pub extra_hosts: Vec<String>,
    /// Further groups of the process.
    #[serde(with = "null")]
    pub group_add: Vec<String>,
    /// `private`, `shareable`, `none`, `host`, `container:NAME` or empty.
    pub ipc_mode: String,
    /// The cgroup to join; always empty.
    pub cgroup: String,
    /// Legacy links.
    #[serde(with = "null")]
    pub links: Vec<String>,
    /// -1000 to 1000.
    pub oom_score_adj: i32,
    /// `host`, `container:NAME` or empty.
    pub pid_mode: String,
    /// All capabilities, all devices, nothing masked.
    pub privileged: bool,
    /// Publish every exposed port to a port the kernel chooses.
    pub publish_all_ports: bool,
    /// The root file system is read-only.
    pub readonly_rootfs: bool,
    /// `seccomp=…`, `apparmor=…`, `label=…`, `no-new-privileges`, `systempaths=unconfined`.
    #[serde(with = "null")]
    pub security_opt: Vec<String>,
    /// Storage driver options.
    #[serde(with = "null", skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opt: BTreeMap<String, String>,
    /// tmpfs mounts: destination to options.
    #[serde(with = "null", skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    /// `host` or empty.
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    /// `host`, `auto[:…]`, `private` (with maps), `container:NAME` or empty.
    pub userns_mode: String,
    /// The maps of the container's user namespace: as asked for, and as chosen.
    #[serde(rename = "IDMappings", skip_serializing_if = "Option::is_none")]
    pub id_mappings: Option<IdMappings>,
    /// The size of `/dev/shm` in bytes; 0 means 64 MiB.
    pub shm_size: i64,
    /// Kernel parameters of the container's namespaces.
    #[serde(with = "null", skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// `linux`, `wasm` or empty: what dispatch must find.
    pub runtime: String,
    /// Windows isolation; only `default` and empty.
    pub isolation: String,
    /// Relative CPU weight.
    pub cpu_shares: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Billionths of a CPU.
    pub nano_cpus: i64,
    /// The parent cgroup; empty means `/berth`.
    pub cgroup_parent: String,
    /// Relative block I/O weight, 10 to 1000.
    pub blkio_weight: u16,
    /// Per-device weights.
    #[serde(deserialize_with = "null::deserialize")]
    pub blkio_weight_device: Vec<WeightDevice>,
    /// Per-device read limits in bytes per second.
    #[serde(deserialize_with = "null::deserialize")]
    pub blkio_device_read_bps: Vec<ThrottleDevice>,
    /// Per-device write limits in bytes per second.
    #[serde(deserialize_with = "null::deserialize")]
    pub blkio_device_write_bps: Vec<ThrottleDevice>,
    /// Per-device read limits in operations per second.
    #[serde(rename = "BlkioDeviceReadIOps", deserialize_with = "null::deserialize")]
    pub blkio_device_read_iops: Vec<ThrottleDevice>,
    /// Per-device write limits in operations per second.
    #[serde(
        rename = "BlkioDeviceWriteIOps",
        deserialize_with = "null::deserialize"
    )]
    pub blkio_device_write_iops: Vec<ThrottleDevice>,
    /// The CFS period in microseconds.
    pub cpu_period: i64,
    /// The CFS quota in microseconds.
    pub cpu_quota: i64,
    /// The real-time period in microseconds.
    pub cpu_realtime_period: i64,
    /// The real-time runtime in microseconds.
    pub cpu_realtime_runtime: i64,
    /// CPUs: `0-2,4`.
    pub cpuset_cpus: String,
    /// Memory nodes.
    pub cpuset_mems: String,
    /// Devices.
    #[serde(deserialize_with = "null::deserialize")]
    pub devices: Vec<DeviceMapping>,
    /// `a|b|c MAJOR:MINOR rwm`.
    #[serde(with = "null")]
    pub device_cgroup_rules: Vec<String>,
    /// GPUs and CDI devices.
    #[serde(with = "null")]
    pub device_requests: Vec<DeviceRequest>,
    /// The soft limit of memory in bytes.
    pub memory_reservation: i64,
    /// Memory and swap together in bytes; -1 means no limit of swap.
    pub memory_swap: i64,
    /// 0 to 100; `None` inherits.
    pub memory_swappiness: Option<i64>,
    /// Whether the kernel must not kill for lack of memory.
    pub oom_kill_disable: Option<bool>,
    /// Whether our reaper runs as pid 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// At most so many processes; 0 and -1 mean no limit.
    pub pids_limit: Option<i64>,
    /// Resource limits.
    #[serde(deserialize_with = "null::deserialize")]
    pub ulimits: Vec<Ulimit>,
    /// Windows only; always 0.
    pub cpu_count: i64,
    /// Windows only; always 0.
    pub cpu_percent: i64,
    /// Windows only; always 0.
    #[serde(rename = "IOMaximumIOps")]
    pub io_maximum_iops: u64,
    /// Windows only; always 0.
    #[serde(rename = "IOMaximumBandwidth")]
    pub io_maximum_bandwidth: u64,
    /// Paths hidden; `None` means the default ones.
    pub masked_paths: Option<Vec<String>>,
    /// Paths made read-only; `None` means the default ones.
    pub readonly_paths: Option<Vec<String>>,
    /// What `/etc/hosts` begins with (`--hosts-file`); `None` means the usual lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_hosts: Option<String>,
    /// Whether the image's `/etc/hosts` is left as it is.
    #[serde(skip_serializing_if = "is_false")]
    pub no_hosts: bool,
    /// Whether the image's `/etc/hostname` is left as it is.
    #[serde(skip_serializing_if = "is_false")]
    pub no_hostname: bool,
    /// Whether the image's variables and the engine's own are left out (`--unsetenv-all`).
    #[serde(skip_serializing_if = "is_false")]
    pub unset_env_all: bool,
    /// The file mode creation mask (`--umask`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// How many seconds it may run before it is killed (`--timeout`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Where its pid is written at every start (`--pidfile`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<PathBuf>,
}

/// The maps of a user namespace, in lines of `CONTAINER:HOST:LENGTH`, as Podman shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IdMappings {
    /// Users.
    pub uid_map: Vec<String>,
    /// Groups.
    pub gid_map: Vec<String>,
}

/// Where a container's output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// `json-file`, `local`, `none`; empty means `json-file`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `max-size`, `max-file`, `labels`, …
    pub config: BTreeMap<String, String>,
}

/// A host address and port for one container port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// Empty means every address.
    pub host_ip: String,
    /// A port or a range; empty or `0` lets the kernel choose.
    pub host_port: String,
}

/// What happens when a guest ends by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// `no`, `always`, `unless-stopped`, `on-failure`; empty means `no`.
    pub name: String,
    /// With `on-failure`: how often at most; 0 means without end.
    pub maximum_retry_count: u32,
}

/// One mount of `--mount`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mount {
    /// What kind it is.
    #[serde(rename = "Type")]
    pub kind: MountKind,
    /// A path, a volume's name, an image; empty for an anonymous volume and for tmpfs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Whether it is read-only.
    pub read_only: bool,
    /// `default`, `cached`, `delegated`: accepted, without effect on Linux.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consistency: String,
    /// Podman's `idmap`: `true`, `match-user`, or `uids=…;gids=…`; empty means no.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id_map: String,
    /// Podman's `U`: give the source to the container's user.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub chown: bool,
    /// Options of a bind mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// Options of a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// Options of an image mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<ImageOptions>,
    /// Options of a tmpfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// What a mount is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A file or directory of the host.
    Bind,
    /// A named or anonymous volume.
    #[default]
    Volume,
    /// Memory.
    Tmpfs,
    /// An image's files, read-only.
    Image,
}

/// Options of a bind mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the Engine API's own fields")]
pub struct BindOptions {
    /// `private`, `rprivate`, `shared`, `rshared`, `slave`, `rslave`; empty means `rprivate`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Leave the mounts below the source out.
    pub non_recursive: bool,
    /// Make the source directory when it is missing.
    pub create_mountpoint: bool,
    /// Mounts below the source stay writable although this one is read-only.
    pub read_only_non_recursive: bool,
    /// Fail when the mounts below the source cannot be made read-only.
    pub read_only_force_recursive: bool,
}

/// Options of a volume mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// Do not copy the image's files into an empty volume.
    pub no_copy: bool,
    /// Labels of a volume that is made on first use.
    pub labels: BTreeMap<String, String>,
    /// The directory inside the volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subpath: String,
    /// The driver of a volume that is made on first use: only `local`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The driver's options.
    pub driver_options: BTreeMap<String, String>,
}

/// Options of an image mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageOptions {
    /// The directory inside the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// Options of a tmpfs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// Bytes; 0 means half of the memory.
    pub size_bytes: i64,
    /// Permission bits; 0 means 1777.
    pub mode: u32,
}

/// A per-device block I/O weight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WeightDevice {
    /// The device's path on the host.
    pub path: String,
    /// 10 to 1000.
    pub weight: u16,
}

/// A per-device block I/O limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ThrottleDevice {
    /// The device's path on the host.
    pub path: String,
    /// Bytes or operations per second.
    pub rate: u64,
}

/// A device of the host inside the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceMapping {
    /// The device, or a directory of devices.
    pub path_on_host: String,
    /// Its path in the container.
    pub path_in_container: String,
    /// Some of `rwm`.
    pub cgroup_permissions: String,
}

/// A request for devices by capability (`--gpus`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceRequest {
    /// `nvidia`, `cdi`, …
    pub driver: String,
    /// How many; -1 means all.
    pub count: i64,
    /// Which ones.
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Vec<String>,
    /// Lists of capabilities, any of which will do.
    pub capabilities: Vec<Vec<String>>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
}

/// One resource limit of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    pub name: String,
    /// The soft limit; -1 means none.
    pub soft: i64,
    /// The hard limit; -1 means none.
    pub hard: i64,
}
