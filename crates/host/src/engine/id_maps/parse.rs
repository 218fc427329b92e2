//! The spellings of Podman: `CONTAINER:HOST[:LENGTH]`, and `auto:size=…,uidmapping=…,gidmapping=…`.

use berth_contract::{Class, Error, Result};

use super::{Line, Maps};
use crate::api::types::IdMappings;

/// The kernel takes so many lines (man 7 `user_namespaces`).
const MOST_LINES: usize = 340;

/// What `--userns auto` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) size: Option<u32>,
    /// Lines that are to be there beside the range that is chosen.
    pub(super) users: Vec<Line>,
    pub(super) groups: Vec<Line>,
}

/// Reads `auto[:…]`; `None` for another mode.
pub(super) fn auto(mode: &str) -> Result<Option<Wanted>> {
    let options = match mode.strip_prefix("auto") {
        Some("") => "",
        Some(rest) => match rest.strip_prefix(':') {
            Some(options) => options,
            None => return Ok(None),
        },
        None => return Ok(None),
    };
    let wrong = |option: &str| {
        Error::new(Class::Invalid, format!("invalid --userns {mode:?}"))
            .caused_by(format!("{option:?} is no option of auto"))
            .hint("write it as auto:size=65536,uidmapping=CONTAINER:HOST:LENGTH,gidmapping=…")
    };
    let mut wanted = Wanted::default();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').ok_or_else(|| wrong(option))?;
        match key {
            "size" => match value.parse() {
                Ok(size @ 1..) => wanted.size = Some(size),
                _ => return Err(wrong(option)),
            },
            "uidmapping" => wanted.users.push(line("--userns", value)?),
            "gidmapping" => wanted.groups.push(line("--userns", value)?),
            _ => return Err(wrong(option)),
        }
    }
    disjoint("--userns", &wanted.users)?;
    disjoint("--userns", &wanted.groups)?;
    Ok(Some(wanted))
}

/// The maps of `--uidmap` and `--gidmap`; one of the two stands for both, as in Podman.
pub(super) fn explicit(mappings: Option<&IdMappings>) -> Result<Maps> {
    let empty = IdMappings::default();
    let mappings = mappings.unwrap_or(&empty);
    let (users, groups) = match (mappings.uid_map.as_slice(), mappings.gid_map.as_slice()) {
        ([], []) => {
            return Err(
                Error::new(Class::Invalid, "a private user namespace needs a map")
                    .hint("add --uidmap 0:HOST:LENGTH, or use --userns auto"),
            );
        }
        ([], groups) => (groups, groups),
        (users, []) => (users, users),
        (users, groups) => (users, groups),
    };
    let maps = Maps {
        users: lines("--uidmap", users)?,
        groups: lines("--gidmap", groups)?,
    };
    disjoint("--uidmap", &maps.users)?;
    disjoint("--gidmap", &maps.groups)?;
    Ok(maps)
}

pub(super) fn lines(flag: &str, texts: &[String]) -> Result<Vec<Line>> {
    texts.iter().map(|text| line(flag, text)).collect()
}

fn line(flag: &str, text: &str) -> Result<Line> {
    let invalid = || {
        Error::new(Class::Invalid, format!("invalid map {text:?} for {flag}"))
            .hint("write it as CONTAINER:HOST:LENGTH, such as 0:100000:65536")
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u32>().ok().filter(|_| digits);
        number.ok_or_else(invalid)
    };
    let mut parts = text.split(':');
    let (Some(inside), Some(outside), count, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(invalid());
    };
    let line = Line {
        inside: number(inside)?,
        outside: number(outside)?,
        count: count.map_or(Ok(1), number)?,
    };
    // (uid_t)-1 is nobody's id.
    let fits = |first: u32| {
        first
            .checked_add(line.count)
            .is_some_and(|end| end < u32::MAX)
    };
    if line.count == 0 || !fits(line.inside) || !fits(line.outside) {
        return Err(invalid());
    }
    Ok(line)
}

/// Refuses maps the kernel would refuse with no more than a number.
fn disjoint(flag: &str, lines: &[Line]) -> Result<()> {
    let twice = |first: fn(&Line) -> u32| {
        let mut ranges: Vec<_> = lines
            .iter()
            .map(|line| (first(line), first(line).saturating_add(line.count)))
            .collect();
        ranges.sort_unstable();
        let overlaps =
            |pair: &[(u32, u32)]| pair.first().map(|one| one.1) > pair.get(1).map(|two| two.0);
        ranges.windows(2).any(overlaps)
    };
    let why = if lines.len() > MOST_LINES {
        "the kernel takes at most 340 lines"
    } else if twice(|line| line.inside) {
        "an id of the container is mapped twice"
    } else if twice(|line| line.outside) {
        "an id of the host is mapped twice"
    } else {
        return Ok(());
    };
    Err(Error::new(Class::Invalid, format!("cannot use the maps of {flag}")).caused_by(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mappings(users: &[&str], groups: &[&str]) -> IdMappings {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        IdMappings {
            uid_map: own(users),
            gid_map: own(groups),
        }
    }

    #[test]
    fn maps_are_read_as_podman_writes_them() {
        let maps = explicit(Some(&mappings(&["0:100000:65536", "70000:7"], &[]))).unwrap();
        assert_eq!(maps.users, maps.groups);
        assert_eq!(
            maps.users,
            [
                Line {
                    inside: 0,
                    outside: 100_000,
                    count: 65_536
                },
                Line {
                    inside: 70_000,
                    outside: 7,
                    count: 1
                },
            ]
        );
        for bad in [
            "",
            "0",
            "0:1:2:3",
            "0:1:0",
            "-1:0:1",
            "0:x:1",
            "+0:1:1",
            "0:4294967290:10",
        ] {
            assert!(explicit(Some(&mappings(&[bad], &[]))).is_err(), "{bad}");
        }
        for twice in [["0:10:5", "4:100:2"], ["0:10:5", "7:12:1"]] {
            assert!(explicit(Some(&mappings(&twice, &[]))).is_err(), "{twice:?}");
        }
        assert!(explicit(None).is_err());
    }

    #[test]
    fn auto_has_options() {
        assert_eq!(auto("host").unwrap(), None);
        assert_eq!(auto("auto").unwrap(), Some(Wanted::default()));
        let wanted = auto("auto:size=1000,uidmapping=0:1000:1").unwrap().unwrap();
        assert_eq!(
            (wanted.size, wanted.users.len(), wanted.groups.len()),
            (Some(1000), 1, 0)
        );
        for bad in [
            "auto:size=0",
            "auto:size=x",
            "auto:lenght=3",
            "auto:uidmapping=1",
        ] {
            assert!(auto(bad).is_err(), "{bad}");
        }
        assert_eq!(auto("automatic").unwrap(), None);
    }
}
