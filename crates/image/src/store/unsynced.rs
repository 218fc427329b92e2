//! What is renamed into place before it is on disk: a builder's layers, which the next step needs at once.
//!
//! ```text
//!  mark in ingest/ ─► renames ─► syncfs ─► mark removed ─► a name, or an entry of the build's cache
//! ```
//!
//! A power cut before the `syncfs` can leave a blob or layer that has its name and not its content. The mark
//! survives it too, because file systems keep the order of changes to directories; it costs no `fsync`. Whoever
//! finds one that no living process holds takes all that nothing leads to for lost: what something leads to was
//! synced before it was led to.

use std::ffi::OsString;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use berth_contract::Result;
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, unique_name};

use super::collect::Partial;
use super::{Containers, Store};

const MARK: &str = "unsynced-";

/// The mark of one builder, while it has made something since its last sync.
#[derive(Debug, Default)]
pub(crate) struct Unsynced(RwLock<Option<OsString>>);

impl Unsynced {
    /// Renames something into place, once the mark is there.
    pub(crate) fn place<T>(
        &self,
        ingest: &Directory,
        rename: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        loop {
            // Held until it is renamed: a sync that takes the mark away begins after that.
            let mark = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if mark.is_some() {
                return rename();
            }
            drop(mark);
            let mut mark = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if mark.is_none() {
                let name = unique_name(MARK);
                let file = ingest.create_file(&name, 0o600);
                drop(file.explain(|| "cannot write to the image store".into())?);
                *mark = Some(name);
            }
        }
    }

    /// Writes everything to disk, and takes the mark away.
    pub(crate) fn sync(&self, ingest: &Directory) -> Result<()> {
        let mut own = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mark = own.take();
        drop(own);
        let synced = ingest
            .sync_file_system()
            .explain(|| "cannot write the image to disk".into());
        if let (Ok(()), Some(mark)) = (&synced, mark) {
            // One that stays costs no more than a look for garbage.
            drop(ingest.remove_file(&mark));
        }
        synced
    }
}

impl Store {
    /// Whether somebody makes something that may not be on disk yet, or did when the machine went down.
    pub(crate) fn has_unsynced(&self) -> bool {
        let entries = std::fs::read_dir(self.path("ingest")).into_iter().flatten();
        entries
            .flatten()
            .any(|entry| is_mark(Path::new(&entry.file_name())))
    }

    /// Throws away what was made and may never have reached the disk: after a power cut, or a builder that was
    /// killed. Does nothing while one is at work.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn recover(&self, containers: &dyn Containers) -> Result<()> {
        if !self.has_unsynced() {
            return Ok(());
        }
        // The marks lie where the sweep takes away everything.
        self.sweep(containers, Partial::Kept).map(drop)
    }
}

fn is_mark(name: &Path) -> bool {
    name.to_string_lossy().starts_with(MARK)
}
