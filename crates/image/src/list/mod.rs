//! Lists of images for several platforms, made here: `manifest create`, `add`, `annotate`, `remove`.

mod remote;

use std::collections::BTreeMap;

use berth_contract::{Class, Digest, Error, Result};

use crate::documents::{Descriptor, Document, Index, MANIFEST_LIMIT};
use crate::image::Image;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Store, is_named, name_of, no_such_image, replace_target};

pub use remote::RemoteEntry;
pub(crate) use remote::{Sources, note, noted, sources};

/// What an entry of a list is said to be; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct EntryChange {
    /// `linux`, …
    pub os: Option<String>,
    /// `arm64`, …
    pub architecture: Option<String>,
    /// `v8`, …
    pub variant: Option<String>,
    /// The operating system's version.
    pub os_version: Option<String>,
    /// Features the operating system must have.
    pub os_features: Vec<String>,
    /// Annotations of the entry.
    pub annotations: BTreeMap<String, String>,
}

impl Store {
    /// Makes an empty list; with `amend` one that is there already stays as it is.
    ///
    /// # Errors
    /// Class `Conflict` when the name is taken.
    pub fn create_list(&self, name: &Reference, amend: bool) -> Result<()> {
        loop {
            let was = self.tagged(name)?.map(|entry| entry.digest);
            match self.list_named(name) {
                Ok(_) if amend => return Ok(()),
                Err(error) if error.class() == Class::NotFound => {}
                Ok(_) | Err(_) => {
                    return Err(Error::new(
                        Class::Conflict,
                        format!("the name {} is taken", name.familiar()),
                    )
                    .hint(format!(
                        "berth manifest rm {0}, or --amend",
                        name.familiar()
                    )));
                }
            }
            let empty = Index::new(Vec::new());
            if self.write_list(name, was.as_ref(), &empty, &Sources::new())? {
                return Ok(());
            }
        }
    }

    /// The list of this name.
    ///
    /// # Errors
    /// Class `NotFound`; `Invalid` when the name is an image's.
    pub fn list_named(&self, name: &Reference) -> Result<Index> {
        self.list_at(name).map(|(_, list)| list)
    }

    /// The list of this name, and its digest.
    fn list_at(&self, name: &Reference) -> Result<(Digest, Index)> {
        let index = self.index()?;
        let entry = index
            .manifests
            .iter()
            .find(|entry| name_of(entry).as_ref() == Some(name));
        let entry = entry.ok_or_else(|| no_such_list(name))?;
        match self.document(entry)? {
            Some(Document::Index(list)) => Ok((entry.digest.clone(), list)),
            Some(Document::Manifest(_)) => Err(Error::new(
                Class::Invalid,
                format!("{} is an image, not a list of images", name.familiar()),
            )),
            None => Err(no_such_list(name)),
        }
    }

    /// The document that a name leads to, as it was received.
    ///
    /// # Errors
    /// Class `NotFound`.
    pub fn document_bytes(&self, text: &str) -> Result<Vec<u8>> {
        let index = self.index()?;
        let name = Reference::parse(text).ok();
        let named = index
            .manifests
            .iter()
            .find(|entry| name.is_some() && name_of(entry) == name);
        let digest = match named {
            Some(entry) => entry.digest.clone(),
            None => self.find(text, None)?.manifest_digest().clone(),
        };
        self.read_blob(&digest, MANIFEST_LIMIT)?
            .ok_or_else(|| no_such_image(text))
    }

    /// Adds an image to a list, or all images of another list; says the digests of the entries.
    ///
    /// Of an image for several platforms the one is taken that the change speaks of, and stays what it is for.
    ///
    /// # Errors
    /// Class `NotFound` when the list or the image is not here, or not for that platform.
    pub fn add_to_list(
        &self,
        name: &Reference,
        image: &str,
        all: bool,
        change: &EntryChange,
    ) -> Result<Vec<Digest>> {
        let _hold = self.hold()?;
        self.list_named(name)?;
        let best = self.find(image, None)?;
        let chosen = !all && leads_to_several(image, &best);
        let found = match change.platform() {
            Some(wanted) if chosen => self.find(image, Some(&wanted))?,
            _ => best,
        };
        let change = match chosen {
            true => &change.of_chosen(),
            false => change,
        };
        let images: Vec<Image> = match all {
            true => {
                let index = self.index()?;
                let entry = index
                    .manifests
                    .iter()
                    .find(|entry| entry.digest == *found.target());
                let entry = entry.ok_or_else(|| no_such_image(image))?;
                self.images_of(&index, entry)?
            }
            false => vec![found],
        };
        let mut entries = Vec::new();
        for image in images {
            let mut entry = image.descriptor()?;
            change.apply(&mut entry);
            entries.push(entry);
        }
        self.change_list(name, |list, _| {
            for entry in &entries {
                list.manifests.retain(|other| other.digest != entry.digest);
                list.manifests.push(entry.clone());
            }
            Ok(())
        })?;
        Ok(entries.into_iter().map(|entry| entry.digest).collect())
    }

    /// Changes what an entry of a list is said to be; the entry is named by its digest or by its image.
    ///
    /// # Errors
    /// Class `NotFound` when the list has no such entry.
    pub fn annotate_list(&self, name: &Reference, entry: &str, change: &EntryChange) -> Result<()> {
        self.change_list(name, |list, _| {
            let position = self.position(name, list, entry)?;
            change.apply(&mut list.manifests[position]);
            Ok(())
        })
    }

    /// Takes an entry out of a list; its image stays.
    ///
    /// # Errors
    /// As for [`Store::annotate_list`].
    pub fn remove_from_list(&self, name: &Reference, entry: &str) -> Result<()> {
        self.change_list(name, |list, _| {
            let position = self.position(name, list, entry)?;
            list.manifests.remove(position);
            Ok(())
        })
    }

