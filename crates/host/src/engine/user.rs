//! Who a process is: `user[:group]` against the image's own `/etc/passwd` and `/etc/group`.
//!
//! Parsed here and not by the C library: the files are the guest's, and a static program has no NSS.
//! Numbers are decimal digits up to 2³¹-1 and nothing else, so none can wrap around to 0
//! (CVE-2024-40635, CVE-2026-30892); the primary group is always among the supplementary ones
//! (CVE-2022-36109, CVE-2022-2989).

use berth_contract::{Class, Error, Result};

/// The largest id: what Docker and the kernel's `(uid_t)-1` rule leave.
const MAXIMUM: u32 = 0x7fff_ffff;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user.
    pub(crate) uid: u32,
    /// The primary group.
    pub(crate) gid: u32,
    /// The supplementary groups, the primary one first.
    pub(crate) groups: Vec<u32>,
    /// The home directory.
    pub(crate) home: String,
}

/// The two files of an image, as text; an image without them has empty ones.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// `/etc/passwd`.
    pub(crate) passwd: String,
    /// `/etc/group`.
    pub(crate) group: String,
}

/// What one half of `user:group` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted<'a> {
    Nothing,
    Number(u32),
    Name(&'a str),
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Whether names have to be looked up at all, or the numbers alone say everything but the home.
pub(crate) fn identity(
    user: &str,
    groups_added: &[String],
    accounts: &Accounts,
) -> Result<Identity> {
    let (user, group) = split(user)?;
    let known = passwd_entries(&accounts.passwd).find(|entry| match user {
        Wanted::Nothing => entry.uid == 0,
        Wanted::Number(uid) => entry.uid == uid,
        Wanted::Name(name) => entry.name == name,
    });
    let (uid, mut gid, home) = match (&known, user) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home),
        (None, Wanted::Nothing) => (0, 0, ""),
        (None, Wanted::Number(uid)) => (uid, 0, ""),
        (None, Wanted::Name(name)) => return Err(unknown("user", name, "/etc/passwd")),
    };
    let mut supplementary = Vec::new();
    match group {
        Wanted::Nothing => {
            if let Some(entry) = &known {
                let member = |group: &Group<'_>| group.members.split(',').any(|m| m == entry.name);
                supplementary.extend(
                    group_entries(&accounts.group)
                        .filter(member)
                        .map(|group| group.gid),
                );
            }
        }
        wanted => gid = find_group(wanted, &accounts.group)?,
    }
    for added in groups_added {
        supplementary.push(find_group(half(added, "group")?, &accounts.group)?);
    }
    let mut groups = vec![gid];
    for extra in supplementary {
        if !groups.contains(&extra) {
            groups.push(extra);
        }
    }
    let home = if home.is_empty() { "/" } else { home };
    Ok(Identity {
        uid,
        gid,
        groups,
        home: home.to_owned(),
    })
}

fn split(text: &str) -> Result<(Wanted<'_>, Wanted<'_>)> {
    let mut halves = text.split(':');
    let user = half(halves.next().unwrap_or_default(), "user")?;
    let group = half(halves.next().unwrap_or_default(), "group")?;
    if halves.next().is_some() {
        return Err(Error::new(Class::Invalid, format!("invalid user {text:?}"))
            .hint("write user, uid, user:group or uid:gid"));
    }
    Ok((user, group))
}

fn half<'a>(text: &'a str, what: &str) -> Result<Wanted<'a>> {
    if text.is_empty() {
        return Ok(Wanted::Nothing);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse::<u32>() {
            Ok(number) if number <= MAXIMUM => Ok(Wanted::Number(number)),
            _ => Err(
                Error::new(Class::Invalid, format!("invalid {what} id {text}"))
                    .caused_by(format!("ids go from 0 to {MAXIMUM}")),
            ),
        };
    }
    if text
        .bytes()
        .any(|byte| byte.is_ascii_control() || byte.is_ascii_whitespace())
    {
        return Err(Error::new(
            Class::Invalid,
            format!("invalid {what} {text:?}"),
        ));
    }
    Ok(Wanted::Name(text))
}

fn find_group(wanted: Wanted<'_>, file: &str) -> Result<u32> {
    match wanted {
        Wanted::Nothing => Err(Error::new(Class::Invalid, "invalid group \"\"")),
        Wanted::Number(gid) => Ok(gid),
        Wanted::Name(name) => group_entries(file)
            .find(|group| group.name == name)
            .map(|group| group.gid)
            .ok_or_else(|| unknown("group", name, "/etc/group")),
    }
}

