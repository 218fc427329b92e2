//! The digest of what is copied: names, kinds, modes, owners, attributes and content, but no times.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use berth_image::Entry;
use berth_sys::file::{Kind, Metadata, Time};
use sha2::{Digest as _, Sha256};

use super::guard::Guard;
use crate::build::cache::Key;

/// Adds one entry to a key.
pub(super) fn add(
    key: &mut Key,
    path: &Path,
    entry: &Entry,
    owner: Option<(u32, u32)>,
    (known, guard): (&FileDigests, &Guard),
) -> io::Result<()> {
    guard.admit(entry)?;
    let metadata = entry.metadata();
    let (uid, gid) = owner.unwrap_or((metadata.uid, metadata.gid));
    key.bytes(path.as_os_str().as_bytes());
    key.number(u64::from(metadata.mode));
    key.number(u64::from(uid) << 32 | u64::from(gid));
    let digest = match metadata.kind {
        Kind::File => known.digest(entry, guard)?,
        Kind::Symlink => {
            key.bytes(entry.read_link()?.as_bytes());
            [0; 32]
        }
        _ => [0; 32],
    };
    key.text(match metadata.kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "link",
        Kind::CharacterDevice(..) => "character",
        Kind::BlockDevice(..) => "block",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
    });
    if let Kind::CharacterDevice(major, minor) | Kind::BlockDevice(major, minor) = metadata.kind {
        key.number(u64::from(major) << 32 | u64::from(minor));
    }
    key.bytes(&digest);
    Ok(())
}

/// The digests of a context's files, kept as long as inode, size and times are the same.
///
/// The time of the last change cannot be set by anybody, so a file that was written in between is read
/// again whatever its modification time says.
#[derive(Debug, Default)]
pub(crate) struct FileDigests {
    known: HashMap<(u64, u64), Known>,
    seen: Mutex<HashMap<(u64, u64), Known>>,
    path: Option<PathBuf>,
}

/// What is known of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    size: u64,
    modified: Time,
    changed: Time,
    digest: [u8; 32],
}

/// Records kept of files that a build has not looked at: other Dockerfiles of the context may.
const OTHERS_KEPT: usize = 1 << 16;
/// Contexts whose digests are kept.
const CONTEXTS_KEPT: usize = 64;

/// One file on disk: device, inode, size, two times, digest.
const RECORD: usize = 8 * 3 + 12 * 2 + 32;

impl FileDigests {
    /// Nothing is known and nothing is kept: for trees that do not change.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// What was kept in a file; a damaged one counts as none.
    pub(crate) fn load(path: PathBuf) -> Self {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let mut known = HashMap::with_capacity(bytes.len() / RECORD);
        if bytes.len().is_multiple_of(RECORD) {
            for record in bytes.chunks_exact(RECORD) {
                if let Some((inode, one)) = decode(record) {
                    known.insert(inode, one);
                }
            }
        }
        Self {
            known,
            seen: Mutex::default(),
            path: Some(path),
        }
    }

    /// Keeps what was seen; that it cannot be kept is no failure of the build.
    pub(crate) fn save(&self) {
        let Some(path) = &self.path else { return };
        let seen = self
            .seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.is_empty()
            || (seen.len() == self.known.len()
                && seen
                    .iter()
                    .all(|(inode, one)| self.known.get(inode) == Some(one)))
        {
            return;
        }
        let mut bytes = Vec::with_capacity((seen.len() + self.known.len()) * RECORD);
        for (inode, one) in seen.iter() {
            encode(*inode, one, &mut bytes);
        }
        for (inode, one) in self
            .known
            .iter()
            .filter(|(inode, _)| !seen.contains_key(inode))
            .take(OTHERS_KEPT)
        {
            encode(*inode, one, &mut bytes);
        }
        let Some(parent) = path.parent() else { return };
        let aside = parent.join(berth_sys::file::unique_name("."));
        let written = crate::build::cache::make_private(parent)
            .is_ok()
            .then(|| std::fs::write(&aside, bytes).and_then(|()| std::fs::rename(&aside, path)));
        drop(written);
        forget_oldest(parent, CONTEXTS_KEPT);
    }

