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
//!
//! A mark says during which run of the system it was made. While one of another run lies there, which what is
//! known of the containers may not be enough to clear up, nothing is added: it might build on what was lost.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, unique_name};

use super::collect::Partial;
use super::{Containers, Store};

const MARK: &str = "unsynced-";
/// Differs from one run of the system to the next.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

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
                let boot = std::fs::read(BOOT).explain(|| format!("cannot read {BOOT}"))?;
                let aside = unique_name("new-");
                // Nobody may read one that says nothing yet.
                let file = ingest.create_file(&aside, 0o600);
                file.and_then(|mut file| file.write_all(&boot))
                    .and_then(|()| ingest.rename(&aside, ingest, &name))
                    .explain(|| "cannot write to the image store".into())?;
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
        self.marks().next().is_some()
    }

    fn marks(&self) -> impl Iterator<Item = PathBuf> {
        let entries = std::fs::read_dir(self.path("ingest")).into_iter().flatten();
        let entries = entries.flatten();
        let marks = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(MARK));
        marks.map(|entry| entry.path())
    }

    /// Refuses to build on what may have been lost with an earlier run of the system. The caller has a hold, and
    /// so has waited for whoever is clearing up.
    pub(crate) fn refuse_lost(&self) -> Result<()> {
        let mut marks = self.marks().peekable();
        if marks.peek().is_none() {
            return Ok(());
        }
        let boot = std::fs::read(BOOT).explain(|| format!("cannot read {BOOT}"))?;
        for mark in marks {
            // One that is gone by now was its builder's, which has synced.
            if std::fs::read(mark).is_ok_and(|made| made != boot) {
                let message = "cannot add to the image store";
                return Err(Error::new(Class::Conflict, message)
                    .caused_by("what a power cut may have damaged is not cleared away yet")
                    .hint("berth system check --repair"));
            }
        }
        Ok(())
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
