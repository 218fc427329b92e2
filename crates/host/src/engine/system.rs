//! What there is to tell about this host and about berth.

use std::collections::BTreeMap;
use std::fs;

use berth_contract::Result;
use berth_sys::cgroup::{Hierarchies, Layout};

use super::Engine;
use crate::api::types::{ComponentVersion, SystemInfo, Version};

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
        let mut warnings = Vec::new();
        for (controller, limit) in [("memory", "memory"), ("cpu", "CPU"), ("pids", "process")] {
            if !has(controller) {
                warnings.push(format!(
                    "no {limit} limits: this host has no {controller} controller"
                ));
            }
        }
        let forwarding = number("/proc/sys/net/ipv4/ip_forward") == 1;
        if !forwarding {
            warnings.push(
                "IPv4 forwarding is off; berth turns it on with the first bridge network"
                    .to_owned(),
            );
        }
        Ok(SystemInfo {
            name: text("/proc/sys/kernel/hostname"),
            containers: containers.len(),
            containers_running: running,
            containers_paused: paused,
            containers_stopped: containers.len() - running - paused,
            images: self.store().list()?.images.len(),
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
            cgroup_driver: "cgroupfs".to_owned(),
            logging_driver: "json-file".to_owned(),
            security_options: security_options(),
            kernel_version: kernel(),
            operating_system: operating_system(&text("/etc/os-release")),
            os_type: "linux".to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            ncpu: std::thread::available_parallelism().map_or(1, usize::from),
            mem_total: memory(&text("/proc/meminfo")),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            memory_limit: has("memory"),
            swap_limit: has("memory") && fs::exists("/proc/swaps").unwrap_or(false),
            pids_limit: has("pids"),
            cpu_cfs_quota: has("cpu"),
            ipv4_forwarding: forwarding,
            warnings,
        })
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
            ("Image Layout".to_owned(), "OCI".to_owned()),
        ]
    }

    /// Both runtimes, each with the program that carries it out or what is missing.
    fn runtimes(&self) -> BTreeMap<String, String> {
        let found = |program: &str| {
            let path = self.paths().program(program);
            if path.exists() {
                path.display().to_string()
            } else {
                format!("{program} is missing")
            }
        };
        [
            ("linux".to_owned(), found("berth-monitor")),
            ("wasm".to_owned(), found("berth-wasm")),
        ]
        .into()
    }
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

fn cgroup_version(hierarchies: &Hierarchies) -> &'static str {
    match hierarchies.layout() {
        Layout::Unified => "2",
        Layout::Hybrid => "hybrid",
        Layout::Legacy => "1",
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

/// `PRETTY_NAME` of os-release(5).
fn operating_system(release: &str) -> String {
    let line = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or_else(
        || "Linux".to_owned(),
        |name| name.trim_matches(['"', '\'']).to_owned(),
    )
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
            operating_system("ID=x\nPRETTY_NAME=\"Debian 13\"\n"),
            "Debian 13"
        );
        assert_eq!(operating_system(""), "Linux");
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
