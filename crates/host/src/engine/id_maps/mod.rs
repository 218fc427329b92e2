//! The user namespace of a container: which ids of the host its users and groups are.
//!
//! ```text
//! --userns auto[:…]            a range of its own, chosen beneath a lock and recorded      pool.rs
//! --uidmap, --gidmap           as they are written                                        parse.rs
//! --userns container:NAME      that container's
//! ```
//! Layers and volumes are never changed for it: they are seen through the maps.

mod parse;
mod pool;

use berth_contract::oci::LinuxIdMapping;
use berth_contract::{Class, ContainerId, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::lock::Lock;

use super::Engine;
use super::spec::{Namespaces, Origin};
use super::user::Identity;
use crate::api::types::{HostConfig, IdMappings};
use crate::records::{Record, identifiers};

/// Consecutive ids inside, and the ids of the host they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) inside: u32,
    pub(crate) outside: u32,
    pub(crate) count: u32,
}

/// The maps of a user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Maps {
    pub(crate) users: Vec<Line>,
    pub(crate) groups: Vec<Line>,
}

/// Held while a range is chosen, until the container that has it can be seen.
const LOCK: &str = "id-maps.lock";

impl Line {
    /// What an id inside is on the host.
    fn outside(self, inside: u32) -> Option<u32> {
        let offset = inside.checked_sub(self.inside)?;
        (offset < self.count).then(|| self.outside.saturating_add(offset))
    }
}

/// Lines for the runtime-spec.
pub(crate) fn mappings(lines: &[Line]) -> Vec<LinuxIdMapping> {
    let mapping = |line: &Line| LinuxIdMapping {
        container_id: line.inside,
        host_id: line.outside,
        size: line.count,
    };
    lines.iter().map(mapping).collect()
}

/// What an id inside is on the host, by these lines.
pub(crate) fn outside(lines: &[Line], inside: u32) -> Option<u32> {
    lines.iter().find_map(|line| line.outside(inside))
}

impl Maps {
    /// As they are recorded.
    pub(crate) fn read(mappings: &IdMappings) -> Result<Self> {
        Ok(Self {
            users: parse::lines("--uidmap", &mappings.uid_map)?,
            groups: parse::lines("--gidmap", &mappings.gid_map)?,
        })
    }

    fn record(&self) -> IdMappings {
        let texts = |lines: &[Line]| {
            lines
                .iter()
                .map(|line| format!("{}:{}:{}", line.inside, line.outside, line.count))
                .collect()
        };
        IdMappings {
            uid_map: texts(&self.users),
            gid_map: texts(&self.groups),
        }
    }

    /// What the container's root is on the host.
    pub(crate) fn root(&self) -> (u32, u32) {
        (
            outside(&self.users, 0).unwrap_or(0),
            outside(&self.groups, 0).unwrap_or(0),
        )
    }

    /// Refuses a process that the maps have no ids for.
    fn check(&self, identity: &Identity) -> Result<()> {
        let missing = |kind: &str, id: u32| {
            Error::new(
                Class::Invalid,
                format!("cannot run as {kind} {id}: the container's maps do not have it"),
            )
            .hint("map more ids, such as --userns auto:size=65536")
        };
        for (kind, lines, id) in [
            ("user", &self.users, 0),
            ("group", &self.groups, 0),
            ("user", &self.users, identity.uid),
            ("group", &self.groups, identity.gid),
        ] {
            if outside(lines, id).is_none() {
                return Err(missing(kind, id));
            }
        }
        match identity
            .groups
            .iter()
            .find(|group| outside(&self.groups, **group).is_none())
        {
            Some(group) => Err(missing("group", *group)),
            None => Ok(()),
        }
    }
}

/// The maps of a new container.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) maps: Option<Maps>,
    /// Dropped once the container can be seen: then its ranges can be.
    #[expect(dead_code, reason = "it is there to be held")]
    pub(super) lock: Option<Lock>,
}

impl Engine {
    /// Refuses what does not go together with users of the container's own.
    pub(super) fn check_users(host: &HostConfig, namespaces: &Namespaces) -> Result<()> {
        if namespaces.user == Origin::Host {
            return Ok(());
        }
        match &namespaces.pid {
            Origin::Container(other) if namespaces.user != Origin::Container(other.clone()) => {
                Err(Error::new(
                    Class::Invalid,
                    format!("cannot use --pid {} with other users", host.pid_mode),
                )
                .caused_by("the kernel shows a container's processes to its own users only")
                .hint(format!("add --userns container:{}", other.short())))
            }
            _ => Ok(()),
        }
    }

    /// The maps of a container that is being made; they are written into its configuration.
    pub(super) fn choose_maps(
        &self,
        host: &mut HostConfig,
        user: &Origin,
        identity: &Identity,
    ) -> Result<Chosen> {
        let (maps, lock) = match user {
            Origin::Host => return Ok(Chosen::default()),
            Origin::Container(other) => (self.maps_of(other)?, None),
            Origin::Own => match parse::auto(&host.userns_mode)? {
                None => (parse::explicit(host.id_mappings.as_ref())?, None),
                Some(wanted) => {
                    let lock = self.lock_maps()?;
                    let pool = pool::Pool::of_host()?;
                    let maps = pool.choose(&wanted, identity, &self.taken()?)?;
                    (maps, Some(lock))
                }
            },
        };
        maps.check(identity)?;
        host.id_mappings = Some(maps.record());
        Ok(Chosen {
            maps: Some(maps),
            lock,
        })
    }

    fn maps_of(&self, id: &ContainerId) -> Result<Maps> {
        let record = self.record(id)?;
        let mappings = record.host_config.id_mappings.unwrap_or_default();
        Maps::read(&mappings)
    }

    fn lock_maps(&self) -> Result<Lock> {
        let data = self.paths().data();
        let sentence = || "cannot choose ids for the container".to_owned();
        let directory = std::fs::File::open(data).explain(sentence)?;
        Lock::wait(&directory, LOCK).explain(sentence)
    }

    /// The maps of every container there is. One that cannot be read cannot be started either.
    fn taken(&self) -> Result<Vec<Maps>> {
        let mut taken = Vec::new();
        for id in identifiers(self.paths())? {
            let Ok(Some(record)) = Record::read(&self.paths().container(&id)) else {
                continue;
            };
            if let Some(mappings) = &record.host_config.id_mappings {
                taken.extend(Maps::read(mappings));
            }
        }
        Ok(taken)
    }
}
