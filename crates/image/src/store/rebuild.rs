//! Making the list of images anew out of the manifests that are here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

use berth_contract::{Digest, Result};
use berth_sys::error::Explain as _;

use super::Store;
use super::collect::known;
use super::index::{INDEX, replace};
use crate::documents::{Descriptor, Document, Index, MANIFEST_LIMIT, to_json};

impl Store {
    /// Makes a damaged index anew: an entry without a name for each manifest that no other leads to. Says
    /// whether it was damaged still, once nobody else could change it.
    ///
    /// # Errors
    /// The blobs cannot be read, or the index cannot be written.
    pub(super) fn rebuild_index(&self) -> Result<bool> {
        let lock = self.lock_index()?;
        let path = self.data.join(INDEX);
        if self.index().is_ok() {
            return Ok(false);
        }
        let index = Index::new(self.unled()?);
        if path.exists() {
            drop(self.quarantine(&path, "the list of images"));
        }
        replace(&self.directory("oci")?, &to_json(&index))
            .explain(|| "cannot write the list of images".into())?;
        drop(lock);
        Ok(true)
    }

    /// The manifests and indexes that are here and that no index here lists.
    fn unled(&self) -> Result<Vec<Descriptor>> {
        let mut found: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        let mut listed: Vec<Digest> = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let Ok(blobs) = self.directory(&format!("oci/blobs/{algorithm}")) else {
                continue;
            };
            for name in blobs.names().explain(|| "cannot list the blobs".into())? {
                let digest = format!("{algorithm}:{}", name.to_string_lossy()).parse();
                let Ok(digest) = digest else { continue };
                let size = std::fs::metadata(self.blob_path(&digest)).map_or(0, |file| file.len());
                if size > MANIFEST_LIMIT || !self.begins_as_json(&digest)? {
                    continue;
                }
                let descriptor = Descriptor::new("", digest, size);
                // Configs are JSON too; what is damaged is put aside by reading it.
                let Some(document) = known(self.document(&descriptor))? else {
                    continue;
                };
                if let Document::Index(index) = &document {
                    listed.extend(index.manifests.iter().map(|entry| entry.digest.clone()));
                }
                let descriptor = Descriptor {
                    media_type: document.media_type().to_owned(),
                    ..descriptor
                };
                found.insert(descriptor.digest.clone(), descriptor);
            }
        }
        for digest in listed {
            found.remove(&digest);
        }
        Ok(found.into_values().collect())
    }

    fn begins_as_json(&self, digest: &Digest) -> Result<bool> {
        let path = self.blob_path(digest);
        let mut head = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(1).read_to_end(&mut head))
            .explain(|| format!("cannot read {}", path.display()))?;
        Ok(head == b"{")
    }
}
