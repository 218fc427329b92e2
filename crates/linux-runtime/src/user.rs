//! Who `name[:group]` is, by the guest's own `/etc/passwd` and `/etc/group`: no NSS, no libc look-up.

use std::path::Path;

use berth_contract::{Class, Error, Result};
use berth_sys::path::Directory;

use crate::plan::process::UserPlan;

/// Files larger than this are not what they say they are (CVE-2024-9676).
const LIMIT: u64 = 8 << 20;
/// Ids above have wrapped to 0 elsewhere (CVE-2024-40635).
const GREATEST_ID: u32 = 0x7fff_ffff;

/// A user, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Finds out who the process runs as; `with_home` says whether the home directory is needed.
pub(crate) fn identify(plan: &UserPlan, root: &Directory, with_home: bool) -> Result<Identity> {
    let mut groups = plan.groups.clone();
    let Some(name) = &plan.name else {
        let home = if with_home {
            home(&read(root, "/etc/passwd"), plan.user).unwrap_or_else(|| "/".into())
        } else {
            String::new()
        };
        return Ok(Identity {
            user: plan.user,
            group: plan.group,
            groups,
            home,
        });
    };
    let mut found = resolve(name, &read(root, "/etc/passwd"), &read(root, "/etc/group"))?;
    // The primary group stays among the supplementary ones (CVE-2022-36109).
    groups.retain(|group| !found.groups.contains(group));
    found.groups.append(&mut groups);
    Ok(found)
}

/// A file of the guest; one that is missing or unusual knows nobody.
fn read(root: &Directory, path: &str) -> String {
    root.read(Path::new(path), LIMIT)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

struct Entry<'a> {
    name: &'a str,
    user: u32,
    group: u32,
    home: &'a str,
}

fn entries(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let user = fields.nth(1)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or("/");
        Some(Entry {
            name,
            user,
            group,
            home,
        })
    })
}

fn home(passwd: &str, user: u32) -> Option<String> {
    entries(passwd)
        .find(|entry| entry.user == user)
        .map(|entry| entry.home.to_owned())
}

/// Name, number, and members of each group.
fn group_entries(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number = fields.nth(1)?.parse().ok()?;
        Some((name, number, fields.next().unwrap_or_default()))
    })
}

/// A decimal id in range; names made of digits only are ids, as in Docker.
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|id| *id <= GREATEST_ID)
}

fn resolve(name: &str, passwd: &str, group: &str) -> Result<Identity> {
    let (user_word, group_word) = match name.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (name, None),
    };
    let by_name = entries(passwd).find(|entry| entry.name == user_word);
    let (user, primary, user_name, home) = match (by_name, id(user_word)) {
        (Some(entry), _) if !user_word.is_empty() => (
            entry.user,
            entry.group,
            entry.name.to_owned(),
            entry.home.to_owned(),
        ),
        (_, Some(number)) => match entries(passwd).find(|entry| entry.user == number) {
            Some(entry) => (
                number,
                entry.group,
                entry.name.to_owned(),
                entry.home.to_owned(),
            ),
            None => (number, 0, String::new(), "/".to_owned()),
        },
        _ => return Err(unknown("user", user_word, "/etc/passwd")),
    };
    let Some(group_word) = group_word else {
        let mut groups = vec![primary];
        for (_, number, members) in group_entries(group) {
            let member =
                !user_name.is_empty() && members.split(',').any(|member| member == user_name);
            if member && !groups.contains(&number) {
                groups.push(number);
            }
        }
        return Ok(Identity {
            user,
            group: primary,
            groups,
            home,
        });
    };
    let known = group_entries(group).find(|(name, _, _)| *name == group_word);
    let number = match (known, id(group_word)) {
        (Some((_, number, _)), _) if !group_word.is_empty() => number,
        (_, Some(number)) => number,
        _ => return Err(unknown("group", group_word, "/etc/group")),
    };
    Ok(Identity {
        user,
        group: number,
        groups: vec![number],
        home,
    })
}

fn unknown(what: &str, word: &str, file: &str) -> Error {
    Error::new(Class::Invalid, format!("cannot run as {what} {word:?}"))
        .caused_by(format!("there is no such entry in the container's {file}"))
        .hint("a number from 0 to 2147483647 needs no entry")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/sh\n\
        0x0:x:7:7::/seven:\n5:x:50:51::/five:\nbroken\n:x:9:9::/:\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nextra:x:100:web,other\nmore:x:101:other\n:x:9:\n";

    fn who(name: &str) -> Result<Identity> {
        resolve(name, PASSWD, GROUP)
    }

    #[test]
    fn names_and_numbers_are_found() {
        let identity = |user, group, groups: &[u32], home: &str| Identity {
            user,
            group,
            groups: groups.to_vec(),
            home: home.into(),
        };
        for (word, expected) in [
            ("web", identity(33, 34, &[34, 100], "/var/www")),
            ("33", identity(33, 34, &[34, 100], "/var/www")),
            ("web:extra", identity(33, 100, &[100], "/var/www")),
            ("web:7", identity(33, 7, &[7], "/var/www")),
            ("1000", identity(1000, 0, &[0], "/")),
            ("1000:1001", identity(1000, 1001, &[1001], "/")),
            ("0x0", identity(7, 7, &[7], "/seven")),
            ("5", identity(50, 51, &[51], "/five")),
        ] {
            assert_eq!(who(word).unwrap(), expected, "{word}");
        }
    }

    #[test]
    fn nonsense_is_nobody_and_never_root() {
        for word in [
            "",
            ":",
            "nobody",
            "-1",
            "4294967296",
            "2147483648",
            "18446744073709551616",
            "0x10",
            "web:",
            "web:none",
            "web:-1",
            "web:4294967296",
            "+0",
            " 0",
            "0 ",
            "root:web:0",
        ] {
            assert!(who(word).is_err(), "{word:?} is {:?}", who(word));
        }
    }
}
