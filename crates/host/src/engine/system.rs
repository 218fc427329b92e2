//! What there is to tell about this host and about berth.

use std::collections::BTreeMap;
use std::fs;

use berth_contract::Result;
use berth_sys::cgroup::{Hierarchies, Layout};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Engine;
use crate::api::types::{
    ClientInfo, ComponentVersion, FirewallBackend, Plugins, RuntimeInfo, Swarm, SystemInfo, Version,
};
use crate::format::time;

/// The newest Engine API whose documents berth writes.
const API_VERSION: &str = "1.44";
/// The oldest one its documents still fit.
const MINIMUM_API_VERSION: &str = "1.24";

impl Engine {
    /// Everything about this host that containers notice.
    ///
    /// # Errors
    /// The containers or images cannot be listed.
    pub fn info(&self) -> Result<SystemInfo> {
        let containers = self.list()?.containers;
        let images = self.store().list()?;
        let in_state = |state: &str| containers.iter().filter(|one| one.state == state).count();
        let (running, paused) = (
            in_state("running") + in_state("restarting"),
            in_state("paused"),
        );
        let hierarchies = Hierarchies::discover().ok();
        let has = |controller: &str| {
            hierarchies
                .as_ref()
                .is_some_and(|found| found.has(controller))
        };
        let forwarding = number("/proc/sys/net/ipv4/ip_forward") == 1;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(SystemInfo {
            id: self.identity(),
            name: text("/proc/sys/kernel/hostname"),
            plugins: plugins(),
            init_binary: "berth-monitor".to_owned(),
            registry_config: registries(),
            index_server_address: "https://index.docker.io/v1/".to_owned(),
            system_time: time::rfc3339(berth_sys::clock::realtime()),
            live_restore_enabled: true,
            swarm: no_swarm(),
            firewall_backend: FirewallBackend {
                driver: "nftables".to_owned(),
            },
            cdi_spec_dirs: owned(&super::spec::CDI_DIRECTORIES),
            client_info: client(&version),
            containers: containers.len(),
            containers_running: running,
            containers_paused: paused,
            containers_stopped: containers.len() - running - paused,
            images: images.images.len() + images.lists.len(),
            driver: "overlay2".to_owned(),
            driver_status: self.storage_status(),
            docker_root_dir: self.paths().data().display().to_string(),
            run_root: self.paths().run().display().to_string(),
            runtimes: self.runtimes(),
            default_runtime: "linux".to_owned(),
            cgroup_version: hierarchies
                .as_ref()
                .map_or("none", cgroup_version)
                .to_owned(),
            cgroup_layout: hierarchies
                .as_ref()
                .map_or("none", cgroup_layout)
                .to_owned(),
            cgroup_driver: "cgroupfs".to_owned(),
            logging_driver: "json-file".to_owned(),
            security_options: security_options(),
            kernel_version: kernel(),
            operating_system: release("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
            os_version: release("VERSION_ID").unwrap_or_default(),
            os_type: "linux".to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            ncpu: std::thread::available_parallelism().map_or(1, usize::from),
            mem_total: memory(&text("/proc/meminfo")),
            server_version: version,
            memory_limit: has("memory"),
            swap_limit: has("memory") && fs::exists("/proc/swaps").unwrap_or(false),
            pids_limit: has("pids"),
            cpu_cfs_period: has("cpu"),
            cpu_cfs_quota: has("cpu"),
            cpu_shares: has("cpu"),
            cpu_set: has("cpuset"),
            // Control groups of version 2 have no such switch.
            oom_kill_disable: has("memory")
                && hierarchies
                    .as_ref()
                    .is_some_and(|found| cgroup_version(found) == "1"),
            ipv4_forwarding: forwarding,
            warnings: warnings(has, forwarding),
            ..SystemInfo::default()
        })
    }

    /// The engine's id, in the form of a UUID: what tells this host and data directory from others,
    /// without telling the host's own id, which machine-id(5) wants kept secret.
    fn identity(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(text("/etc/machine-id"));
        hash.update(self.paths().data().as_os_str().as_encoded_bytes());
        let digits: String = hash
            .finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let part = |from, to| digits.get(from..to).unwrap_or_default();
        format!(
            "{}-{}-{}-{}-{}",
            part(0, 8),
            part(8, 12),
            part(12, 16),
            part(16, 20),
            part(20, 32)
        )
    }

    /// Which berth this is.
    #[must_use]
    pub fn version(&self) -> Version {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let component = |name: &str| ComponentVersion {
            name: name.to_owned(),
            version: version.clone(),
        };
        Version {
            version: version.clone(),
            api_version: API_VERSION.to_owned(),
            min_api_version: MINIMUM_API_VERSION.to_owned(),
            os: "linux".to_owned(),
            arch: berth_image::Platform::host().architecture,
            kernel_version: kernel(),
            components: ["berth-monitor", "berth-wasm", "berth-wasmc"]
                .map(component)
                .into(),
        }
    }

    fn storage_status(&self) -> Vec<(String, String)> {
        let data = self.paths().data();
        let mounts = text("/proc/self/mountinfo");
        vec![
            (
                "Backing Filesystem".to_owned(),
                file_system(&mounts, &data.display().to_string()),
            ),
            ("Supports d_type".to_owned(), "true".to_owned()),
            ("Using metacopy".to_owned(), "false".to_owned()),
            ("Native Overlay Diff".to_owned(), "true".to_owned()),
            ("Image Layout".to_owned(), "OCI".to_owned()),
        ]
    }

    /// Both runtimes, each with the program that carries it out or what is missing.
    fn runtimes(&self) -> BTreeMap<String, RuntimeInfo> {
        let found = |program: &str| {
            let path = self.paths().program(program);
            RuntimeInfo {
                missing: if path.exists() {
                    String::new()
                } else {
                    format!("{program} is missing")
                },
                path: path.display().to_string(),
            }
        };
        [
            ("linux".to_owned(), found("berth-monitor")),
            ("wasm".to_owned(), found("berth-wasm")),
        ]
        .into()
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn plugins() -> Plugins {
    Plugins {
        volume: owned(&["local"]),
        network: owned(&["bridge", "host", "null"]),
        authorization: None,
        log: owned(&super::logging::DRIVERS),
    }
}

/// The client is this program too.
fn client(version: &str) -> ClientInfo {
    ClientInfo {
        version: version.to_owned(),
        os: "linux".to_owned(),
        arch: berth_image::Platform::host().architecture,
        context: "default".to_owned(),
        ..ClientInfo::default()
    }
}

/// Docker's word for it; registries on this machine may be reached without TLS.
fn registries() -> Value {
    json!({
        "IndexConfigs": {
            "docker.io": {"Mirrors": [], "Name": "docker.io", "Official": true, "Secure": true},
        },
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
        "Mirrors": null,
    })
}

fn no_swarm() -> Swarm {
    Swarm {
        local_node_state: "inactive".to_owned(),
        ..Swarm::default()
    }
}

/// What does not work on this host.
fn warnings(has: impl Fn(&str) -> bool, forwarding: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    for (controller, limit) in [("memory", "memory"), ("cpu", "CPU"), ("pids", "process")] {
        if !has(controller) {
            warnings.push(format!(
                "no {limit} limits: this host has no {controller} controller"
            ));
        }
    }
    if !forwarding {
        warnings.push(
            "IPv4 forwarding is off; berth turns it on with the first bridge network".to_owned(),
        );
    }
    warnings
}

fn text(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

fn number(path: &str) -> u64 {
    text(path).parse().unwrap_or(0)
}

fn kernel() -> String {
    text("/proc/sys/kernel/osrelease")
}

/// Docker's word: on a hybrid host the controllers are those of version 1.
fn cgroup_version(hierarchies: &Hierarchies) -> &'static str {
    match hierarchies.layout() {
        Layout::Unified => "2",
        Layout::Hybrid | Layout::Legacy => "1",
    }
}

fn cgroup_layout(hierarchies: &Hierarchies) -> &'static str {
    match hierarchies.layout() {
        Layout::Unified => "unified",
        Layout::Hybrid => "hybrid",
        Layout::Legacy => "legacy",
    }
}

fn security_options() -> Vec<String> {
    let mut options = Vec::new();
    if text("/sys/module/apparmor/parameters/enabled").starts_with('Y') {
        options.push("name=apparmor".to_owned());
    }
    options.push("name=seccomp,profile=builtin".to_owned());
    if fs::exists("/sys/fs/selinux/enforce").unwrap_or(false) {
        options.push("name=selinux".to_owned());
    }
    options.push("name=cgroupns".to_owned());
    options
}

/// A value of this host's os-release(5).
fn release(key: &str) -> Option<String> {
    release_value(&text("/etc/os-release"), key)
}

fn release_value(release: &str, key: &str) -> Option<String> {
    let mut pairs = release.lines().filter_map(|line| line.split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == key)?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// `MemTotal` of `/proc/meminfo` in bytes.
fn memory(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1024)
}

/// The type of the file system under a path: that of the longest mount point that leads to it.
fn file_system(mountinfo: &str, path: &str) -> String {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?;
        let inside = path == point
            || path
                .strip_prefix(point)
                .is_some_and(|rest| rest.starts_with('/') || point == "/");
        inside.then(|| (point.len(), after.split(' ').next().unwrap_or_default()))
    });
    // Of mounts on one point the last covers the others.
    mounts
        .max_by_key(|(length, _)| *length)
        .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_facts_are_read_from_text() {
        assert_eq!(
            release_value("ID=x\nPRETTY_NAME=\"Debian 13\"\n", "PRETTY_NAME").as_deref(),
            Some("Debian 13")
        );
        assert_eq!(release_value("", "PRETTY_NAME"), None);
        assert_eq!(memory("MemTotal:       2048 kB\n"), 2 << 20);
    }

    #[test]
    fn the_longest_mount_point_counts() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/x rw\n\
                      2 1 8:2 / /var rw - xfs /dev/y rw\n\
                      3 1 8:3 / /var/lib rw shared:1 - btrfs /dev/z rw\n";
        assert_eq!(file_system(mounts, "/var/lib/berth"), "btrfs");
        assert_eq!(file_system(mounts, "/var/library"), "xfs");
        assert_eq!(file_system(mounts, "/home"), "ext4");
        assert_eq!(file_system("", "/home"), "unknown");
    }
}
