//! Processes, devices, huge pages, RDMA, packet classes, and cgroup2 files written as they are.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use berth_contract::{Class, Error, Result, oci};
use rustix::fs::OFlags;

use super::super::file::Directory;
use super::super::{Cgroup, Place, program, rules, tree};
use super::{or_max, place, write};

/// Limits the number of processes; 0 and below mean no limit.
pub(super) fn pids(cgroup: &Cgroup, limit: i64) -> Result<()> {
    const NAME: &str = "limit of processes";
    let unlimited = limit <= 0;
    if unlimited && cgroup.place("pids").is_none() {
        return Ok(());
    }
    let (Place::Legacy(directory) | Place::Unified(directory)) = place(cgroup, NAME, "pids")?;
    write(
        directory,
        NAME,
        "pids.max",
        &or_max(if unlimited { -1 } else { limit }),
    )
}

/// Says which devices may be used.
pub(super) fn devices(cgroup: &Cgroup, list: &[oci::LinuxDeviceCgroup]) -> Result<()> {
    const NAME: &str = "device rules";
    let rules = rules::normalise(list)?;
    if rules.is_empty() {
        return Ok(());
    }
    if let Some(Place::Legacy(directory)) = cgroup.place("devices") {
        return devices_legacy(directory, &rules);
    }
    let Some(directory) = cgroup.unified() else {
        return Err(tree::missing(NAME, "devices"));
    };
    program::load(&program::generate(&rules))
        .and_then(|loaded| program::attach(loaded.as_fd(), directory.fd()))
        .map_err(|errno| {
            Error::new(Class::Unsupported, format!("cannot apply the {NAME}"))
                .caused_by(format!(
                    "bpf(2) refuses the cgroup's device program: {errno}"
                ))
                .hint("run as root on a kernel with CONFIG_CGROUP_BPF")
        })
}

fn devices_legacy(directory: &Directory, rules: &[rules::Rule]) -> Result<()> {
    let failed =
        |failure: super::super::file::Failure| failure.explain("cannot apply the device rules");
    // Each file is opened once for all its rules: this is done at every start of a container.
    let allow = directory
        .open_file("devices.allow", OFlags::WRONLY)
        .map_err(failed)?;
    let deny = directory
        .open_file("devices.deny", OFlags::WRONLY)
        .map_err(failed)?;
    for rule in rules {
        let (file, name) = if rule.allow {
            (&allow, "devices.allow")
        } else {
            (&deny, "devices.deny")
        };
        for line in rules::lines(rule) {
            rustix::io::write(file, line.as_bytes())
                .map_err(|errno| failed(directory.write_failure(name, &line, errno)))?;
        }
    }
    Ok(())
}

/// Limits huge pages of one size, reservations included where the kernel counts them (Linux 5.7).
pub(super) fn huge_pages(cgroup: &Cgroup, limit: &oci::LinuxHugepageLimit) -> Result<()> {
    let size = &limit.page_size;
    let name = format!("limit of {size} huge pages");
    if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(
            Error::new(Class::Invalid, format!("cannot apply the {name}"))
                .caused_by("a size is a number and a unit, as in 2MB"),
        );
    }
    let (directory, suffix, value) = match place(cgroup, &name, "hugetlb")? {
        Place::Legacy(directory) => (directory, "limit_in_bytes", limit.limit.to_string()),
        Place::Unified(directory) => (directory, "max", or_max(limit.limit)),
    };
    write(
        directory,
        &name,
        &format!("hugetlb.{size}.{suffix}"),
        &value,
    )?;
    let reserved = format!("hugetlb.{size}.rsvd.{suffix}");
    if directory.has(&reserved) {
        write(directory, &name, &reserved, &value)?;
    }
    Ok(())
}

/// Limits one RDMA device; what is not mentioned stays.
pub(super) fn rdma(cgroup: &Cgroup, device: &str, limit: &oci::LinuxRdma) -> Result<()> {
    let name = format!("limit of RDMA device {device}");
    if device.is_empty() || device.contains(char::is_whitespace) {
        return Err(Error::new(
            Class::Invalid,
            format!("cannot apply the {name}"),
        ));
    }
    let (Place::Legacy(directory) | Place::Unified(directory)) = place(cgroup, &name, "rdma")?;
    let mut value = device.to_owned();
    if let Some(handles) = limit.hca_handles {
        value.push_str(&format!(" hca_handle={handles}"));
    }
    if let Some(objects) = limit.hca_objects {
        value.push_str(&format!(" hca_object={objects}"));
    }
    write(directory, &name, "rdma.max", &value)
}

/// Classes and priorities of packets; v1 alone has them.
pub(super) fn network(cgroup: &Cgroup, network: &oci::LinuxNetwork) -> Result<()> {
    const CLASS: &str = "class of network packets";
    const PRIORITY: &str = "priority of network packets";
    if let Some(class) = network.class_id {
        match place(cgroup, CLASS, "net_cls")? {
            Place::Legacy(directory) => {
                write(directory, CLASS, "net_cls.classid", &class.to_string())?;
            }
            Place::Unified(_) => return Err(tree::missing(CLASS, "net_cls")),
        }
    }
    for priority in network.priorities.iter().flatten() {
        match place(cgroup, PRIORITY, "net_prio")? {
            Place::Legacy(directory) => {
                let value = format!("{} {}", priority.name, priority.priority);
                write(directory, PRIORITY, "net_prio.ifpriomap", &value)?;
            }
            Place::Unified(_) => return Err(tree::missing(PRIORITY, "net_prio")),
        }
    }
    Ok(())
}

/// Writes cgroup2 files by name, in their alphabetical order.
pub(super) fn unified(cgroup: &Cgroup, files: &BTreeMap<String, String>) -> Result<()> {
    for (file, value) in files {
        let name = format!("cgroup2 setting {file}");
        let Some(directory) = cgroup.unified() else {
            return Err(tree::missing(&name, "unified (cgroup2)"));
        };
        let Some((controller, _)) = file.split_once('.').filter(|_| !file.contains('/')) else {
            return Err(
                Error::new(Class::Invalid, format!("cannot apply the {name}"))
                    .caused_by("it is no name of a cgroup2 file"),
            );
        };
        if controller != "cgroup" && !matches!(cgroup.place(controller), Some(Place::Unified(_))) {
            return Err(tree::missing(&name, &format!("{controller} (cgroup2)")));
        }
        write(directory, &name, file, value)?;
    }
    Ok(())
}
