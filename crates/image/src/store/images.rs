//! Finding and listing images.

use std::collections::BTreeMap;

use berth_contract::{Class, Digest, Error, Result};

use super::Store;
use super::index::{distinct, is_fetched, is_named, no_such_image, pinned_name_of};
use super::lists::BareList;
use crate::documents::{Descriptor, Document, Index, Manifest, media};
use crate::image::{Image, Names};
use crate::platform::{Platform, choose};
use crate::reference::Reference;

/// What is in the store.
#[derive(Debug, Default)]
pub struct Listing {
    /// The images, newest first; one per platform that is here.
    pub images: Vec<Image>,
    /// The lists of which no image is here.
    pub lists: Vec<BareList>,
    /// What could not be read, each set aside already.
    pub damaged: Vec<Error>,
}

/// A manifest that is here, and how the index leads to it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) target: Descriptor,
    pub(crate) digest: Digest,
    pub(crate) platform: Option<Platform>,
    pub(crate) manifest: Manifest,
}

impl Store {
    /// Finds an image by name, `repository@digest`, id, or the beginning of an id.
    ///
    /// Without a platform the host's is preferred, then wasm, then whatever is here.
    ///
    /// # Errors
    /// Class `NotFound`; `Invalid` for an ambiguous beginning of an id.
    pub fn find(&self, text: &str, platform: Option<&Platform>) -> Result<Image> {
        let index = self.index()?;
        if let Some(image) = self.find_by_name(&index, text, platform)? {
            return Ok(image);
        }
        if let Some(image) = self.find_by_id(&index, text, platform)? {
            return Ok(image);
        }
        Reference::parse(text)?;
        Err(no_such_image(text))
    }

    fn find_by_name(
        &self,
        index: &Index,
        text: &str,
        platform: Option<&Platform>,
    ) -> Result<Option<Image>> {
        let Ok(reference) = Reference::parse(text) else {
            return Ok(None);
        };
        let full = reference.to_string();
        let named = index.manifests.iter().find(|entry| is_named(entry, &full));
        let entry = match (named, reference.digest()) {
            (Some(entry), _) => Some(entry),
            (None, Some(digest)) => self.entry_at(index, &reference, digest)?,
            (None, None) => None,
        };
        let Some(entry) = entry else { return Ok(None) };
        let mut found = self.manifests(entry)?;
        if let Some(digest) = reference.digest()
            && *digest != entry.digest
        {
            found.retain(|found| found.digest == *digest);
        }
        self.pick(index, text, found, platform).map(Some)
    }

