//! Ranges of the host's ids for `--userns auto`: first fit, clear of every other container's.

use std::fs;

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;

use super::parse::Wanted;
use super::{Line, Maps};
use crate::engine::user::Identity;

/// Whose lines of `/etc/subuid` and `/etc/subgid` are used when they are there, as Podman does.
const OWNER: &str = "containers";

/// Without them: ids that neither login.defs nor systemd gives to anybody.
const UNUSED: Range = Range {
    start: 0x7000_0000,
    end: 0x7fff_fffe,
};

/// What images expect: up to nobody, 65534.
const USUAL: u32 = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    start: u32,
    end: u32,
}

/// The ids to choose from.
#[derive(Debug)]
pub(super) struct Pool {
    ranges: Vec<Range>,
}

impl Pool {
    /// The host's: what is delegated to `containers`, for users and groups alike.
    pub(super) fn of_host() -> Result<Self> {
        let read = |path: &str| match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            result => result.explain(|| format!("cannot read {path}")),
        };
        Ok(Self::delegated(
            &read("/etc/subuid")?,
            &read("/etc/subgid")?,
        ))
    }

    fn delegated(users: &str, groups: &str) -> Self {
        let (users, groups) = (delegations(users), delegations(groups));
        if users.is_empty() && groups.is_empty() {
            return Self {
                ranges: vec![UNUSED],
            };
        }
        let mut ranges: Vec<Range> = users
            .iter()
            .flat_map(|user| {
                groups.iter().map(|group| Range {
                    start: user.start.max(group.start),
                    end: user.end.min(group.end),
                })
            })
            .filter(|both| both.start < both.end)
            .collect();
        ranges.sort_unstable();
        Self { ranges }
    }

    /// Chooses maps for a container; `taken` are those of all others.
    pub(super) fn choose(
        &self,
        wanted: &Wanted,
        identity: &Identity,
        taken: &[Maps],
    ) -> Result<Maps> {
        let ids = identity.groups.iter().chain([&identity.uid, &identity.gid]);
        let needed = ids.max().map_or(0, |most| most.saturating_add(1));
        let size = wanted.size.unwrap_or_else(|| USUAL.max(needed));
        let lines = taken
            .iter()
            .flat_map(|maps| maps.users.iter().chain(&maps.groups));
        let fixed = wanted.users.iter().chain(&wanted.groups);
        let mut used: Vec<Range> = lines
            .chain(fixed)
            .map(|line| Range {
                start: line.outside,
                end: line.outside.saturating_add(line.count),
            })
            .collect();
        used.sort_unstable();
        let start = self.first_fit(size, &used).ok_or_else(|| {
            Error::new(
                Class::Unavailable,
                format!("cannot find {size} free ids for the container"),
            )
            .caused_by("other containers have them")
            .hint(
                "remove containers, or give more ids to containers in /etc/subuid and /etc/subgid",
            )
        })?;
        Ok(Maps {
            users: around(&wanted.users, start, size),
            groups: around(&wanted.groups, start, size),
        })
    }

    fn first_fit(&self, size: u32, used: &[Range]) -> Option<u32> {
        self.ranges.iter().find_map(|range| {
            let mut start = range.start;
            for taken in used.iter().filter(|taken| taken.end > range.start) {
                if taken.start.saturating_sub(start) >= size {
                    break;
                }
                start = start.max(taken.end);
            }
            (range.end.saturating_sub(start) >= size).then_some(start)
        })
    }
}

/// `NAME:START:COUNT` lines of the owner.
fn delegations(text: &str) -> Vec<Range> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let own = fields.next()? == OWNER;
            let start: u32 = fields.next()?.parse().ok()?;
            let count: u32 = fields.next()?.parse().ok()?;
            let end = start.checked_add(count)?;
            own.then_some(Range { start, end })
        })
        .collect()
}

/// Maps ids 0 to `size` to a range, but for those that fixed lines map already.
fn around(fixed: &[Line], start: u32, size: u32) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut sorted = fixed.to_vec();
    sorted.sort_unstable_by_key(|line| line.inside);
    let (mut inside, mut outside) = (0, start);
    for stop in sorted.iter().map(Some).chain([None]) {
        let until = stop.map_or(size, |line| line.inside.min(size));
        if until > inside {
            let count = until - inside;
            lines.push(Line {
                inside,
                outside,
                count,
            });
            outside += count;
        }
        if let Some(line) = stop {
            inside = inside.max(line.inside.saturating_add(line.count));
            lines.push(*line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Identity {
        Identity {
            uid: 0,
            gid: 0,
            groups: vec![0],
            home: "/root".into(),
        }
    }

    fn line(inside: u32, outside: u32, count: u32) -> Line {
        Line {
            inside,
            outside,
            count,
        }
    }

    #[test]
    fn ranges_never_overlap() {
        let pool = Pool::delegated("a:1:5\ncontainers:1000:300\n", "containers:1100:900\n");
        let wanted = Wanted {
            size: Some(50),
            ..Wanted::default()
        };
        let mut taken = vec![Maps {
            users: vec![line(0, 1120, 10)],
            groups: vec![line(0, 1, 1)],
        }];
        let mut starts = Vec::new();
        while let Ok(maps) = pool.choose(&wanted, &root(), &taken) {
            assert_eq!(maps.users, maps.groups);
            starts.push(maps.users[0].outside);
            taken.push(maps);
        }
        assert_eq!(starts, [1130, 1180, 1230]);
    }

    #[test]
    fn without_delegation_nobodys_ids_are_used() {
        let pool = Pool::delegated("alice:100000:65536\n", "");
        let maps = pool.choose(&Wanted::default(), &root(), &[]).unwrap();
        assert_eq!(maps.users, [line(0, 0x7000_0000, 65_536)]);
        let big = Identity {
            uid: 70_000,
            ..root()
        };
        let maps = pool.choose(&Wanted::default(), &big, &[]).unwrap();
        assert_eq!(maps.users[0].count, 70_001);
    }

    #[test]
    fn fixed_lines_are_gone_around() {
        let fixed = [line(5, 1000, 1), line(0, 7, 1)];
        assert_eq!(
            around(&fixed, 100, 10),
            [
                line(0, 7, 1),
                line(1, 100, 4),
                line(5, 1000, 1),
                line(6, 104, 4)
            ]
        );
        assert_eq!(
            around(&[line(20, 7, 1)], 100, 10),
            [line(0, 100, 10), line(20, 7, 1)]
        );
    }
}
