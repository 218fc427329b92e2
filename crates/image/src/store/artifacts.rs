//! What is here and is no image: signatures, charts, bills of materials, files of `artifact add`.

use std::collections::HashSet;

use berth_contract::{Class, Digest, Error, Result};

use super::collect::known;
use super::index::{is_fetched, is_named, name_of, remove_name};
use super::{Containers, Graph, Store};
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
    /// Names its manifest.
    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.manifest.media_type(), self.digest.clone(), 0)
    }

    /// Bytes of its files.
    #[must_use]
    pub fn size(&self) -> u64 {
        let sizes = self.manifest.layers.iter().map(|layer| layer.size);
        sizes.fold(0, u64::saturating_add)
    }
}

/// The artifacts on this machine.
#[derive(Debug, Default)]
pub struct ArtifactListing {
    /// Those that have a name, sorted by it.
    pub artifacts: Vec<Artifact>,
    /// What could not be read, each set aside already.
    pub damaged: Vec<Error>,
}

/// Whether a manifest is listed among the artifacts; a wasm artifact is an image as well.
pub(crate) fn is_listed(manifest: &Manifest) -> bool {
    manifest.is_artifact() || !media::is_image_config(&manifest.config.media_type)
}

impl Store {
    /// The artifacts that have a name; a wasm artifact is an image as well.
    ///
    /// # Errors
    /// The list of what is here cannot be read.
    pub fn artifacts(&self) -> Result<ArtifactListing> {
        let mut listing = ArtifactListing::default();
        let mut seen = HashSet::new();
        for entry in &self.index()?.manifests {
            let Some(name) = name_of(entry) else { continue };
            let artifacts = &mut listing.artifacts;
            if let Some(known) = artifacts.iter_mut().find(|one| one.digest == entry.digest) {
                known.names.push(name);
                continue;
            }
            match self.document(entry) {
                Ok(Some(Document::Manifest(manifest))) if is_listed(&manifest) => {
                    artifacts.push(Artifact {
                        names: vec![name],
                        digest: entry.digest.clone(),
                        manifest,
                    });
                }
                Ok(_) => {}
                // One that has several names is damaged once.
                Err(error) if seen.insert(&entry.digest) => {
                    let error = error.context(format!("{} cannot be used", name.familiar()));
                    listing.damaged.push(error);
                }
                Err(_) => {}
            }
        }
        let by_name = |left: &Artifact, right: &Artifact| left.names.cmp(&right.names);
        listing.artifacts.sort_by(by_name);
        Ok(listing)
    }

    /// Finds an artifact by its name, its digest, or the beginning of that.
    ///
    /// # Errors
    /// Class `NotFound`; `Invalid` for the beginning of several.
    pub fn find_artifact(&self, text: &str) -> Result<Artifact> {
        let index = self.index()?;
        let entry = match named(&index, text) {
            Some(entry) => Some(entry),
            None => self.with_digest(&index, text)?,
        };
        let manifest = match entry {
            Some(entry) => self.document(entry)?.map(|document| (entry, document)),
            None => None,
        };
        match manifest {
            Some((entry, Document::Manifest(manifest))) if is_listed(&manifest) => {
                let same = |other: &&Descriptor| other.digest == entry.digest;
                let names = index.manifests.iter().filter(same).filter_map(name_of);
                Ok(Artifact {
                    names: names.collect(),
                    digest: entry.digest.clone(),
                    manifest,
                })
            }
            _ => Err(no_such_artifact(text)),
        }
    }

    /// The entry whose digest begins so, if it is an artifact's.
    fn with_digest<'a>(&self, index: &'a Index, text: &str) -> Result<Option<&'a Descriptor>> {
        let (algorithm, prefix) = text.split_once(':').unwrap_or(("", text));
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if prefix.is_empty() || !prefix.bytes().all(digit) {
            return Ok(None);
        }
        let mut found: Vec<&Descriptor> = Vec::new();
        for entry in &index.manifests {
            let begins = entry.digest.hex().starts_with(prefix)
                && (algorithm.is_empty() || entry.digest.algorithm() == algorithm);
            if begins
                && found.iter().all(|one| one.digest != entry.digest)
                && matches!(self.document(entry), Ok(Some(Document::Manifest(manifest))) if is_listed(&manifest))
            {
                found.push(entry);
            }
        }
        if found.len() > 1 {
            let begins: Vec<&str> = found.iter().map(|entry| entry.digest.short()).collect();
            let message = format!("the digest {text} is ambiguous");
            return Err(Error::new(Class::Invalid, message)
                .caused_by(format!("it begins {}", begins.join(", "))));
        }
        Ok(found.pop())
    }

    /// Forgets an artifact: one of several names if it was named by it, else all of it. Its files go with the
    /// next [`Store::tidy`].
    ///
    /// # Errors
    /// Class `NotFound`; `Conflict` when containers stand against it, which a wasm artifact may have.
    pub fn unlist_artifact(
        &self,
        text: &str,
        force: bool,
        containers: &dyn Containers,
    ) -> Result<Digest> {
        let artifact = self.find_artifact(text)?;
        if !artifact.manifest.is_artifact() {
            self.unlist(text, force, containers)?;
            return Ok(artifact.digest);
        }
        self.change_index(|index| {
            let name = named(index, text).and_then(name_of);
            match name.filter(|_| artifact.names.len() > 1) {
                Some(name) => drop(remove_name(index, &name.to_string(), false)),
                None => {
                    let kept = |entry: &Descriptor| entry.digest != artifact.digest;
                    index.manifests.retain(kept);
                }
            }
            Ok(artifact.digest)
        })
    }

    /// Forgets artifacts without a name whose subject is not here any more, and those about them.
    ///
    /// # Errors
    /// The list of what is here cannot be read or written.
    pub fn unlist_orphans(&self) -> Result<()> {
        self.change_index(|index| {
            let orphans = self.orphans(index)?;
            index.manifests.retain(|entry| {
                // Of what was fetched for others, parts of an image are of no use here.
                let part =
                    is_fetched(entry) && self.manifests(entry).is_ok_and(|all| all.is_empty());
                !part && !orphans.contains(&entry.digest)
            });
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

/// The entry with this very name.
fn named<'a>(index: &'a Index, text: &str) -> Option<&'a Descriptor> {
    let full = Reference::parse(text).ok()?.to_string();
    index.manifests.iter().find(|entry| is_named(entry, &full))
}

/// Errors about an artifact that is not here all read the same.
pub(super) fn no_such_artifact(text: &str) -> Error {
    Error::new(Class::NotFound, format!("no such artifact: {text}")).hint("berth artifact ls")
}
