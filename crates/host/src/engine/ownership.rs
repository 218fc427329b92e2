//! Whose the files of a mount are: `idmap`, which shows them as somebody else's, and `U`, which gives them away.
//!
//! ```text
//! idmap                 own users: as the container's maps say      host's users: as idmap=match-user
//! idmap=match-user      the owner of the source is the container's user, and the other way round
//! idmap=uids=0-1000-1#…;gids=…   files of FROM belong to TO on the host, or with @TO in the container
//! U                     source and everything in it belong to the container's user, from now on
//! ```
//! Files of volumes have the ids that images have: containers with users of their own always map them.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;

use super::id_maps::{Line, Maps, outside};
use super::mount::{Material, Planned};
use super::user::Identity;
use crate::api::types::MountKind;

/// What a mount says about its files' owners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ownership {
    pub(crate) map: Option<IdMap>,
    /// `U`.
    pub(crate) give: bool,
}

/// How ids are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdMap {
    /// As the container's maps say.
    Container,
    /// The source's owner as the container's user.
    MatchUser,
    /// As these lines say.
    Lines {
        users: Vec<Triple>,
        groups: Vec<Triple>,
    },
}

/// Consecutive ids of files, and who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Triple {
    from: u32,
    to: u32,
    count: u32,
    /// `to` is an id of the container, not of the host.
    inside: bool,
}

impl Ownership {
    /// Takes one option of `-v`; `false` when it is about something else.
    pub(crate) fn accept(&mut self, option: &str) -> Result<bool, String> {
        match option {
            "U" => self.give = true,
            "idmap" => self.map = Some(IdMap::Container),
            _ => match option.strip_prefix("idmap=") {
                Some(value) => self.map = Some(IdMap::parse(value)?),
                None => return Ok(false),
            },
        }
        Ok(true)
    }
}

impl Ownership {
    /// What `--volumes-from` takes over of the options of a mount: how its files are seen.
    pub(crate) fn taken_over(mode: &str) -> Self {
        let mut ownership = Self::default();
        for option in mode.split(',').filter(|option| *option != "U") {
            // It was accepted once.
            drop(ownership.accept(option));
        }
        ownership
    }
}

impl IdMap {
    /// Reads what stands after `idmap=`.
    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        match value {
            "" | "true" => return Ok(Self::Container),
            "match-user" => return Ok(Self::MatchUser),
            _ => {}
        }
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        for part in value.split(';').filter(|part| !part.is_empty()) {
            let wrong = || format!("{part:?} is no id map; write uids=FROM-TO-LENGTH#…;gids=…");
            let (kind, lines) = part.split_once('=').ok_or_else(wrong)?;
            let place = match kind {
                "uids" => &mut users,
                "gids" => &mut groups,
                _ => return Err(wrong()),
            };
            for line in lines.split('#') {
                place.push(triple(line).ok_or_else(wrong)?);
            }
        }
        Ok(Self::Lines { users, groups })
    }
}

fn triple(text: &str) -> Option<Triple> {
    let (inside, text) = match text.strip_prefix('@') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut numbers = text.split('-').map(|number| {
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse::<u32>().ok().filter(|_| digits)
    });
    let triple = Triple {
        from: numbers.next()??,
        to: numbers.next()??,
        count: numbers.next()??,
        inside,
    };
    let fits = |first: u32| first.checked_add(triple.count).is_some();
    (triple.count > 0 && fits(triple.from) && fits(triple.to) && numbers.next().is_none())
        .then_some(triple)
}

/// Settles whose the files of a container's mounts are, once it is known who its users are.
pub(super) fn settle(
    mounts: &mut [Planned],
    maps: Option<&Maps>,
    identity: &Identity,
) -> Result<()> {
    for planned in mounts {
        let volume = planned
            .point
            .as_ref()
            .is_some_and(|point| point.kind == MountKind::Volume);
        if volume && maps.is_some() && planned.ownership.map.is_none() {
            planned.ownership.map = Some(IdMap::Container);
        }
        let path = match &planned.material {
            Material::Path(path) => path,
            Material::Layers(_) if maps.is_some() => {
                planned.options.push("idmap".to_owned());
                continue;
            }
            Material::Layers(_) | Material::Tmpfs => continue,
        };
        planned.mapping = match (&planned.ownership.map, maps) {
            (None, _) => None,
            // The runtime takes the container's own.
            (Some(IdMap::Container), Some(_)) => None,
            (Some(IdMap::Container | IdMap::MatchUser), _) => {
                Some(match_user(path, maps, identity)?)
            }
            (Some(IdMap::Lines { users, groups }), _) => Some(Maps {
                users: lines(users, maps.map(|maps| maps.users.as_slice()), path)?,
                groups: lines(groups, maps.map(|maps| maps.groups.as_slice()), path)?,
            }),
        };
        if planned.ownership.map.is_some() {
            planned.options.push("idmap".to_owned());
        }
        if planned.ownership.give {
            give(path, planned, maps, identity)?;
        }
    }
    Ok(())
}

/// Every id there is, as itself.
const EVERYBODY: [Line; 1] = [Line {
    inside: 0,
    outside: 0,
    count: u32::MAX,
}];

/// The source's owner is seen as the container's user, and the other way round: so that what the container
/// writes belongs to whoever owns the directory, and nothing is changed on disk.
fn match_user(path: &Path, maps: Option<&Maps>, identity: &Identity) -> Result<Maps> {
    let metadata = std::fs::metadata(path).explain(|| format!("cannot use {}", path.display()))?;
    let everybody = Maps {
        users: EVERYBODY.to_vec(),
        groups: EVERYBODY.to_vec(),
    };
    let base = maps.unwrap_or(&everybody);
    Ok(Maps {
        users: exchanged(&base.users, metadata.uid(), identity.uid),
        groups: exchanged(&base.groups, metadata.gid(), identity.gid),
    })
}

