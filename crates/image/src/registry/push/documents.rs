//! What a name leads to, as a list to push: children before parents, each blob once.

use std::collections::BTreeSet;
use std::path::PathBuf;

use berth_contract::{Class, Digest, Error, Result};
use bytes::Bytes;
use serde::Deserialize;

use crate::documents::{Descriptor, Document, MANIFEST_LIMIT, Manifest, media};
use crate::image::Image;
use crate::reference::Reference;
use crate::store::{Store, Transaction};

/// Everything that has to be with the registry.
pub(crate) struct Documents {
    /// Blobs and where they lie.
    pub(crate) blobs: Vec<(Descriptor, PathBuf)>,
    /// Manifests and indexes; the last one is what is named.
    pub(crate) manifests: Vec<(Descriptor, Bytes)>,
    /// Entries of an index that are not here.
    pub(super) missing: Vec<Digest>,
    /// Where what was made for this push lies until it is dropped.
    pub(super) scratch: Option<Transaction>,
    seen: BTreeSet<Digest>,
}

/// Deeper than any index of indexes.
pub(in crate::registry) const DEPTH_LIMIT: usize = 8;

impl Documents {
    pub(super) fn empty() -> Self {
        Self {
            blobs: Vec::new(),
            manifests: Vec::new(),
            missing: Vec::new(),
            scratch: None,
            seen: BTreeSet::new(),
        }
    }

    /// What the image's names lead to: its index with all that is here of it.
    pub(super) fn of_target(store: &Store, image: &Image) -> Result<Self> {
        let index = store.index()?;
        let entry = index
            .manifests
            .iter()
            .find(|entry| entry.digest == *image.target());
        let entry = entry.ok_or_else(|| damaged(image.target()))?;
        let mut documents = Self::empty();
        documents.add(store, entry, 0)?;
        Ok(documents)
    }

    /// What a name leads to, whatever it is and whether anything of it is here; `None` for a name of nothing.
    pub(super) fn of_name(store: &Store, name: &str) -> Result<Option<Self>> {
        let Ok(name) = Reference::parse(name) else {
            return Ok(None);
        };
        let Some(entry) = store.tagged(&name)? else {
            return Ok(None);
        };
        let mut documents = Self::empty();
        documents.add(store, &entry, 0)?;
        Ok(Some(documents))
    }

    /// The image's own manifest alone.
    pub(super) fn of_manifest(store: &Store, image: &Image) -> Result<Self> {
        let manifest = image.manifest();
        let kind = match manifest.media_type.as_str() {
            "" => media::OCI_MANIFEST,
            kind => kind,
        };
        let mut documents = Self::empty();
        let descriptor = Descriptor::new(kind, image.manifest_digest().clone(), 0);
        documents.add(store, &descriptor, 0)?;
        Ok(documents)
    }

    /// One manifest and what it names, whether an image or not.
    pub(crate) fn of_descriptor(store: &Store, manifest: &Descriptor) -> Result<Self> {
        let mut documents = Self::empty();
        documents.add(store, manifest, 0)?;
        match documents.missing.first() {
            Some(digest) => Err(damaged(digest)),
            None => Ok(documents),
        }
    }

    fn add(&mut self, store: &Store, entry: &Descriptor, depth: usize) -> Result<()> {
        if !self.seen.insert(entry.digest.clone()) {
            return Ok(());
        }
        if depth > DEPTH_LIMIT {
            return Err(too_deep());
        }
        let Some(bytes) = store.read_blob(&entry.digest, MANIFEST_LIMIT)? else {
            self.missing.push(entry.digest.clone());
            return Ok(());
        };
        let document = Document::parse(&bytes, Some(&entry.media_type))?;
        match &document {
            Document::Index(index) => {
                for inner in &index.manifests {
                    self.add(store, inner, depth + 1)?;
                }
            }
            Document::Manifest(manifest) => self.add_blobs(store, manifest)?,
        }
        let kind = document.media_type().to_owned();
        let descriptor = Descriptor::new(&kind, entry.digest.clone(), bytes.len() as u64);
        self.manifests.push((descriptor, bytes.into()));
        Ok(())
    }

    fn add_blobs(&mut self, store: &Store, manifest: &Manifest) -> Result<()> {
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            // Foreign layers are fetched from elsewhere by whoever wants them.
            if media::is_foreign(&blob.media_type) || !self.seen.insert(blob.digest.clone()) {
                continue;
            }
            let path = store.blob_path(&blob.digest);
            let length = std::fs::metadata(&path)
                .map_err(|_absent| damaged(&blob.digest))?
                .len();
            let descriptor = Descriptor {
                size: length,
                ..blob.clone()
            };
            self.blobs.push((descriptor, path));
        }
        Ok(())
    }
}

/// What an index of indexes of indexes is refused with.
pub(in crate::registry) fn too_deep() -> Error {
    Error::new(Class::Invalid, "cannot push an index of too many indexes")
}

fn damaged(digest: &Digest) -> Error {
    Error::new(Class::Internal, "cannot push the image")
        .caused_by(format!("blob {digest} is missing here"))
        .hint("pull or load the image again")
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    subject: Option<Descriptor>,
}

/// What a manifest is about (its `subject`), if anything.
pub(crate) fn subject(manifest: &[u8]) -> Option<Descriptor> {
    serde_json::from_slice::<Subject>(manifest).ok()?.subject
}
