//! The index of a directory that is an OCI image layout, which several may write to at once.
//!
//! ```text
//!  blobs in place ─► lock on the directory ─► index.json read, changed, written aside, renamed
//! ```
//!
//! Whoever reads one while it is written to finds every blob that its index leads to. An index that cannot be
//! read is nobody's to replace: it is all that is known of what else lies there.

use std::fs::File;
use std::io;
use std::path::Path;

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;

use crate::documents::{Document, Index, to_json};

/// Its list of what it holds.
const INDEX: &str = "index.json";

/// What a layout lists already; nothing where there is none yet.
pub(crate) fn listed(root: &Path) -> Result<Index> {
    let bytes = match std::fs::read(root.join(INDEX)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::new(Vec::new())),
        Err(error) => return Err(error).explain(|| cannot(root)),
    };
    checked(&bytes).map_err(|error| error.context(cannot(root)))
}

/// Changes what a layout lists, whose blobs are in place.
pub(crate) fn change(root: &Path, change: impl FnOnce(&mut Index)) -> Result<()> {
    let lock = File::open(root).explain(|| cannot(root))?;
    // Not every file system has locks; those of other machines do without.
    drop(lock.lock());
    let mut index = listed(root)?;
    change(&mut index);
    let bytes = to_json(&index);
    checked(&bytes).map_err(|error| error.context(cannot(root)))?;
    put(&root.join(INDEX), |aside| std::fs::write(aside, &bytes)).explain(|| cannot(root))
}

/// Writes a file aside and renames it into place.
pub(crate) fn put<T>(to: &Path, write: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let aside = to.with_file_name(berth_sys::file::unique_name("."));
    let written = write(&aside).and_then(|written| std::fs::rename(&aside, to).map(|()| written));
    if written.is_err() {
        // The first failure is the one to tell.
        drop(std::fs::remove_file(&aside));
    }
    written
}

fn checked(bytes: &[u8]) -> Result<Index> {
    match Document::parse(bytes, None)? {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => Err(Error::new(Class::Invalid, "its index.json is no index")),
    }
}

fn cannot(root: &Path) -> String {
    format!("cannot add to the layout {}", root.display())
}