fn unknown(what: &str, name: &str, file: &str) -> Error {
    Error::new(Class::Invalid, format!("unable to find {what} {name}"))
        .caused_by(format!("the image's {file} does not name it"))
}

/// A line that is not an entry (a comment, NIS's `+`, an id that is no number) is passed over.
fn passwd_entries(file: &str) -> impl Iterator<Item = Passwd<'_>> {
    file.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| is_name(name))?;
        let uid = number(fields.nth(1)?)?;
        let gid = number(fields.next()?)?;
        let home = fields.nth(1).unwrap_or_default();
        Some(Passwd {
            name,
            uid,
            gid,
            home,
        })
    })
}

fn group_entries(file: &str) -> impl Iterator<Item = Group<'_>> {
    file.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| is_name(name))?;
        let gid = number(fields.nth(1)?)?;
        Some(Group {
            name,
            gid,
            members: fields.next().unwrap_or_default(),
        })
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['#', '+', '-'])
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| digits && *number <= MAXIMUM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    fn accounts() -> Accounts {
        Accounts {
            passwd: "# comment\n\
                     root:x:0:0:root:/root:/bin/sh\n\
                     +nis::0:0:::\n\
                     broken:x:zero:0::/:/bin/sh\n\
                     web:x:33:34:web:/srv/www:/bin/false\n\
                     1234:x:77:78:a name of digits:/home/digits:/bin/sh\n\
                     huge:x:4294967296:0::/:/bin/sh\n"
                .into(),
            group: "root:x:0:\nwww:x:34:\naudio:x:29:web,other\nvideo:x:44:other,web\nwheel:x:10:webx\n"
                .into(),
        }
    }

    #[test]
    fn users_are_looked_up_as_docker_does() {
        /// What was asked, groups to add, and the uid, gid, groups and home that come of it.
        type Case = (
            &'static str,
            &'static [&'static str],
            (u32, u32, &'static [u32], &'static str),
        );
        let cases: [Case; 11] = [
            ("", &[], (0, 0, &[0], "/root")),
            ("root", &[], (0, 0, &[0], "/root")),
            ("0", &[], (0, 0, &[0], "/root")),
            ("web", &[], (33, 34, &[34, 29, 44], "/srv/www")),
            ("33", &[], (33, 34, &[34, 29, 44], "/srv/www")),
            ("web:audio", &[], (33, 29, &[29], "/srv/www")),
            ("web:7", &["video", "7"], (33, 7, &[7, 44], "/srv/www")),
            ("1234", &[], (1234, 0, &[0], "/")),
            ("77", &[], (77, 78, &[78], "/home/digits")),
            ("1000:1000", &["99"], (1000, 1000, &[1000, 99], "/")),
            (":audio", &[], (0, 29, &[29], "/root")),
        ];
        for (text, added, (uid, gid, groups, home)) in cases {
            let added: Vec<String> = added.iter().map(|group| (*group).to_owned()).collect();
            let found = identity(text, &added, &accounts()).unwrap();
            let expected = Identity {
                uid,
                gid,
                groups: groups.to_vec(),
                home: home.to_owned(),
            };
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_user_is_refused() {
        for text in [
            "nobody-here",
            "-1",
            "0x0",
            "4294967296",
            "2147483648",
            "99999999999999999999",
            "web:nogroup",
            "web:-1",
            "a:b:c",
            "::",
            "1 ",
            "+nis",
            "broken",
            "huge",
            "root\n",
            "web:4294967296",
        ] {
            assert!(identity(text, &[], &accounts()).is_err(), "{text:?}");
        }
        assert!(identity("", &[String::new()], &accounts()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_text_becomes_root_by_accident(text in "[-+0-9a-fx: ]{1,14}") {
            let asked_for_root = text.split(':').next().is_some_and(|user| {
                user.is_empty() || (user.bytes().all(|b| b == b'0'))
            });
            if let Ok(found) = identity(&text, &[], &Accounts::default()) {
                prop_assert_eq!(found.uid == 0, asked_for_root);
                prop_assert!(found.uid <= MAXIMUM && found.gid <= MAXIMUM);
                prop_assert!(found.groups.contains(&found.gid));
            }
        }

        #[test]
        fn numbers_mean_themselves(uid in any::<u32>(), gid in any::<u32>()) {
            let found = identity(&format!("{uid}:{gid}"), &[], &Accounts::default());
            if uid <= MAXIMUM && gid <= MAXIMUM {
                let found = found.unwrap();
                prop_assert_eq!((found.uid, found.gid), (uid, gid));
            } else {
                prop_assert!(found.is_err());
            }
        }
    }
}
