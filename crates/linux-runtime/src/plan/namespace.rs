//! The namespaces of a spec, and what is set in them: maps of ids, sysctls, clocks.

use std::path::PathBuf;

use berth_contract::Result;
use berth_contract::oci::{Linux, LinuxIdMapping, LinuxNamespaceType};
use berth_sys::namespace::{Mapping, Namespaces};

use super::invalid;
use crate::defaults::{self, OwnNamespaces};

pub(super) fn namespaces(linux: &Linux) -> Result<(Namespaces, Vec<(Namespaces, PathBuf)>)> {
    let mut new = Namespaces::empty();
    let mut join: Vec<(Namespaces, PathBuf)> = Vec::new();
    for namespace in linux.namespaces.iter().flatten() {
        let kind = match namespace.kind {
            LinuxNamespaceType::Mount => Namespaces::MOUNT,
            LinuxNamespaceType::Cgroup => Namespaces::CGROUP,
            LinuxNamespaceType::Uts => Namespaces::UTS,
            LinuxNamespaceType::Ipc => Namespaces::IPC,
            LinuxNamespaceType::User => Namespaces::USER,
            LinuxNamespaceType::Pid => Namespaces::PID,
            LinuxNamespaceType::Network => Namespaces::NETWORK,
            LinuxNamespaceType::Time => Namespaces::TIME,
        };
        if new.contains(kind) || join.iter().any(|(own, _)| *own == kind) {
            return Err(invalid(format!(
                "the {} namespace is named twice",
                namespace.kind
            )));
        }
        match namespace
            .path
            .as_ref()
            .filter(|path| !path.as_os_str().is_empty())
        {
            None => new = new.with(kind),
            Some(path) => join.push((kind, path.clone())),
        }
    }
    Ok((new, join))
}

pub(super) fn mappings(lines: Option<&[LinuxIdMapping]>) -> Result<Vec<Mapping>> {
    let mut mappings = Vec::new();
    for line in lines.unwrap_or_default() {
        if line.size == 0 {
            return Err(invalid("an id mapping has the size 0"));
        }
        mappings.push(Mapping {
            inside: line.container_id,
            outside: line.host_id,
            count: line.size,
        });
    }
    Ok(mappings)
}

pub(super) fn sysctls(
    linux: &Linux,
    new: Namespaces,
    join: &[(Namespaces, PathBuf)],
) -> Result<Vec<(String, String)>> {
    let own = |kind| new.contains(kind) || join.iter().any(|(joined, _)| *joined == kind);
    let own = OwnNamespaces {
        ipc: own(Namespaces::IPC),
        network: own(Namespaces::NETWORK),
        uts: own(Namespaces::UTS),
    };
    let mut sysctls = Vec::new();
    for (key, value) in linux.sysctl.iter().flatten() {
        defaults::check_sysctl(key, value, own)?;
        // As sysctl(8): the first separator decides, so that net/ipv4/conf/eth0.1/… can be written.
        let path = match key.find(['.', '/']) {
            Some(at) if key.as_bytes().get(at) == Some(&b'/') => key.clone(),
            _ => key
                .chars()
                .map(|letter| match letter {
                    '.' => '/',
                    '/' => '.',
                    other => other,
                })
                .collect(),
        };
        sysctls.push((path, value.clone()));
    }
    sysctls.sort();
    Ok(sysctls)
}

pub(super) fn clocks(linux: &Linux) -> Vec<(String, i64, u32)> {
    linux
        .time_offsets
        .iter()
        .flatten()
        .map(|(clock, offset)| {
            (
                clock.clone(),
                offset.secs.unwrap_or(0),
                offset.nanosecs.unwrap_or(0),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::plan;
    use super::*;

    #[test]
    fn namespaces_are_made_or_joined() {
        let plan = plan(
            r#"{"namespaces":[{"type":"network","path":"/proc/9/ns/net"},{"type":"mount"},
                {"type":"uts","path":""},{"type":"user","path":"/proc/9/ns/user"}]}"#,
            r#","hostname":"a""#,
        )
        .unwrap();
        assert_eq!(plan.namespaces, Namespaces::MOUNT.with(Namespaces::UTS));
        let joined: Vec<_> = plan.join.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(joined, [Namespaces::NETWORK, Namespaces::USER]);
        assert_eq!(plan.host_name.as_deref(), Some("a"));
    }

    #[test]
    fn sysctls_become_paths() {
        let plan = plan(
            r#"{"namespaces":[{"type":"mount"},{"type":"network"}],
                "sysctl":{"net.ipv4.conf.eth0/1.forwarding":"1","net/ipv4/conf/eth0.2/forwarding":"0"}}"#,
            "",
        )
        .unwrap();
        let keys: Vec<_> = plan.sysctls.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "net/ipv4/conf/eth0.1/forwarding",
                "net/ipv4/conf/eth0.2/forwarding"
            ]
        );
    }
}
