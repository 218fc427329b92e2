//! Entries of lists whose images only registries have.
//!
//! A list says digests and no more. Where each image is stands beside the list's name in the store's index,
//! which nobody else ever sees; a push fetches from there what the target does not have.

use std::collections::BTreeMap;

use berth_contract::{Class, Digest, Error, Result};

use super::EntryChange;
use crate::documents::{Descriptor, Index};
use crate::reference::Reference;
use crate::store::{Store, is_named};

/// Before a digest: the name of the image in its registry.
const SOURCE: &str = "dev.berth.list.source.";

/// An image that only a registry has, as an entry of a list.
#[derive(Debug, Clone)]
pub struct RemoteEntry {
    /// Where it is, as it was asked for.
    pub reference: Reference,
    /// What names it, and what it runs on.
    pub descriptor: Descriptor,
    /// Whether it was chosen by its platform, of an image for several.
    pub chosen: bool,
}

/// Where the entries of a list are that are not here.
pub(crate) type Sources = BTreeMap<Digest, Reference>;

impl Store {
    /// Adds images to a list that are in registries; says the digests of the entries.
    ///
    /// # Errors
    /// Class `NotFound` when the list is not here.
    pub fn add_remote_to_list(
        &self,
        name: &Reference,
        entries: &[RemoteEntry],
        change: &EntryChange,
    ) -> Result<Vec<Digest>> {
        let mut added = Vec::new();
        for entry in entries {
            let mut descriptor = entry.descriptor.clone();
            // What only speaks about another entry is for no platform.
            if !descriptor.is_attestation() {
                match entry.chosen {
                    true => change.of_chosen().apply(&mut descriptor),
                    false => change.apply(&mut descriptor),
                }
            }
            added.push((descriptor, &entry.reference));
        }
        self.change_list(name, |list, sources| {
            for (descriptor, from) in &added {
                let digest = &descriptor.digest;
                sources.insert(digest.clone(), (*from).clone());
                list.manifests.retain(|other| other.digest != *digest);
                list.manifests.push(descriptor.clone());
            }
            Ok(())
        })?;
        Ok(added.into_iter().map(|(entry, _)| entry.digest).collect())
    }

    /// Where the entries of the list with this digest are that are not here.
    pub(crate) fn sources_of(&self, list: &Digest) -> Result<Sources> {
        Ok(sources(&self.index()?, list))
    }

    /// Where an entry of a list is, if only its registry has it.
    ///
    /// # Errors
    /// The list of images cannot be read.
    pub fn source_of(&self, list: &Reference, entry: &Digest) -> Result<Option<Reference>> {
        let full = list.to_string();
        let index = self.index()?;
        let mut named = index.manifests.iter().filter(|one| is_named(one, &full));
        Ok(named.find_map(|one| noted(one).remove(entry)))
    }

    /// The entry that was added as this image of a registry.
    pub(super) fn entry_from(&self, name: &Reference, image: &str) -> Result<Option<Digest>> {
        let Ok(image) = Reference::parse(image) else {
            return Ok(None);
        };
        let full = name.to_string();
        let index = self.index()?;
        let named = index.manifests.iter().find(|one| is_named(one, &full));
        let all = named.map(noted).unwrap_or_default();
        let same = all.into_iter().filter(|(digest, source)| {
            *source == image || source.at(digest).to_string() == image.to_string()
        });
        let digests: Vec<Digest> = same.map(|(digest, _)| digest).collect();
        match digests.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            several => {
                let message = format!("cannot tell which entry of {} is meant", name.familiar());
                let reason = format!("{} of them are from {}", several.len(), image.familiar());
                Err(Error::new(Class::Invalid, message)
                    .caused_by(reason)
                    .hint(format!(
                        "name its digest: berth manifest inspect {}",
                        name.familiar()
                    )))
            }
        }
    }
}

/// Notes of every name that the list has.
pub(crate) fn sources(index: &Index, list: &Digest) -> Sources {
    let own = index.manifests.iter().filter(|entry| entry.digest == *list);
    own.flat_map(noted).collect()
}

/// Writes down beside a name where the entries of its list are.
pub(crate) fn note(index: &mut Index, name: &Reference, sources: &Sources) {
    let full = name.to_string();
    for entry in index
        .manifests
        .iter_mut()
        .filter(|entry| is_named(entry, &full))
    {
        let notes = sources
            .iter()
            .map(|(digest, from)| (format!("{SOURCE}{digest}"), from.to_string()));
        entry.annotations.extend(notes);
    }
}

/// What is noted beside one name of a list.
pub(crate) fn noted(entry: &Descriptor) -> Sources {
    let read = |(key, from): (&String, &String)| {
        let digest = key.strip_prefix(SOURCE)?.parse().ok()?;
        Some((digest, Reference::parse(from).ok()?))
    };
    entry.annotations.iter().filter_map(read).collect()
}
