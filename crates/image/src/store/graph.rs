//! Everything an entry of the index leads to: images, attestations, and artifacts nobody here can run.

use std::collections::HashSet;

use berth_contract::{Digest, Result};

use super::Store;
use crate::documents::{Descriptor, Document};

/// The blobs a descriptor leads to and that are here.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Each blob once, what is named before what names it.
    pub(crate) blobs: Vec<Descriptor>,
    seen: HashSet<Digest>,
    /// Manifests and indexes with everything they lead to; a layer may have the digest of one.
    followed: HashSet<Digest>,
}

impl Graph {
    /// Whether a blob belongs to it.
    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.seen.contains(digest)
    }

    fn add(&mut self, blob: &Descriptor) {
        if self.seen.insert(blob.digest.clone()) {
            self.blobs.push(blob.clone());
        }
    }
}

impl Store {
    /// Adds what `root` leads to; entries of indexes that `wanted` refuses are left out.
    ///
    /// Indexes may lead to indexes as deep as they like: nothing of what is kept may be left out.
    ///
    /// # Errors
    /// A manifest or index is damaged.
    pub(crate) fn reach(
        &self,
        root: &Descriptor,
        wanted: &dyn Fn(&Descriptor) -> bool,
        graph: &mut Graph,
    ) -> Result<()> {
        // What is to be done, last first; an index comes twice, the second time after its entries.
        let mut pending = vec![(root.clone(), false)];
        while let Some((entry, led)) = pending.pop() {
            if !led && graph.followed.contains(&entry.digest) {
                continue;
            }
            if led {
                graph.followed.insert(entry.digest.clone());
                graph.add(&entry);
                continue;
            }
            match self.document(&entry)? {
                None => {}
                Some(Document::Manifest(manifest)) => {
                    for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                        if self.has_blob(&blob.digest) {
                            graph.add(blob);
                        }
                    }
                    graph.followed.insert(entry.digest.clone());
                    graph.add(&entry);
                }
                Some(Document::Index(index)) => {
                    let entries = index.manifests.into_iter().rev();
                    let entries = entries.filter(|inner| inner.is_document() && wanted(inner));
                    pending.push((entry, true));
                    pending.extend(entries.map(|inner| (inner, false)));
                }
            }
        }
        Ok(())
    }
}
