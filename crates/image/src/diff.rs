//! What differs between two images, path by path.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use berth_contract::Result;
use berth_sys::error::Explain as _;
use berth_sys::file::{Kind, Links};

use crate::merged::Merged;
use crate::tree::Entry;

/// How a path changed; the letters are Docker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is new.
    Added,
    /// It is another one, or something beneath it changed.
    Changed,
    /// It is gone.
    Deleted,
}

impl Change {
    /// `A`, `C` or `D`.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'C',
            Self::Deleted => 'D',
        }
    }
}

/// What became of the older files in the newer ones, in the order of the paths.
///
/// Files count as equal when owner, mode, size, time and place in a layer say so; their content is not
/// read, as in Docker.
///
/// # Errors
/// A layer cannot be read.
pub fn diff(older: &Merged, newer: &Merged) -> Result<Vec<(PathBuf, Change)>> {
    let compare = || {
        let root = |files: &Merged| files.place(Path::new("/"), Links::Refused);
        let mut changes = Vec::new();
        if let (Some(older), Some(newer)) = (root(older)?.entry, root(newer)?.entry) {
            directories(&older, &newer, Path::new("/"), &mut changes)?;
        }
        Ok::<_, io::Error>(changes)
    };
    compare().explain(|| "cannot compare the images".into())
}

type Changes = Vec<(PathBuf, Change)>;

fn directories(older: &Entry, newer: &Entry, at: &Path, changes: &mut Changes) -> io::Result<()> {
    let names: BTreeSet<OsString> = older.names()?.into_iter().chain(newer.names()?).collect();
    for name in names {
        let path = at.join(&name);
        match (older.child(&name)?, newer.child(&name)?) {
            (Some(_), None) => changes.push((path, Change::Deleted)),
            (None, Some(entry)) => added(&entry, path, changes)?,
            (Some(older), Some(newer)) => both(&older, &newer, path, changes)?,
            // A whiteout of what is not there.
            (None, None) => {}
        }
    }
    Ok(())
}

fn both(older: &Entry, newer: &Entry, path: PathBuf, changes: &mut Changes) -> io::Result<()> {
    let place = changes.len();
    let same = is_same(older, newer)?;
    match (older.is_directory(), newer.is_directory()) {
        (true, true) => {
            directories(older, newer, &path, changes)?;
            if !same || changes.len() > place {
                changes.insert(place, (path, Change::Changed));
            }
        }
        (false, true) => {
            added(newer, path, changes)?;
            changes[place].1 = Change::Changed;
        }
        _ if same => {}
        _ => changes.push((path, Change::Changed)),
    }
    Ok(())
}

fn added(entry: &Entry, path: PathBuf, changes: &mut Changes) -> io::Result<()> {
    changes.push((path.clone(), Change::Added));
    for name in entry.names()? {
        if let Some(child) = entry.child(&name)? {
            added(&child, path.join(name), changes)?;
        }
    }
    Ok(())
}

fn is_same(older: &Entry, newer: &Entry) -> io::Result<bool> {
    let (one, other) = (older.metadata(), newer.metadata());
    if (one.device, one.inode) == (other.device, other.inode) {
        return Ok(true);
    }
    let alike = one.kind == other.kind
        && one.mode == other.mode
        && (one.uid, one.gid) == (other.uid, other.gid)
        && one.modified == other.modified;
    Ok(alike
        && match one.kind {
            Kind::File => one.size == other.size,
            Kind::Symlink => older.read_link()? == newer.read_link()?,
            _ => true,
        })
}
