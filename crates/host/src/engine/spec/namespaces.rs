//! Which namespaces a container has of its own, shares with the host, or joins.

use std::path::PathBuf;

use berth_contract::oci::{LinuxNamespace, LinuxNamespaceType};
use berth_contract::{Class, ContainerId, Error, Result};
use berth_linux_runtime::defaults::OwnNamespaces;

use crate::api::types::HostConfig;

/// Where a namespace comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A new one.
    Own,
    /// The host's.
    Host,
    /// Another container's.
    Container(ContainerId),
}

/// The container's namespaces, as its flags ask for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespaces {
    pub(crate) user: Origin,
    pub(crate) network: Origin,
    pub(crate) pid: Origin,
    pub(crate) ipc: Origin,
    pub(crate) uts: Origin,
    pub(crate) cgroup: Origin,
}

impl Namespaces {
    /// Reads the modes; `container:ID` has the id already, names were looked up by the caller.
    pub(crate) fn parse(host: &HostConfig) -> Result<Self> {
        let network = match host.network_mode.as_str() {
            "host" => Origin::Host,
            mode => container(mode)?.unwrap_or(Origin::Own),
        };
        Ok(Self {
            user: users(host)?,
            network,
            pid: mode("--pid", &host.pid_mode, &["", "private"])?,
            ipc: mode(
                "--ipc",
                &host.ipc_mode,
                &["", "private", "shareable", "none"],
            )?,
            uts: mode("--uts", &host.uts_mode, &["", "private"])?,
            cgroup: mode("--cgroupns", &host.cgroupns_mode, &["", "private"])?,
        })
    }

    /// The runtime-spec's list. A container to join is written as its id and replaced by the path of
    /// its namespace at every start, because only a running container has one.
    pub(super) fn list(&self) -> Vec<LinuxNamespace> {
        let kinds = [
            (LinuxNamespaceType::Mount, &Origin::Own),
            (LinuxNamespaceType::User, &self.user),
            (LinuxNamespaceType::Pid, &self.pid),
            (LinuxNamespaceType::Network, &self.network),
            (LinuxNamespaceType::Ipc, &self.ipc),
            (LinuxNamespaceType::Uts, &self.uts),
            (LinuxNamespaceType::Cgroup, &self.cgroup),
        ];
        let mut list = Vec::new();
        for (kind, origin) in kinds {
            let path = match origin {
                Origin::Host => continue,
                Origin::Own => None,
                Origin::Container(id) => Some(PathBuf::from(id.as_str())),
            };
            list.push(LinuxNamespace { kind, path });
        }
        list
    }

    /// The namespaces in which sysctls would not change the host or another container.
    pub(super) fn own(&self) -> OwnNamespaces {
        OwnNamespaces {
            ipc: self.ipc == Origin::Own,
            network: self.network == Origin::Own,
            uts: self.uts == Origin::Own,
        }
    }

    /// The containers that must run when this one starts.
    pub(crate) fn joined(&self) -> impl Iterator<Item = (LinuxNamespaceType, &ContainerId)> {
        let kinds = [
            (LinuxNamespaceType::User, &self.user),
            (LinuxNamespaceType::Pid, &self.pid),
            (LinuxNamespaceType::Network, &self.network),
            (LinuxNamespaceType::Ipc, &self.ipc),
        ];
        kinds.into_iter().filter_map(|(kind, origin)| match origin {
            Origin::Container(id) => Some((kind, id)),
            Origin::Own | Origin::Host => None,
        })
    }
}

/// Whose users: the host's, its own, or those of another container.
fn users(host: &HostConfig) -> Result<Origin> {
    let mode = host.userns_mode.as_str();
    let (word, _options) = mode.split_once(':').unwrap_or((mode, ""));
    let mapped = host.id_mappings.is_some();
    let refuse = |reason: &str, hint: &str| {
        Err(
            Error::new(Class::Invalid, format!("cannot use --userns {mode}"))
                .caused_by(reason.to_owned())
                .hint(hint.to_owned()),
        )
    };
    match word {
        "" | "host" if !mapped && mode == word => Ok(Origin::Host),
        "" | "private" if mode == word => Ok(Origin::Own),
        "auto" => Ok(Origin::Own),
        "container" => match container(mode)? {
            Some(origin) => Ok(origin),
            None => refuse("it names no container", "--userns container:NAME"),
        },
        "keep-id" => refuse(
            "it keeps the id of an ordinary user, and root's is no one else's",
            "--userns auto, with -v SOURCE:TARGET:idmap for files of your own",
        ),
        "nomap" => refuse(
            "it leaves an ordinary user's id out of the map, and root's never is in it",
            "--userns auto",
        ),
        _ => refuse(
            "there is no such mode",
            "use host, auto, auto:size=N or container:NAME",
        ),
    }
}

fn container(mode: &str) -> Result<Option<Origin>> {
    let Some(id) = mode.strip_prefix("container:") else {
        return Ok(None);
    };
    Ok(Some(Origin::Container(id.parse()?)))
}

fn mode(flag: &str, text: &str, own: &[&str]) -> Result<Origin> {
    if own.contains(&text) {
        return Ok(Origin::Own);
    }
    if text == "host" {
        return Ok(Origin::Host);
    }
    let joins = matches!(flag, "--pid" | "--ipc");
    match container(text)? {
        Some(origin) if joins => Ok(origin),
        _ => Err(Error::new(
            Class::Invalid,
            format!("invalid {flag} mode {text:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_its_own_unless_asked() {
        let namespaces = Namespaces::parse(&HostConfig::default()).unwrap();
        assert_eq!(namespaces.list().len(), 6);
        assert!(
            namespaces
                .list()
                .iter()
                .all(|namespace| namespace.path.is_none())
        );
        assert_eq!(namespaces.joined().count(), 0);
    }

    #[test]
    fn modes() {
        let id = "ab".repeat(32);
        let host = HostConfig {
            network_mode: format!("container:{id}"),
            pid_mode: "host".into(),
            ipc_mode: "shareable".into(),
            uts_mode: "host".into(),
            cgroupns_mode: "host".into(),
            ..HostConfig::default()
        };
        let namespaces = Namespaces::parse(&host).unwrap();
        assert_eq!(namespaces.list().len(), 3);
        assert_eq!(namespaces.joined().count(), 1);
        assert!(!namespaces.own().network && namespaces.own().ipc && !namespaces.own().uts);
        for mode in ["auto", "auto:size=3", "private"] {
            let host = HostConfig {
                userns_mode: mode.into(),
                ..HostConfig::default()
            };
            let namespaces = Namespaces::parse(&host).unwrap();
            assert_eq!(
                (namespaces.user, namespaces.pid),
                (Origin::Own, Origin::Own)
            );
        }
        let bad: [fn(&mut HostConfig); 9] = [
            |h| h.pid_mode = "container:web".into(),
            |h| h.pid_mode = "shareable".into(),
            |h| h.uts_mode = format!("container:{}", "a".repeat(64)),
            |h| h.cgroupns_mode = "x".into(),
            |h| h.userns_mode = "keep-id".into(),
            |h| h.userns_mode = "nomap".into(),
            |h| h.userns_mode = "host:x".into(),
            |h| h.userns_mode = "ns:/x".into(),
            |h| h.ipc_mode = "HOST".into(),
        ];
        for change in bad {
            let mut host = HostConfig::default();
            change(&mut host);
            assert!(Namespaces::parse(&host).is_err(), "{host:?}");
        }
    }
}
