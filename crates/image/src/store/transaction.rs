//! Adding content: everything is made aside, synced once, then renamed into place, index last.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{Digest, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, unique_name};
use serde::Serialize;

use super::blobs::{digest_of, sha256};
use super::index::{add_unnamed, set_name};
use super::{Hold, Store};
use crate::documents::{Descriptor, Document, to_json};
use crate::reference::Reference;

/// Content on its way into the store; what is not committed is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Transaction {
    store: Store,
    _hold: Hold,
    ingest: Directory,
    /// Half-made things of this transaction alone.
    scratch: OsString,
    directory: Directory,
    layers: Vec<(OsString, Digest)>,
    blobs: Vec<(PathBuf, Digest)>,
}

/// The download of a blob.
#[derive(Debug)]
pub(crate) enum Partial {
    /// What is here of it, locked, and where.
    Here(File, PathBuf),
    /// Another pull has finished it meanwhile.
    Finished,
}

impl Store {
    /// Starts adding content. What a killed predecessor left is removed if nobody else is at work.
    pub(crate) fn transaction(&self) -> Result<Transaction> {
        self.prepare()?;
        self.sweep_scratch();
        let hold = self.hold()?;
        self.refuse_lost()?;
        let ingest = self.directory("ingest")?;
        let scratch = unique_name("new-");
        ingest
            .create_directory(&scratch, 0o700)
            .explain(|| "cannot make a staging directory".into())?;
        let directory = self
            .directory("ingest")?
            .directory(Path::new(&scratch), berth_sys::file::Links::Refused);
        let directory = directory.explain(|| "cannot open the staging directory".into())?;
        Ok(Transaction {
            store: self.clone(),
            _hold: hold,
            ingest,
            scratch,
            directory,
            layers: Vec::new(),
            blobs: Vec::new(),
        })
    }
}

impl Store {
    /// Gives a target that is here its names; without any it is a dangling image.
    pub(crate) fn add_to_index(&self, names: &[Reference], target: &Descriptor) -> Result<()> {
        self.change_index(|index| {
            for name in names {
                set_name(index, name, target);
            }
            if names.is_empty() {
                add_unnamed(index, target);
            }
            Ok(())
        })
    }
}

impl Transaction {
    /// Where layers are made; each under a name of its own.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// A new file to stage a blob in, and its path.
    pub(crate) fn new_file(&self) -> Result<(File, PathBuf)> {
        let name = unique_name("blob-");
        let file = self.directory.create_file(&name, 0o600);
        let path = self
            .store
            .data
            .join("ingest")
            .join(&self.scratch)
            .join(&name);
        Ok((
            file.explain(|| format!("cannot make {}", path.display()))?,
            path,
        ))
    }

