//! The container's name and the files below `/etc` that follow from it and from its network.

use std::fs;
use std::path::Path;

use berth_contract::{Class, Error, Result};
use berth_network::resolv;
use berth_sys::error::Explain as _;

use super::Draft;
use crate::api::types::HostConfig;
use crate::engine::network;
use crate::engine::spec::{EtcFiles, Origin};
use crate::records::write_file;

impl Draft<'_> {
    pub(super) fn hostname(&self) -> Result<String> {
        network::check_hostname(&self.config.hostname)?;
        network::check_joined(&self.config, &self.host)?;
        if self.namespaces.uts == Origin::Host && !self.config.hostname.is_empty() {
            return Err(Error::new(
                Class::Invalid,
                "conflicting options: hostname and the UTS mode",
            )
            .hint("leave --hostname or --uts host away"));
        }
        if !self.config.hostname.is_empty() {
            return Ok(self.config.hostname.clone());
        }
        if let Origin::Container(other) = &self.namespaces.network {
            return Ok(self.engine.record(other)?.config.hostname);
        }
        let hosts = self.namespaces.uts == Origin::Host || self.namespaces.network == Origin::Host;
        if hosts {
            let name = fs::read_to_string("/proc/sys/kernel/hostname")
                .explain(|| "cannot read the host's name".to_owned())?;
            return Ok(name.trim().to_owned());
        }
        Ok(self.id.short().to_owned())
    }

    /// A container that joins another's network sees that one's files.
    pub(super) fn etc_files(&self) -> EtcFiles {
        let own = |name: &str| self.home.join(name);
        let shared = match &self.namespaces.network {
            Origin::Container(id) => self.engine.paths().container(id),
            Origin::Own | Origin::Host => self.home.clone(),
        };
        EtcFiles {
            hosts: shared.join("hosts"),
            hostname: own("hostname"),
            resolv_conf: shared.join("resolv.conf"),
        }
    }

    /// Writes the files and returns the names that stand for the host.
    pub(super) fn write_etc(&self, staging: &Path) -> Result<Vec<String>> {
        let hostname = format!("{}\n", self.config.hostname);
        write_file(&staging.join("hostname"), hostname.as_bytes(), 0o644)?;
        refresh(staging, &self.namespaces.network, &self.host)
    }
}

/// Writes `hosts` and `resolv.conf` as every start finds them, without the addresses of the run before and
/// with what the host's own files say now; returns the names that stand for the host.
///
/// # Errors
/// The flags make no sense, or the files cannot be written.
pub(in crate::engine) fn refresh(
    directory: &Path,
    network: &Origin,
    host: &HostConfig,
) -> Result<Vec<String>> {
    if matches!(network, Origin::Container(_)) {
        return Ok(Vec::new());
    }
    let own = *network == Origin::Own;
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let base = match (&host.base_hosts, own) {
        (Some(base), _) => Some(base.clone()),
        (None, false) => Some(read("/etc/hosts")),
        (None, true) => None,
    };
    let (hosts, gateway) = network::hosts(base.as_deref(), &host.extra_hosts)?;
    rewrite(&directory.join("hosts"), &hosts)?;
    let mut servers = Vec::new();
    for server in &host.dns {
        servers.push(server.parse().map_err(|_unparsable| {
            Error::new(Class::Invalid, format!("invalid name server {server:?}"))
                .hint("--dns takes an address")
        })?);
    }
    let overrides = resolv::Overrides {
        servers,
        search: host.dns_search.clone(),
        options: host.dns_options.clone(),
    };
    let loopback = if own {
        resolv::Loopback::Own
    } else {
        resolv::Loopback::Hosts
    };
    let text = resolv::contents(&read("/etc/resolv.conf"), &overrides, loopback);
    rewrite(&directory.join("resolv.conf"), &text)?;
    Ok(gateway)
}

/// In place, so that it keeps its owner; a first start finds everything as it was made.
fn rewrite(path: &Path, text: &str) -> Result<()> {
    if fs::read(path).is_ok_and(|before| before == text.as_bytes()) {
        return Ok(());
    }
    write_file(path, text.as_bytes(), 0o644)
}

/// Makes the container's root the owner of the files, as of all others it has.
pub(super) fn give(staging: &Path, (user, group): (u32, u32)) -> Result<()> {
    for name in ["hosts", "hostname", "resolv.conf"] {
        let path = staging.join(name);
        match std::os::unix::fs::chown(&path, Some(user), Some(group)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            result => result.explain(|| format!("cannot make {}", path.display()))?,
        }
    }
    Ok(())
}
