//! A container's published ports in the packet filter: noted before they are there, and withdrawn.

use std::{fs, io};

use berth_contract::{Class, ContainerId, Error, Report, Result};
use berth_sys::netlink::conntrack;

use crate::firewall::Firewall;
use crate::request::{Protocol, Published};
use crate::site::Directories;

/// Writes down what will be in the packet filter for a container.
pub(crate) fn record(
    directories: &Directories,
    id: &ContainerId,
    ports: &[Published],
) -> Result<()> {
    if ports.is_empty() {
        return Ok(());
    }
    let path = directories.ports(id);
    let failed = |error: io::Error| {
        Error::new(Class::Internal, "cannot note the container's ports")
            .caused_by(format!("{}: {error}", path.display()))
    };
    let text = serde_json::to_vec(ports).map_err(|error| failed(error.into()))?;
    match fs::write(&path, &text) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(failed)?;
            }
            fs::write(&path, &text).map_err(failed)
        }
        other => other.map_err(failed),
    }
}

/// Takes ports out of the packet filter.
pub(crate) fn withdraw(directories: &Directories, ports: &[Published], failures: &mut Vec<Error>) {
    if ports.is_empty() {
        return;
    }
    match Firewall::open(directories.table()) {
        Ok((mut firewall, true)) => {
            for port in ports {
                failures.extend(firewall.withdraw(port).err());
            }
            failures.extend(forget_udp(ports).err());
        }
        // Somebody removed the whole table.
        Ok((_, false)) => {}
        Err(error) => failures.push(error),
    }
}

/// A client that keeps sending must meet the new translation, not the one it began with.
pub(crate) fn forget_udp(ports: &[Published]) -> Result<()> {
    let udp: Vec<u16> = ports
        .iter()
        .filter(|port| port.protocol == Protocol::Udp)
        .map(|port| port.host_port)
        .collect();
    if udp.is_empty() {
        return Ok(());
    }
    conntrack::forget_udp(&udp).map_err(|error| {
        Error::new(
            Class::Internal,
            "cannot forget old connections to published UDP ports",
        )
        .caused_by(error)
    })
}

/// Keeps a failure, unless the thing was gone already.
pub(crate) fn note(failures: &mut Vec<Error>, result: io::Result<()>, what: &str) {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            failures.push(Error::new(Class::Internal, what).caused_by(error));
        }
        _ => {}
    }
}

/// One error for all failures.
pub(crate) fn together(failures: Vec<Error>) -> Result<()> {
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else {
        return Ok(());
    };
    let others: Vec<String> = failures.map(|error| Report::from(&error).line()).collect();
    if others.is_empty() {
        return Err(first);
    }
    let class = first.class();
    let all = std::iter::once(Report::from(&first).line())
        .chain(others)
        .collect::<Vec<_>>();
    Err(
        Error::new(class, "cannot take the container's network down completely")
            .caused_by(all.join("; ")),
    )
}
