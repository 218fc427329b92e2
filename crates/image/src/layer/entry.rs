//! One entry of a layer's archive, checked before anything is done with it.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use berth_sys::file::{Kind, Time};

use super::shown;
use super::sparse::Sparse;

/// Deeper than any real tree (security.md 27).
const DEPTH_LIMIT: usize = 512;
/// `PATH_MAX` of Linux.
const PATH_LIMIT: usize = 4096;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What aufs kept beside the files; means nothing here.
const AUFS: &[u8] = b".wh..wh.";

/// What an entry asks for.
#[derive(Debug)]
pub(super) enum Action {
    /// Not a file at all: global headers, aufs's own.
    Skip,
    /// The lower layers' entry of this name is gone.
    Whiteout,
    /// The lower layers' content of the parent is gone.
    Opaque,
    Directory,
    /// A regular file, perhaps with a map of its holes.
    File(Option<Sparse>),
    Symlink(OsString),
    HardLink(Vec<OsString>),
    Node(Kind),
}

/// An entry with all its attributes.
#[derive(Debug)]
pub(super) struct Entry {
    /// Empty for the root.
    pub(super) parents: Vec<OsString>,
    pub(super) name: OsString,
    pub(super) action: Action,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) modified: Time,
    pub(super) attributes: Vec<(OsString, Vec<u8>)>,
}

/// The keys of a PAX header that matter here.
#[derive(Debug, Default)]
struct Pax {
    uid: Option<u32>,
    gid: Option<u32>,
    modified: Option<Time>,
    attributes: Vec<(OsString, Vec<u8>)>,
    sparse: Sparse,
}

impl Entry {
    /// Reads an entry's headers, `map` being that of an old GNU sparse file; the error is the reason it is
    /// refused for.
    pub(super) fn read<R: Read>(
        entry: &mut tar::Entry<'_, R>,
        map: Option<Sparse>,
    ) -> Result<Self, String> {
        let pax = Pax::read(entry)?;
        let raw_path = match &pax.sparse.name {
            Some(name) => name.clone(),
            None => entry.path_bytes().into_owned(),
        };
        let mut parents = components(&raw_path)?;
        let mut name = parents.pop().unwrap_or_default();
        let header = entry.header();
        let old = header.as_old();
        let mode = field(
            &old.mode,
            u64::from(header.mode().unwrap_or(u32::MAX)),
            "mode",
        )? & 0o7777;
        let uid = match pax.uid {
            Some(uid) => uid,
            None => field(&old.uid, header.uid().unwrap_or(u64::MAX), "owner")?,
        };
        let gid = match pax.gid {
            Some(gid) => gid,
            None => field(&old.gid, header.gid().unwrap_or(u64::MAX), "group")?,
        };
        let seconds = header
            .mtime()
            .ok()
            .and_then(|seconds| i64::try_from(seconds).ok())
            .unwrap_or(0);
        let modified = pax.modified.unwrap_or(Time {
            seconds,
            nanoseconds: 0,
        });
        let kept = |part: &OsString| part.as_bytes().starts_with(AUFS);
        let action = if parents.iter().any(kept) || (kept(&name) && name.as_bytes() != OPAQUE) {
            Action::Skip
        } else if name.as_bytes() == OPAQUE {
            Action::Opaque
        } else if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            if matches!(hidden, b"" | b"." | b"..") {
                return Err("it is a whiteout of nothing a layer may hide".into());
            }
            name = OsStr::from_bytes(hidden).to_owned();
            Action::Whiteout
        } else {
            action(entry, map.unwrap_or(pax.sparse))?
        };
        if parents
            .iter()
            .any(|part| part.as_bytes().starts_with(WHITEOUT) && !kept(part))
        {
            return Err("it lies beneath a whiteout".into());
        }
        Ok(Self {
            parents,
            name,
            action,
            mode,
            uid,
            gid,
            modified,
            attributes: pax.attributes,
        })
    }

    /// The path for messages and for remembering.
    pub(super) fn path(&self) -> PathBuf {
        self.parents
            .iter()
            .chain(std::iter::once(&self.name))
            .collect()
    }
}

/// A number of a header; a blank field means 0, as every tar reads it.
fn field(raw: &[u8], value: u64, what: &str) -> Result<u32, String> {
    if raw.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    // u32::MAX means "leave it" to chown(2).
    let number = u32::try_from(value)
        .ok()
        .filter(|number| *number != u32::MAX);
    number.ok_or_else(|| format!("its {what} is damaged or too large"))
}