    /// The entry of this repository that is, or contains, `digest`.
    fn entry_at<'a>(
        &self,
        index: &'a Index,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<Option<&'a Descriptor>> {
        for entry in &index.manifests {
            let Some(pinned) = pinned_name_of(entry) else {
                continue;
            };
            if pinned.name() != reference.name() {
                continue;
            }
            let inside = || {
                Ok::<_, Error>(
                    self.manifests(entry)?
                        .iter()
                        .any(|found| found.digest == *digest),
                )
            };
            if entry.digest == *digest || inside()? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn find_by_id(
        &self,
        index: &Index,
        text: &str,
        platform: Option<&Platform>,
    ) -> Result<Option<Image>> {
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        let hexadecimal = prefix
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if prefix.is_empty() || prefix.len() > 64 || !hexadecimal {
            return Ok(None);
        }
        let mut matching: BTreeMap<Digest, Vec<Found>> = BTreeMap::new();
        for entry in &index.manifests {
            // A damaged image must not hide the others; `list` reports it.
            for found in self.manifests(entry).unwrap_or_default() {
                let id = found.manifest.config.digest.clone();
                let target = prefix.len() == 64 && found.target.digest.hex() == prefix;
                if id.hex().starts_with(prefix) || found.digest.hex().starts_with(prefix) || target
                {
                    matching.entry(id).or_default().push(found);
                }
            }
        }
        if matching.len() > 1 && prefix.len() < 64 {
            let ids: Vec<&str> = matching.keys().map(Digest::short).collect();
            return Err(
                Error::new(Class::Invalid, format!("image id {text} is ambiguous"))
                    .caused_by(format!("it begins {}", ids.join(", "))),
            );
        }
        let found: Vec<Found> = matching.into_values().flatten().collect();
        if found.is_empty() {
            return Ok(None);
        }
        self.pick(index, text, found, platform).map(Some)
    }

    /// Of the manifests a name leads to, the one to run.
    fn pick(
        &self,
        index: &Index,
        text: &str,
        found: Vec<Found>,
        platform: Option<&Platform>,
    ) -> Result<Image> {
        let mut images = Vec::with_capacity(found.len());
        for found in found {
            images.push(self.image(index, found)?);
        }
        let offered = images
            .iter()
            .enumerate()
            .map(|(position, image)| (image.platform(), position));
        let position = match (choose(platform, &Platform::host(), offered), platform) {
            (Some(position), _) => position,
            (None, None) if !images.is_empty() => 0,
            (None, Some(platform)) if !images.is_empty() => {
                let here: Vec<String> = images
                    .iter()
                    .map(|image| image.platform().to_string())
                    .collect();
                return Err(Error::new(
                    Class::NotFound,
                    format!("no image {text} for {platform} is here"),
                )
                .caused_by(format!("what is here is for {}", here.join(", ")))
                .hint(format!("berth pull --platform {platform} {text}")));
            }
            (None, _) => return Err(no_such_image(text)),
        };
        Ok(images.swap_remove(position))
    }

    /// The manifests of images that an entry leads to and that are here.
    pub(super) fn manifests(&self, entry: &Descriptor) -> Result<Vec<Found>> {
        let found = |descriptor: &Descriptor, manifest: Manifest| Found {
            target: entry.clone(),
            digest: descriptor.digest.clone(),
            platform: descriptor.platform.clone(),
            manifest,
        };
        // What is fetched for others is no image here before all of it has come.
        let partly = is_fetched(entry);
        let is_image = |manifest: &Manifest| {
            !manifest.is_artifact() && (!partly || self.has_blobs_of(manifest))
        };
        match self.document(entry)? {
            None => Ok(Vec::new()),
            Some(Document::Manifest(manifest)) if is_image(&manifest) => {
                Ok(vec![found(entry, manifest)])
            }
            Some(Document::Manifest(_)) => Ok(Vec::new()),
            Some(Document::Index(index)) => {
                let mut manifests = Vec::new();
                for (_, inner) in index.images(&Platform::host()) {
                    if let Some(Document::Manifest(manifest)) = self.document(inner)?
                        && is_image(&manifest)
                    {
                        manifests.push(found(inner, manifest));
                    }
                }
                Ok(manifests)
            }
        }
    }

    fn has_blobs_of(&self, manifest: &Manifest) -> bool {
        let mut blobs = manifest.layers.iter().chain([&manifest.config]);
        blobs.all(|blob| media::is_foreign(&blob.media_type) || self.has_blob(&blob.digest))
    }

    pub(super) fn image(&self, index: &Index, found: Found) -> Result<Image> {
        let id = &found.manifest.config.digest;
        let Some(config) = self.configuration(id)? else {
            return Err(Error::new(
                Class::Internal,
                format!("the config of image {} is missing", id.short()),
            )
            .hint("pull or load the image again"));
        };
        let names = Names::of(index, &found.target.digest);
        Ok(Image::new(self, found, config, names))
    }

    /// The images an entry leads to, one per platform that is here.
    pub(crate) fn images_of(&self, index: &Index, entry: &Descriptor) -> Result<Vec<Image>> {
        let found = self.manifests(entry)?.into_iter();
        found.map(|found| self.image(index, found)).collect()
    }

    /// Everything that is here.
    ///
    /// # Errors
    /// The list of images itself cannot be read.
    pub fn list(&self) -> Result<Listing> {
        let index = self.index()?;
        let mut listing = Listing {
            lists: self.bare_lists(&index),
            ..Listing::default()
        };
        for entry in distinct(&index) {
            match self.images_of(&index, entry) {
                Ok(images) => listing.images.extend(images),
                Err(error) => listing.damaged.push(error),
            }
        }
        listing
            .images
            .sort_by(|left, right| right.created().cmp(left.created()));
        Ok(listing)
    }
}
