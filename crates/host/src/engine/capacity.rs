//! What of this machine limits are checked against.

use std::fs;
use std::path::Path;

use super::spec::Capacity;
use crate::api::types::HostConfig;

/// Looked up only as far as something is limited.
pub(super) fn capacity(host: &HostConfig) -> Capacity {
    let swap = host.memory > 0 || host.memory_swap != 0;
    Capacity {
        cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        swap: swap && swap_accounting(),
    }
}

/// Whether the kernel accounts for swap: v1 shows a file for it only then; v2 always can.
fn swap_accounting() -> bool {
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else {
        return false;
    };
    for line in mounts.lines() {
        let Some((place, kind)) = line.split_once(" - ") else {
            continue;
        };
        let Some(place) = place.split(' ').nth(4).map(Path::new) else {
            continue;
        };
        let mut words = kind.split(' ');
        match words.next() {
            Some("cgroup") if words.next_back().is_some_and(controls_memory) => {
                return place.join("memory.memsw.limit_in_bytes").exists();
            }
            Some("cgroup2") => {
                let controllers =
                    fs::read_to_string(place.join("cgroup.controllers")).unwrap_or_default();
                if controllers
                    .split_ascii_whitespace()
                    .any(|name| name == "memory")
                {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

fn controls_memory(options: &str) -> bool {
    options.split(',').any(|option| option == "memory")
}