    fn digest(&self, entry: &Entry, guard: &Guard) -> io::Result<[u8; 32]> {
        let metadata = entry.metadata();
        let inode = (metadata.device, metadata.inode);
        if self.path.is_some()
            && let Some(known) = self.known.get(&inode)
            && is_same(known, metadata)
        {
            self.remember(inode, *known);
            return Ok(known.digest);
        }
        let digest = of_content(entry, guard)?;
        // A file that was changed this very moment may be changed again without a new time.
        let settled = berth_sys::clock::realtime() / 1_000_000_000;
        let settled = i64::try_from(settled).unwrap_or(0) - 2 > metadata.changed.seconds;
        if self.path.is_some() && settled {
            let known = Known {
                size: metadata.size,
                modified: metadata.modified,
                changed: metadata.changed,
                digest,
            };
            self.remember(inode, known);
        }
        Ok(digest)
    }

    fn remember(&self, inode: (u64, u64), known: Known) {
        let mut seen = self
            .seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.insert(inode, known);
    }
}

/// Removes the files of a directory that were written longest ago, but so many.
fn forget_oldest(directory: &Path, kept: usize) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<(std::time::SystemTime, PathBuf)> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort_unstable();
    for (_, path) in files.iter().rev().skip(kept) {
        // Another build may have been faster.
        drop(std::fs::remove_file(path));
    }
}

fn is_same(known: &Known, metadata: &Metadata) -> bool {
    (known.size, known.modified, known.changed)
        == (metadata.size, metadata.modified, metadata.changed)
}

/// The digest of a file's content and attributes.
fn of_content(entry: &Entry, guard: &Guard) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    for (name, value) in entry.attributes()? {
        if super::is_copied(name.as_bytes()) {
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update((value.len() as u64).to_le_bytes());
            hasher.update(&value);
        }
    }
    hasher.update(u64::MAX.to_le_bytes());
    let mut file = guard.over(entry.open()?);
    let mut buffer = vec![0_u8; 128 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn encode((device, inode): (u64, u64), one: &Known, bytes: &mut Vec<u8>) {
    for number in [device, inode, one.size] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for time in [one.modified, one.changed] {
        bytes.extend_from_slice(&time.seconds.to_le_bytes());
        bytes.extend_from_slice(&time.nanoseconds.to_le_bytes());
    }
    bytes.extend_from_slice(&one.digest);
}

fn decode(record: &[u8]) -> Option<((u64, u64), Known)> {
    let number = |at: usize| Some(u64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?));
    let time = |at: usize| {
        Some(Time {
            seconds: i64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?),
            nanoseconds: u32::from_le_bytes(record.get(at + 8..at + 12)?.try_into().ok()?),
        })
    };
    let known = Known {
        size: number(16)?,
        modified: time(24)?,
        changed: time(36)?,
        digest: record.get(48..80)?.try_into().ok()?,
    };
    Some(((number(0)?, number(8)?), known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("context");
        let known = Known {
            size: 1,
            modified: Time {
                seconds: 2,
                nanoseconds: 3,
            },
            changed: Time {
                seconds: 4,
                nanoseconds: 5,
            },
            digest: [7; 32],
        };
        let mut digests = FileDigests::load(own.clone());
        let many = OTHERS_KEPT as u64 + 1000;
        digests.known = (0..many).map(|inode| ((1, inode), known)).collect();
        digests.remember((2, 1), known);
        digests.save();
        let read = FileDigests::load(own);
        assert_eq!(read.known.len(), OTHERS_KEPT + 1);
        assert_eq!(read.known.get(&(2, 1)), Some(&known));
        for number in 0..10 {
            std::fs::write(folder.path().join(number.to_string()), "").unwrap();
        }
        forget_oldest(folder.path(), 3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
