//! Garbage: what no name, no dangling image and no container leads to.
//!
//! 1. Take `images.lock` exclusively, so that nobody is adding or relying on unrecorded content.
//! 2. Mark: every entry of the index, the manifests that are here, their configs and layers; the layers
//!    containers are made of.
//! 3. Sweep: rename into `trash/`. Deleting comes later, without the lock: it takes as long as it takes.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use berth_contract::{Digest, Result};
use berth_sys::error::{Explain as _, io_cause};
use berth_sys::file::{Directory, Kind, Links, unique_name};

use super::{Containers, Store};
use crate::artifact::Content;
use crate::documents::{Descriptor, Document, Manifest};

/// What the store takes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Manifests, configs and layers as received.
    pub blobs: u64,
    /// Extracted layers.
    pub layers: u64,
    /// Downloads that were not finished.
    pub partial: u64,
}

/// What happens to downloads that were not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partial {
    Kept,
    Removed,
}

/// Everything that must stay.
#[derive(Debug, Default)]
struct Marked {
    blobs: HashSet<String>,
    layers: HashSet<OsString>,
    /// Manifests and indexes that were looked at.
    documents: HashSet<Digest>,
}

/// What became of a blob that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// It is gone.
    Done,
    /// Something leads to it.
    Needed,
    /// Something may lead to it in a moment.
    Held,
}

impl Store {
    /// Puts what nothing leads to into the trash and says how many bytes that will free; does nothing while
    /// others are at work.
    ///
    /// # Errors
    /// The store cannot be read; what could not be deleted stays for the next time.
    pub fn collect(&self, containers: &dyn Containers) -> Result<u64> {
        self.sweep(containers, Partial::Removed)
    }

    pub(super) fn sweep(&self, containers: &dyn Containers, partial: Partial) -> Result<u64> {
        self.prepare()?;
        let lock = self.lock_file("images.lock")?;
        if lock.try_lock().is_err() {
            return Ok(0);
        }
        // Asked only now: whoever makes a container holds the lock until its record can be seen.
        let marked = self.mark(&containers.layers()?)?;
        let trash = self.directory("trash")?;
        let mut freed = 0;
        for algorithm in ["sha256", "sha512"] {
            let Ok(blobs) = self.directory(&format!("oci/blobs/{algorithm}")) else {
                continue;
            };
            for name in names(&blobs)? {
                if !marked
                    .blobs
                    .contains(&format!("{algorithm}:{}", name.to_string_lossy()))
                {
                    freed += discard(&blobs, &name, &trash);
                }
            }
        }
        let layers = self.directory("layers")?;
        for name in names(&layers)? {
            let chain = Path::new(&name).file_stem().unwrap_or_default();
            if chain != "empty" && !marked.layers.contains(chain) {
                freed += discard(&layers, &name, &trash);
            }
        }
        let ingest = self.directory("ingest")?;
        for name in names(&ingest)? {
            let text = name.to_string_lossy();
            let kept = partial == Partial::Kept && text.ends_with(".partial");
            if !kept && !text.ends_with(".damaged") {
                freed += discard(&ingest, &name, &trash);
            }
        }
        drop(lock);
        Ok(freed)
    }