fn action<R: Read>(entry: &tar::Entry<'_, R>, sparse: Sparse) -> Result<Action, String> {
    use tar::EntryType as Type;
    let header = entry.header();
    let device = || {
        let major = header.device_major().ok().flatten().unwrap_or(0);
        (major, header.device_minor().ok().flatten().unwrap_or(0))
    };
    let target = || {
        entry
            .link_name_bytes()
            .ok_or("it is a link to nothing".to_owned())
    };
    Ok(match header.entry_type() {
        // Archives older than POSIX mark a directory by a trailing slash alone.
        Type::Regular | Type::Continuous if entry.path_bytes().ends_with(b"/") => Action::Directory,
        Type::Regular | Type::Continuous => Action::File(sparse.is_sparse().then_some(sparse)),
        Type::GNUSparse => Action::File(Some(sparse)),
        Type::Directory => Action::Directory,
        Type::Symlink => Action::Symlink(OsString::from_vec(target()?.into_owned())),
        Type::Link => {
            let target = components(&target()?)?;
            if target.is_empty() {
                return Err("it is a hard link to the root".into());
            }
            Action::HardLink(target)
        }
        Type::Char => Action::Node(Kind::CharacterDevice(device().0, device().1)),
        Type::Block => Action::Node(Kind::BlockDevice(device().0, device().1)),
        Type::Fifo => Action::Node(Kind::Fifo),
        Type::XGlobalHeader => Action::Skip,
        other => {
            return Err(format!(
                "its type {:?} is unknown",
                char::from(other.as_byte())
            ));
        }
    })
}

/// A path's parts, cleaned as text (`a/../b` is `b`, whatever `a` is) as Docker does; what would leave the
/// layer's root is refused. A leading `/` means that root.
fn components(path: &[u8]) -> Result<Vec<OsString>, String> {
    if path.len() > PATH_LIMIT {
        return Err(format!("its path has more than {PATH_LIMIT} bytes"));
    }
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.pop().is_none() => return Err("its path leaves the layer".into()),
            b".." => {}
            part if part.contains(&0) => return Err("its path has a NUL".into()),
            part => parts.push(OsStr::from_bytes(part).to_owned()),
        }
    }
    if parts.len() > DEPTH_LIMIT {
        return Err(format!("it is more than {DEPTH_LIMIT} directories deep"));
    }
    Ok(parts)
}

impl Pax {
    fn read<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Self, String> {
        let mut pax = Self::default();
        let Some(extensions) = entry.pax_extensions().map_err(|error| error.to_string())? else {
            return Ok(pax);
        };
        for extension in extensions {
            let extension = extension.map_err(|error| error.to_string())?;
            let (key, value) = (extension.key_bytes(), extension.value_bytes());
            let text = || String::from_utf8_lossy(value).into_owned();
            let id = |what: &str| {
                text()
                    .parse()
                    .ok()
                    .ok_or_else(|| format!("its {what} {:?} is no id", shown(&text())))
            };
            match key {
                b"uid" => pax.uid = Some(id("owner")?),
                b"gid" => pax.gid = Some(id("group")?),
                b"mtime" => pax.modified = parse_time(&text()),
                _ if key.starts_with(b"GNU.sparse.") => pax.sparse.set(&key[11..], value)?,
                _ => {
                    if let Some(key) = key.strip_prefix(b"SCHILY.xattr.") {
                        let private = key.starts_with(b"trusted.overlay.")
                            || key.starts_with(b"user.overlay.");
                        if private {
                            return Err("it carries an attribute that is overlayfs's own".into());
                        }
                        pax.attributes
                            .push((OsStr::from_bytes(key).to_owned(), value.to_vec()));
                    }
                }
            }
        }
        Ok(pax)
    }
}

/// `seconds[.fraction]`, possibly negative: the fraction counts away from zero in the text and upwards in
/// `struct timespec`.
fn parse_time(text: &str) -> Option<Time> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let (whole, nanoseconds): (i64, u32) = (seconds.parse().ok()?, digits.parse().ok()?);
    if seconds.starts_with('-') && nanoseconds > 0 {
        return Some(Time {
            seconds: whole.checked_sub(1)?,
            nanoseconds: 1_000_000_000 - nanoseconds,
        });
    }
    Some(Time {
        seconds: whole,
        nanoseconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_fractions() {
        let time = |seconds, nanoseconds| {
            Some(Time {
                seconds,
                nanoseconds,
            })
        };
        assert_eq!(parse_time("12.5"), time(12, 500_000_000));
        assert_eq!(parse_time("12"), time(12, 0));
        assert_eq!(parse_time("1.1234567899"), time(1, 123_456_789));
        assert_eq!(parse_time("-1.25"), time(-2, 750_000_000));
        assert_eq!(parse_time("x"), None);
    }

    #[test]
    fn paths_that_leave_the_layer_are_refused_and_others_are_cleaned() {
        assert_eq!(components(b"/a//./b/").unwrap(), ["a", "b"]);
        assert!(components(b"./").unwrap().is_empty());
        assert_eq!(components(b"a/../b/./c/..").unwrap(), ["b"]);
        assert!(components(b"a/..").unwrap().is_empty());
        for path in [&b"../a"[..], b"a/../../b", b"/..", b"a\0b"] {
            assert!(components(path).is_err());
        }
        assert!(components("ab/".repeat(2000).as_bytes()).is_err());
        assert!(components("a/".repeat(600).as_bytes()).is_err());
    }
}