/// The lines of a map, with an id of files as this id inside.
fn exchanged(base: &[Line], file: u32, inside: u32) -> Vec<Line> {
    let mut lines: Vec<Line> = base.to_vec();
    for gone in [file, inside] {
        lines = lines
            .into_iter()
            .flat_map(|line| without(line, gone))
            .collect();
    }
    let mut places = vec![(file, inside), (inside, file)];
    places.dedup();
    for (file, inside) in places {
        if let Some(outside) = outside(base, inside) {
            lines.push(Line {
                inside: file,
                outside,
                count: 1,
            });
        }
    }
    lines
}

/// A line without one id.
fn without(line: Line, gone: u32) -> Vec<Line> {
    let Some(before) = gone
        .checked_sub(line.inside)
        .filter(|before| *before < line.count)
    else {
        return vec![line];
    };
    let first = Line {
        count: before,
        ..line
    };
    let rest = Line {
        inside: gone.saturating_add(1),
        outside: line.outside.saturating_add(before).saturating_add(1),
        count: line.count - before - 1,
    };
    [first, rest]
        .into_iter()
        .filter(|part| part.count > 0)
        .collect()
}

fn lines(triples: &[Triple], maps: Option<&[Line]>, path: &Path) -> Result<Vec<Line>> {
    if triples.is_empty() {
        return Ok(maps.unwrap_or(&EVERYBODY).to_vec());
    }
    let line = |triple: &Triple| {
        let to = if triple.inside {
            outside(maps.unwrap_or(&EVERYBODY), triple.to)
        } else {
            Some(triple.to)
        };
        let outside = to.ok_or_else(|| {
            Error::new(
                Class::Invalid,
                format!("cannot map the ids of {}", path.display()),
            )
            .caused_by(format!("the container has no id {}", triple.to))
        })?;
        Ok(Line {
            inside: triple.from,
            outside,
            count: triple.count,
        })
    };
    triples.iter().map(line).collect()
}

/// Gives a source, and everything in it, to the container's user.
fn give(path: &Path, planned: &Planned, maps: Option<&Maps>, identity: &Identity) -> Result<()> {
    let sentence = || format!("cannot give {} to the container's user", path.display());
    // On the file system: what the map of this mount will turn into the container's user.
    let owner = |files: Option<&[Line]>, own: Option<&[Line]>, id: u32| {
        let on_host = own.map_or(Some(id), |own| outside(own, id))?;
        match (files, own) {
            (Some(files), _) => files.iter().find_map(|line| {
                let offset = on_host.checked_sub(line.outside)?;
                (offset < line.count).then(|| line.inside.saturating_add(offset))
            }),
            (None, _) if planned.ownership.map.is_some() => Some(id),
            (None, _) => Some(on_host),
        }
    };
    let mapping = planned.mapping.as_ref();
    let user = owner(
        mapping.map(|maps| maps.users.as_slice()),
        maps.map(|maps| maps.users.as_slice()),
        identity.uid,
    );
    let group = owner(
        mapping.map(|maps| maps.groups.as_slice()),
        maps.map(|maps| maps.groups.as_slice()),
        identity.gid,
    );
    let (Some(user), Some(group)) = (user, group) else {
        return Err(Error::new(Class::Invalid, sentence())
            .caused_by("the mount's id map does not have that user"));
    };
    berth_sys::owner::give_tree(path, user, group).explain(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(inside: u32, outside: u32, count: u32) -> Line {
        Line {
            inside,
            outside,
            count,
        }
    }

    #[test]
    fn options_are_read_as_podman_writes_them() {
        let mut ownership = Ownership::default();
        assert_eq!(ownership.accept("ro"), Ok(false));
        assert_eq!(ownership.accept("U"), Ok(true));
        assert_eq!(
            ownership.accept("idmap=uids=0-1-10#10-@1-1;gids=0-100-10"),
            Err("\"uids=0-1-10#10-@1-1\" is no id map; write uids=FROM-TO-LENGTH#…;gids=…".into())
        );
        assert_eq!(
            ownership.accept("idmap=uids=0-1-10#@10-11-10;gids=0-100-10"),
            Ok(true)
        );
        let Some(IdMap::Lines { users, groups }) = &ownership.map else {
            panic!("{ownership:?}")
        };
        assert_eq!((users.len(), groups.len()), (2, 1));
        assert!(users[1].inside && !users[0].inside);
        for bad in [
            "idmap=x",
            "idmap=uids=1",
            "idmap=uids=0-1-0",
            "idmap=uids=0-1-2-3",
        ] {
            assert!(Ownership::default().accept(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_owner_is_seen_as_the_user() {
        assert_eq!(
            exchanged(&EVERYBODY, 1000, 0),
            [
                line(1, 1, 999),
                line(1001, 1001, u32::MAX - 1001),
                line(1000, 0, 1),
                line(0, 1000, 1)
            ]
        );
        assert_eq!(
            exchanged(&[line(0, 100_000, 10)], 1000, 3),
            [
                line(0, 100_000, 3),
                line(4, 100_004, 6),
                line(1000, 100_003, 1)
            ]
        );
        assert_eq!(
            exchanged(&[line(0, 7, 2)], 1, 1),
            [line(0, 7, 1), line(1, 8, 1)]
        );
    }
}