    /// Whether something waits to be deleted.
    #[must_use]
    pub fn has_trash(&self) -> bool {
        let trash = std::fs::read_dir(self.data.join("trash"));
        trash.is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Deletes what was removed. It is out of sight already, so this needs no lock and may be killed.
    pub fn empty_trash(&self) {
        let Ok(trash) = self.directory("trash") else {
            return;
        };
        for name in trash.names().unwrap_or_default() {
            berth_sys::fault::point("trash-deleting");
            // Somebody else may be emptying the trash too.
            drop(trash.remove_all(&name));
        }
    }

    /// Whether content is on its way somewhere, so that nothing is collected.
    ///
    /// # Errors
    /// The lock cannot be opened.
    pub fn is_held(&self) -> Result<bool> {
        self.prepare()?;
        Ok(self.lock_file("images.lock")?.try_lock().is_err())
    }

    /// Deletes a blob that nothing leads to, or might in a moment.
    pub(crate) fn delete_blob(&self, digest: &Digest) -> Result<Deletion> {
        let lock = self.lock_file("images.lock")?;
        if lock.try_lock().is_err() {
            return Ok(Deletion::Held);
        }
        if self.mark(&[])?.blobs.contains(digest.as_str()) {
            return Ok(Deletion::Needed);
        }
        let blobs = self.directory(&format!("oci/blobs/{}", digest.algorithm()))?;
        discard(&blobs, OsStr::new(digest.hex()), &self.directory("trash")?);
        Ok(Deletion::Done)
    }

    fn mark(&self, lowers: &[PathBuf]) -> Result<Marked> {
        let mut marked = Marked::default();
        let file_name = |path: &PathBuf| path.file_name().map(OsStr::to_owned);
        marked.layers.extend(lowers.iter().filter_map(file_name));
        for entry in &self.index()?.manifests {
            self.mark_from(&entry.digest, &mut marked)?;
        }
        Ok(marked)
    }

    /// Marks what a manifest or index leads to, whether it is here or not, and however deep.
    ///
    /// What a document is tells its content: an index of strangers may call the manifest of another image
    /// anything, and must not hide what that leads to. A damaged document leads to nothing: it was set aside
    /// and has to be fetched again. One that cannot be read just now may lead anywhere, and is a failure.
    fn mark_from(&self, root: &Digest, marked: &mut Marked) -> Result<()> {
        let mut pending = vec![root.clone()];
        while let Some(digest) = pending.pop() {
            marked.blobs.insert(digest.to_string());
            if !marked.documents.insert(digest.clone()) {
                continue;
            }
            match known(self.document(&Descriptor::new("", digest, 0)))? {
                None => {}
                Some(Document::Manifest(manifest)) => self.mark_content(&manifest, marked)?,
                Some(Document::Index(index)) => {
                    pending.extend(index.manifests.into_iter().map(|entry| entry.digest));
                }
            }
        }
        Ok(())
    }

    /// Marks the config and the layers of a manifest.
    fn mark_content(&self, manifest: &Manifest, marked: &mut Marked) -> Result<()> {
        let blobs = std::iter::once(&manifest.config).chain(&manifest.layers);
        let digests = blobs.map(|blob| blob.digest.to_string());
        marked.blobs.extend(digests);
        if !manifest.is_artifact() {
            let config = known(self.configuration(&manifest.config.digest))?;
            let archives = Content::of(manifest, &config.unwrap_or_default()).archives;
            let diff_ids: Vec<Digest> = archives.into_iter().map(|(_, diff)| diff).collect();
            let chains = super::chain_ids(&diff_ids);
            let names = chains.iter().map(|chain| OsString::from(chain.hex()));
            marked.layers.extend(names);
        }
        Ok(())
    }

    /// Whether what an entry of the index leads to includes this blob.
    pub(super) fn leads_to(&self, entry: &Descriptor, blob: &Digest) -> Result<bool> {
        let mut marked = Marked::default();
        self.mark_from(&entry.digest, &mut marked)?;
        Ok(marked.blobs.contains(blob.as_str()))
    }

    /// Removes staging directories of killed processes, if nobody is at work; never waits.
    pub(super) fn sweep_scratch(&self) {
        let Ok(ingest) = self.directory("ingest") else {
            return;
        };
        let stale = |name: &OsString| name.to_string_lossy().starts_with("new-");
        let stale: Vec<OsString> = ingest
            .names()
            .unwrap_or_default()
            .into_iter()
            .filter(stale)
            .collect();
        if stale.is_empty() {
            return;
        }
        let Ok(lock) = self.lock_file("images.lock") else {
            return;
        };
        if lock.try_lock().is_ok() {
            for name in stale {
                // It is garbage either way; the next sweep tries again.
                drop(ingest.remove_all(&name));
            }
        }
    }

    /// What the store takes on disk.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn usage(&self) -> Result<Usage> {
        let sum = |name: &str| match self.directory(name) {
            Ok(directory) => tree_size(&directory).explain(|| format!("cannot measure {name}")),
            Err(_absent) => Ok(0),
        };
        Ok(Usage {
            blobs: sum("oci/blobs")?,
            layers: sum("layers")?,
            partial: sum("ingest")?,
        })
    }
}

/// What a document says, if it is here and whole; only that it cannot be read is a failure.
pub(super) fn known<T>(read: Result<Option<T>>) -> Result<Option<T>> {
    match read {
        Err(error) if io_cause(&error).is_none() => Ok(None),
        other => other,
    }
}

fn names(directory: &Directory) -> Result<Vec<OsString>> {
    directory
        .names()
        .explain(|| "cannot read the image store".into())
}

/// Renames into the trash; bytes that this will free.
fn discard(from: &Directory, name: &OsStr, trash: &Directory) -> u64 {
    berth_sys::fault::point("collect-discarding");
    let size = entry_size(from, name).unwrap_or(0);
    match from.rename(name, trash, &unique_name("")) {
        Ok(()) => size,
        Err(_) => 0,
    }
}

pub(super) fn entry_size(directory: &Directory, name: &OsStr) -> std::io::Result<u64> {
    let Some(metadata) = directory.metadata(name)? else {
        return Ok(0);
    };
    if metadata.kind == Kind::Directory {
        let inner = directory.directory(Path::new(name), Links::Refused)?;
        return Ok(metadata.allocated + tree_size(&inner)?);
    }
    // A file with several names is counted in shares, so that the sum is right.
    Ok(metadata.allocated / metadata.links.max(1))
}

/// Bytes on disk of everything beneath a directory.
pub(crate) fn tree_size(directory: &Directory) -> std::io::Result<u64> {
    let mut sum = 0;
    for name in directory.names()? {
        sum += entry_size(directory, &name)?;
    }
    Ok(sum)
}
