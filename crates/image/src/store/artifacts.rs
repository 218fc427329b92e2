//! What is here and is no image: signatures, charts, bills of materials, files of `artifact add`.

use std::collections::HashSet;

use berth_contract::{Digest, Result};

use super::collect::known;
use super::index::name_of;
use super::{Graph, Store};
use crate::documents::{Descriptor, Document, Index, Manifest, media};
use crate::reference::Reference;

/// One artifact.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its names with tags.
    pub names: Vec<Reference>,
    /// The digest of its manifest.
    pub digest: Digest,
    /// What it holds.
    pub manifest: Manifest,
}

impl Artifact {
    /// Bytes of its files.
    #[must_use]
    pub fn size(&self) -> u64 {
        let sizes = self.manifest.layers.iter().map(|layer| layer.size);
        sizes.fold(0, u64::saturating_add)
    }
}

impl Store {
    /// The artifacts that have a name, sorted by it; a wasm artifact is an image as well.
    ///
    /// # Errors
    /// The list of what is here cannot be read.
    pub fn artifacts(&self) -> Result<Vec<Artifact>> {
        let mut artifacts: Vec<Artifact> = Vec::new();
        for entry in &self.index()?.manifests {
            let Some(name) = name_of(entry) else { continue };
            if let Some(known) = artifacts.iter_mut().find(|one| one.digest == entry.digest) {
                known.names.push(name);
                continue;
            }
            // What is damaged is told by `system check`.
            if let Ok(Some(Document::Manifest(manifest))) = self.document(entry)
                && (manifest.is_artifact() || !media::is_image_config(&manifest.config.media_type))
            {
                artifacts.push(Artifact {
                    names: vec![name],
                    digest: entry.digest.clone(),
                    manifest,
                });
            }
        }
        artifacts.sort_by(|left, right| left.names.cmp(&right.names));
        Ok(artifacts)
    }

    /// Forgets artifacts without a name whose subject is not here any more, and those about them.
    ///
    /// # Errors
    /// The list of what is here cannot be read or written.
    pub fn unlist_orphans(&self) -> Result<()> {
        self.change_index(|index| {
            let orphans = self.orphans(index)?;
            index
                .manifests
                .retain(|entry| !orphans.contains(&entry.digest));
            Ok(())
        })
    }

    fn orphans(&self, index: &Index) -> Result<HashSet<Digest>> {
        let mut live = Graph::default();
        let mut waiting: Vec<(&Descriptor, Option<Digest>)> = Vec::new();
        let named = |entry: &Descriptor| {
            let mut others = index.manifests.iter();
            others.any(|other| other.digest == entry.digest && name_of(other).is_some())
        };
        for entry in &index.manifests {
            match known(self.document(entry))? {
                Some(Document::Manifest(manifest)) if manifest.is_artifact() && !named(entry) => {
                    waiting.push((entry, manifest.subject.map(|subject| subject.digest)));
                }
                // What is damaged is not judged here.
                _ => self.reach_known(entry, &mut live)?,
            }
        }
        loop {
            let before = waiting.len();
            let (kept, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, subject)| {
                let subject = subject.as_ref();
                subject.is_some_and(|subject| live.contains(subject))
            });
            for (entry, _) in kept {
                self.reach_known(entry, &mut live)?;
            }
            waiting = rest;
            if waiting.len() == before {
                let orphans = waiting.into_iter();
                return Ok(orphans.map(|(entry, _)| entry.digest.clone()).collect());
            }
        }
    }

    /// As [`Store::reach`], as far as what is damaged lets it.
    fn reach_known(&self, entry: &Descriptor, graph: &mut Graph) -> Result<()> {
        known(self.reach(entry, &|_| true, graph).map(Some)).map(drop)
    }
}
