//! Everything an entry of the index leads to: images, attestations, and artifacts nobody here can run.

use std::collections::HashSet;

use berth_contract::{Digest, Result};

use super::Store;
use crate::documents::{Descriptor, Document};

/// Indexes may lead to indexes, but nobody nests them deeper (image-spec `image-index.md`).
pub(super) const DEPTH_LIMIT: usize = 4;

/// The blobs a descriptor leads to and that are here.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Each blob once, what is named before what names it.
    pub(crate) blobs: Vec<Descriptor>,
    seen: HashSet<Digest>,
}

impl Graph {
    /// Whether a blob belongs to it.
    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.seen.contains(digest)
    }
}

impl Store {
    /// Adds what `root` leads to; entries of indexes that `wanted` refuses are left out.
    ///
    /// # Errors
    /// A manifest or index is damaged.
    pub(crate) fn reach(
        &self,
        root: &Descriptor,
        wanted: &dyn Fn(&Descriptor) -> bool,
        graph: &mut Graph,
    ) -> Result<()> {
        self.reach_within(root, wanted, graph, DEPTH_LIMIT)
    }

    fn reach_within(
        &self,
        root: &Descriptor,
        wanted: &dyn Fn(&Descriptor) -> bool,
        graph: &mut Graph,
        depth: usize,
    ) -> Result<()> {
        if graph.contains(&root.digest) {
            return Ok(());
        }
        match self.document(root)? {
            None => return Ok(()),
            Some(Document::Manifest(manifest)) => {
                for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                    if self.has_blob(&blob.digest) && graph.seen.insert(blob.digest.clone()) {
                        graph.blobs.push(blob.clone());
                    }
                }
            }
            Some(Document::Index(index)) => {
                for entry in &index.manifests {
                    if entry.is_document() && depth > 0 && wanted(entry) {
                        self.reach_within(entry, wanted, graph, depth - 1)?;
                    }
                }
            }
        }
        if graph.seen.insert(root.digest.clone()) {
            graph.blobs.push(root.clone());
        }
        Ok(())
    }
}