    /// Opens the partial download of a blob and locks it; while another pull has it, `waiting` is called once, and
    /// `waits` again and again, which takes its time; `None` when that says no more.
    ///
    /// Whoever needs several locks them in the order of their digests, so that no two pulls wait for each
    /// other, and holds them until its commit.
    pub(crate) fn partial(
        &self,
        digest: &Digest,
        waiting: &dyn Fn(),
        waits: &dyn Fn() -> bool,
    ) -> Result<Option<Partial>> {
        let name = OsString::from(format!("{}.partial", digest.hex()));
        let path = self.store.data.join("ingest").join(&name);
        loop {
            if self.store.has_blob(digest) {
                return Ok(Some(Partial::Finished));
            }
            let file = self.ingest.open_or_create(&name, 0o600);
            let file = file.explain(|| format!("cannot open {}", path.display()))?;
            let is_taken = || match file.try_lock() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => {
                    Err(error).explain(|| format!("cannot lock {}", path.display()))
                }
            };
            if is_taken()? {
                waiting();
                while is_taken()? {
                    if !waits() {
                        return Ok(None);
                    }
                }
            }
            // Between opening and locking it may have been renamed into place by whoever had the lock.
            let same = |(opened, named): (Metadata, Metadata)| opened.ino() == named.ino();
            let both = file.metadata().ok().zip(std::fs::metadata(&path).ok());
            if both.is_some_and(same) {
                if !self.store.has_blob(digest) {
                    return Ok(Some(Partial::Here(file, path)));
                }
                // Made anew by us after the other had finished.
                drop(std::fs::remove_file(&path));
            }
        }
    }

    /// Where a blob lies, staged or in the store.
    pub(crate) fn locate(&self, digest: &Digest) -> PathBuf {
        let staged = self.blobs.iter().find(|(_, staged)| staged == digest);
        staged.map_or_else(|| self.store.blob_path(digest), |(path, _)| path.clone())
    }

    /// Stages a blob that was written and verified.
    pub(crate) fn add_file(&mut self, path: PathBuf, digest: Digest) {
        if self.blobs.iter().any(|(_, staged)| *staged == digest) {
            return;
        }
        if !self.store.has_blob(&digest) {
            self.blobs.push((path, digest));
        } else if path != self.store.blob_path(&digest) {
            // Another process was faster, after we had looked and before we opened the partial file anew.
            drop(std::fs::remove_file(path));
        }
    }

    /// Stages a blob out of memory; the caller may name the digest it must have.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8], expected: Option<&Digest>) -> Result<Digest> {
        let digest = expected.map_or_else(|| sha256(bytes), |expected| digest_of(expected, bytes));
        if let Some(expected) = expected
            && *expected != digest
        {
            return Err(Error::new(
                berth_contract::Class::Invalid,
                format!("blob {expected} is damaged"),
            )
            .caused_by(format!("its content has the digest {digest}")));
        }
        if !self.store.has_blob(&digest) && self.blobs.iter().all(|(_, staged)| *staged != digest) {
            let (mut file, path) = self.new_file()?;
            file.write_all(bytes)
                .explain(|| format!("cannot write {}", path.display()))?;
            self.add_file(path, digest.clone());
        }
        Ok(digest)
    }

    /// Stages a manifest or index that is made here, and names it; one that could not be read back is refused,
    /// since everything it leads to would be lost.
    pub(crate) fn add_document(&mut self, document: &impl Serialize) -> Result<Descriptor> {
        let bytes = to_json(document);
        let document = Document::parse(&bytes, None)?;
        let digest = self.add_bytes(&bytes, None)?;
        let size = bytes.len() as u64;
        Ok(Descriptor::new(document.media_type(), digest, size))
    }

    /// Stages a layer that was extracted under `name`, with the bytes of its files.
    pub(crate) fn add_layer(&mut self, name: OsString, chain: Digest, size: u64) -> Result<()> {
        let mut record = name.clone();
        record.push(".size");
        let mut file = self
            .directory
            .create_file(&record, 0o600)
            .explain(|| "cannot record the size of a layer".into())?;
        file.write_all(size.to_string().as_bytes())
            .explain(|| "cannot record the size of a layer".into())?;
        self.layers.push((name, chain));
        Ok(())
    }

    /// Where a staged layer is, for layers above it that have to look at it.
    pub(crate) fn staged_layer(&self, chain: &Digest) -> Option<&OsStr> {
        let staged = self.layers.iter().find(|(_, staged)| staged == chain);
        staged.map(|(name, _)| name.as_os_str())
    }

    /// Makes everything visible and names `target`.
    pub(crate) fn commit(self, names: &[Reference], target: &Descriptor) -> Result<()> {
        self.commit_all(&[(names.to_vec(), target.clone())])
    }

    /// Makes everything visible without naming anything.
    pub(crate) fn commit_unnamed(mut self) -> Result<()> {
        self.publish()
    }

    /// Makes everything visible and names several targets.
    pub(crate) fn commit_all(mut self, targets: &[(Vec<Reference>, Descriptor)]) -> Result<()> {
        self.publish()?;
        berth_sys::fault::point("publish-complete");
        self.store.clone().change_index(|index| {
            for (names, target) in targets {
                for name in names {
                    set_name(index, name, target);
                }
                if names.is_empty() {
                    add_unnamed(index, target);
                }
            }
            Ok(())
        })
    }

    /// Makes the staged content visible without naming anything yet.
    pub(crate) fn publish(&mut self) -> Result<()> {
        // What is here already may be another process's that has not synced it yet.
        if self.layers.is_empty() && self.blobs.is_empty() && !self.store.has_unsynced() {
            return Ok(());
        }
        berth_sys::fault::point("publish-begin");
        self.directory
            .sync_file_system()
            .explain(|| "cannot write the image to disk".into())?;
        let layers = self.store.directory("layers")?;
        for (name, chain) in self.layers.drain(..) {
            publish_layer(&self.directory, &name, &layers, chain.hex())
                .explain(|| format!("cannot put layer {} in place", chain.short()))?;
        }
        berth_sys::fault::point("publish-layers");
        for (path, digest) in self.blobs.drain(..) {
            berth_sys::fault::point("publish-blob");
            let place = self.store.blob_path(&digest);
            if let Some(parent) = place.parent()
                && digest.algorithm() != "sha256"
            {
                super::make_directories(parent)
                    .explain(|| format!("cannot make {}", parent.display()))?;
            }
            std::fs::rename(&path, &place)
                .explain(|| format!("cannot put blob {} in place", digest.short()))?;
        }
        Ok(())
    }
}

/// A layer that is there already has won; ours goes when the transaction is dropped.
fn publish_layer(
    from: &Directory,
    name: &OsStr,
    layers: &Directory,
    chain: &str,
) -> io::Result<()> {
    let mut record = name.to_owned();
    record.push(".size");
    from.rename(&record, layers, OsStr::new(&format!("{chain}.size")))?;
    berth_sys::fault::point("publish-layer-size");
    from.rename_new(name, layers, OsStr::new(chain))?;
    Ok(())
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // What cannot be removed now is garbage that the next transaction or collection removes.
        drop(self.ingest.remove_all(&self.scratch));
    }
}
