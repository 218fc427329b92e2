//! OCI `linux.resources` written to the controllers that the host has, v1 or v2.

mod cpu;
mod io;
mod memory;
mod other;

use berth_contract::{Result, oci};

use super::file::Directory;
use super::{Cgroup, Place, tree};

/// Applies every limit of `resources`.
pub(super) fn apply(cgroup: &Cgroup, resources: &oci::LinuxResources) -> Result<()> {
    if let Some(rules) = &resources.devices {
        other::devices(cgroup, rules)?;
    }
    if let Some(memory) = &resources.memory {
        memory::apply(cgroup, memory)?;
    }
    if let Some(cpu) = &resources.cpu {
        cpu::apply(cgroup, cpu)?;
    }
    if let Some(pids) = &resources.pids {
        other::pids(cgroup, pids.limit)?;
    }
    if let Some(block_io) = &resources.block_io {
        io::apply(cgroup, block_io)?;
    }
    for limit in resources.hugepage_limits.iter().flatten() {
        other::huge_pages(cgroup, limit)?;
    }
    if let Some(network) = &resources.network {
        other::network(cgroup, network)?;
    }
    for (device, limit) in resources.rdma.iter().flatten() {
        other::rdma(cgroup, device, limit)?;
    }
    if let Some(unified) = &resources.unified {
        other::unified(cgroup, unified)?;
    }
    Ok(())
}

/// The v2 names of the controllers that `resources` needs.
pub(super) fn controllers(resources: &oci::LinuxResources) -> Vec<&str> {
    let mut wanted = Vec::new();
    let mut want = |needed: bool, controller| {
        if needed {
            wanted.push(controller);
        }
    };
    want(resources.memory.is_some(), "memory");
    want(resources.pids.is_some(), "pids");
    want(resources.block_io.is_some(), "io");
    want(
        resources
            .hugepage_limits
            .as_ref()
            .is_some_and(|list| !list.is_empty()),
        "hugetlb",
    );
    want(
        resources.rdma.as_ref().is_some_and(|map| !map.is_empty()),
        "rdma",
    );
    if let Some(cpu) = &resources.cpu {
        want(true, "cpu");
        want(cpu.cpus.is_some() || cpu.mems.is_some(), "cpuset");
    }
    for file in resources.unified.iter().flat_map(|unified| unified.keys()) {
        if let Some((controller, _)) = file.split_once('.') {
            want(controller != "cgroup", controller);
        }
    }
    wanted
}

/// The place of a controller, or the error that says which limit misses it.
fn place<'a>(cgroup: &'a Cgroup, limit: &str, controller: &str) -> Result<Place<'a>> {
    cgroup
        .place(controller)
        .ok_or_else(|| tree::missing(limit, controller))
}

/// Writes one value of a limit.
fn write(directory: &Directory, limit: &str, file: &str, value: &str) -> Result<()> {
    directory
        .write(file, value)
        .map_err(|failure| failure.explain(format!("cannot apply the {limit}")))
}

/// Spells an OCI number where everything below zero means no limit.
fn or_max(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}