    /// Removes a list by its name; the images in it stay if they have names of their own.
    ///
    /// # Errors
    /// Class `NotFound`; `Invalid` when the name is an image's.
    pub fn remove_list(&self, name: &Reference) -> Result<()> {
        self.list_named(name)?;
        self.change_index(|index| {
            index
                .manifests
                .retain(|entry| name_of(entry).as_ref() != Some(name));
            Ok(())
        })
    }

    fn position(&self, name: &Reference, list: &Index, entry: &str) -> Result<usize> {
        let at = |digest: Digest| list.manifests.iter().position(|own| own.digest == digest);
        let here = || {
            let image = self.find(entry, None).ok()?;
            at(image.manifest_digest().clone())
        };
        let found = match entry.parse::<Digest>() {
            Ok(digest) => at(digest),
            Err(_) => match here() {
                Some(position) => Some(position),
                None => self.entry_from(name, entry)?.and_then(at),
            },
        };
        found.ok_or_else(|| {
            Error::new(
                Class::NotFound,
                format!("the list {} has no entry {entry}", name.familiar()),
            )
            .hint(format!("berth manifest inspect {}", name.familiar()))
        })
    }

    /// Changes a list, and where entries of it are; does so again when somebody else was faster, so that nothing
    /// of that is lost.
    fn change_list(
        &self,
        name: &Reference,
        change: impl Fn(&mut Index, &mut Sources) -> Result<()>,
    ) -> Result<()> {
        loop {
            let (was, mut list) = self.list_at(name)?;
            let mut further = Sources::new();
            change(&mut list, &mut further)?;
            if self.write_list(name, Some(&was), &list, &further)? {
                return Ok(());
            }
        }
    }

    /// Writes a list, and where further entries of it are, unless its name leads elsewhere than it did; says
    /// whether it was written.
    fn write_list(
        &self,
        name: &Reference,
        was: Option<&Digest>,
        list: &Index,
        further: &Sources,
    ) -> Result<bool> {
        let mut transaction = self.transaction()?;
        let target = transaction
            .add_document(list)
            .map_err(|error| error.context(format!("cannot write the list {}", name.familiar())))?;
        transaction.publish()?;
        let full = name.to_string();
        self.change_index(|index| {
            let before = index.manifests.iter().find(|entry| is_named(entry, &full));
            if before.map(|entry| &entry.digest) != was {
                return Ok(false);
            }
            let mut kept = before
                .map(|entry| sources(index, &entry.digest))
                .unwrap_or_default();
            kept.extend(further.clone());
            kept.retain(|digest, _| list.manifests.iter().any(|entry| entry.digest == *digest));
            // What the list was before is nobody's: it does not become a dangling image.
            replace_target(index, name, &target);
            note(index, name, &kept);
            Ok(true)
        })
    }
}

impl EntryChange {
    fn apply(&self, entry: &mut Descriptor) {
        entry.annotations.extend(self.annotations.clone());
        if entry.platform.is_none() && !self.is_about_platform() {
            // An artifact is for none, unless somebody says so.
            return;
        }
        let mut platform = entry.platform.take().unwrap_or_else(Platform::host);
        if let Some(os) = &self.os {
            platform.os.clone_from(os);
        }
        if let Some(architecture) = &self.architecture {
            platform.architecture.clone_from(architecture);
        }
        if self.variant.is_some() {
            platform.variant.clone_from(&self.variant);
        }
        if self.os_version.is_some() {
            platform.os_version.clone_from(&self.os_version);
        }
        if !self.os_features.is_empty() {
            platform.os_features.clone_from(&self.os_features);
        }
        entry.platform = Some(platform);
    }

    /// The platform that the entry is said to be for, where its system, architecture or variant is said.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        let said = [&self.os, &self.architecture, &self.variant];
        if said.iter().all(|one| one.is_none()) {
            return None;
        }
        let host = Platform::host();
        let mut platform = match (self.os.as_deref(), self.architecture.as_deref()) {
            (Some(os), Some(architecture)) => Platform::new(os, architecture),
            (None, Some(architecture)) => Platform::new(&host.os, architecture),
            (Some(os), None) if os.starts_with("wasi") => Platform::new(os, "wasm"),
            (Some(os), None) => Platform::new(os, &host.architecture),
            (None, None) => host,
        };
        platform.variant.clone_from(&self.variant);
        Some(platform)
    }

    /// What is left to say of an entry that was chosen by its platform.
    pub(crate) fn of_chosen(&self) -> Self {
        Self {
            os: None,
            architecture: None,
            variant: None,
            ..self.clone()
        }
    }

    fn is_about_platform(&self) -> bool {
        let said = [
            &self.os,
            &self.architecture,
            &self.variant,
            &self.os_version,
        ];
        said.iter().any(|one| one.is_some()) || !self.os_features.is_empty()
    }
}

/// Whether a text names images for several platforms, rather than this one alone.
fn leads_to_several(text: &str, image: &Image) -> bool {
    let target = image.target();
    if target == image.manifest_digest() {
        return false;
    }
    let name = Reference::parse(text).ok();
    let named = name.is_some_and(|name| match name.digest() {
        Some(digest) => digest == target,
        None => image.names().contains(&name),
    });
    named || text.strip_prefix("sha256:").unwrap_or(text) == target.hex()
}

fn no_such_list(name: &Reference) -> Error {
    let name = name.familiar();
    Error::new(Class::NotFound, format!("no such list of images: {name}"))
        .hint(format!("berth manifest create {name}"))
}
