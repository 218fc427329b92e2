//! Lists of images of which none is here: empty ones, and those whose images only registries have.
//!
//! To whoever lists, names or removes images they are images, as in Podman; there is nothing in them to run.

use std::time::UNIX_EPOCH;

use berth_contract::{Class, Digest, Error, Result};

use super::Store;
use super::index::{distinct, is_fetched, is_named, pinned_name_of};
use crate::documents::{Descriptor, Document, Index};
use crate::image::{Image, Names};
use crate::reference::Reference;

/// A list of images of which none is here.
#[derive(Debug, Clone)]
pub struct BareList {
    digest: Digest,
    names: Names,
    size: u64,
    written: u64,
}

/// What a name or an id leads to.
#[derive(Debug, Clone)]
pub enum Named {
    /// An image that is here.
    Image(Box<Image>),
    /// A list of images that are not.
    List(BareList),
}

impl BareList {
    /// The digest of its document, which is its id.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its names with tags.
    #[must_use]
    pub fn names(&self) -> &[Reference] {
        &self.names.tags
    }

    /// Its names with digests.
    #[must_use]
    pub fn digests(&self) -> &[Reference] {
        &self.names.digests
    }

    /// Bytes of its document.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When it was written here: nanoseconds since the Unix epoch.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }
}

impl Named {
    /// The digest its names lead to.
    #[must_use]
    pub fn target(&self) -> &Digest {
        match self {
            Self::Image(image) => image.target(),
            Self::List(list) => list.digest(),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &Digest {
        match self {
            Self::Image(image) => image.id(),
            Self::List(list) => list.digest(),
        }
    }
}

impl Store {
    /// As [`Store::find`], but also finds a list of images that are not here.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub fn find_named(&self, text: &str) -> Result<Named> {
        let absent = match self.find(text, None) {
            Ok(image) => return Ok(Named::Image(Box::new(image))),
            Err(error) if error.class() == Class::NotFound => error,
            // A whole id is no name.
            Err(error) if text.len() == 64 && Reference::parse(text).is_err() => error,
            Err(error) => return Err(error),
        };
        let name = Reference::parse(text).ok().map(|name| name.to_string());
        let id = text.strip_prefix("sha256:").unwrap_or(text);
        let index = self.index()?;
        let mut matching: Vec<BareList> = Vec::new();
        for list in self.bare_lists(&index) {
            let own = |entry: &&Descriptor| entry.digest == list.digest;
            let mut entries = index.manifests.iter().filter(own);
            if entries.any(|entry| name.as_ref().is_some_and(|name| is_named(entry, name))) {
                return Ok(Named::List(list));
            }
            let pinned = list.digests().iter().map(ToString::to_string);
            let begins = !id.is_empty() && list.digest.hex().starts_with(id);
            if begins || pinned.into_iter().any(|one| Some(&one) == name.as_ref()) {
                matching.push(list);
            }
        }
        if matching.len() > 1 {
            let begins: Vec<&str> = matching.iter().map(|list| list.digest.short()).collect();
            let message = format!("image id {text} is ambiguous");
            return Err(Error::new(Class::Invalid, message)
                .caused_by(format!("it begins {}", begins.join(", "))));
        }
        matching.pop().map(Named::List).ok_or(absent)
    }

    /// The lists of which no image is here.
    pub(super) fn bare_lists(&self, index: &Index) -> Vec<BareList> {
        let own = distinct(index).into_iter();
        // What was fetched for others is not on this machine for its own sake.
        let own = own.filter(|entry| !is_fetched(entry));
        own.filter_map(|entry| self.bare_list(index, entry))
            .collect()
    }

    /// One that is damaged is told by whoever looks for its images.
    pub(super) fn bare_list(&self, index: &Index, entry: &Descriptor) -> Option<BareList> {
        let Ok(Some(Document::Index(list))) = self.document(entry) else {
            return None;
        };
        // What has something here, or speaks about something, has more to it than its entries.
        let is_bare =
            list.subject.is_none() && !list.manifests.iter().any(|one| self.has_blob(&one.digest));
        if !is_bare {
            return None;
        }
        let file = std::fs::metadata(self.blob_path(&entry.digest)).ok()?;
        let since = file.modified().ok()?.duration_since(UNIX_EPOCH);
        let written = since.map_or(0, |since| since.as_nanos());
        Some(BareList {
            digest: entry.digest.clone(),
            names: Names::of(index, &entry.digest),
            size: file.len(),
            written: u64::try_from(written).unwrap_or(u64::MAX),
        })
    }
}

impl Names {
    /// What the target with this digest is called.
    pub(super) fn of(index: &Index, target: &Digest) -> Self {
        let own = || {
            index
                .manifests
                .iter()
                .filter(|entry| entry.digest == *target)
        };
        let tags = own().filter_map(super::name_of);
        let mut digests: Vec<Reference> = own().filter_map(pinned_name_of).collect();
        digests.sort();
        digests.dedup();
        Self {
            tags: tags.filter(|name| name.digest().is_none()).collect(),
            digests,
        }
    }
}
