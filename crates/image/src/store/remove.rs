//! Naming and removing images, with Docker's rules for `tag` and `rmi`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use berth_contract::{Class, Digest, Error, Result};

use super::Store;
use super::collect::Partial;
use super::index::{is_named, name_of, no_such_image, remove_name, set_name};
use crate::documents::Descriptor;
use crate::image::Image;
use crate::reference::Reference;

/// A container that uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Its short id, for the message.
    pub container: String,
    /// Whether it is running, which no force overrides.
    pub running: bool,
}

/// What the store has to know about containers; the caller knows them.
///
/// It is asked beneath the store's locks and has to look anew each time: an answer from before would not
/// tell of a container that was made meanwhile.
pub trait Containers {
    /// The containers made from this image id.
    ///
    /// # Errors
    /// They cannot be told; nothing is removed then.
    fn using(&self, image: &Digest) -> Result<Vec<Use>>;

    /// The lower directories of all containers.
    ///
    /// # Errors
    /// They cannot be told; nothing is removed then.
    fn layers(&self) -> Result<Vec<PathBuf>>;
}

/// There are no containers.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoContainers;

impl Containers for NoContainers {
    fn using(&self, _image: &Digest) -> Result<Vec<Use>> {
        Ok(Vec::new())
    }

    fn layers(&self) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}

/// One line of what `rmi` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name was taken away.
    Untagged(String),
    /// An image is gone, by its id.
    Deleted(Digest),
}

/// What a person asked to be removed.
struct Wish<'a> {
    text: &'a str,
    /// Whether the text is a name rather than an id.
    by_name: bool,
    force: bool,
}

impl Store {
    /// Gives an image a further name.
    ///
    /// # Errors
    /// The image is not here; the name has a digest, which cannot be given.
    pub fn tag(&self, image: &Image, name: &Reference) -> Result<()> {
        if name.digest().is_some() {
            return Err(Error::new(
                Class::Invalid,
                format!("cannot tag an image as {}", name.familiar()),
            )
            .caused_by("a digest is computed, not given"));
        }
        let _hold = self.hold()?;
        self.change_index(|index| {
            let target = index
                .manifests
                .iter()
                .find(|entry| entry.digest == *image.target());
            let Some(target) = target.cloned() else {
                return Err(no_such_image(image.id().short()));
            };
            set_name(index, name, &target);
            Ok(())
        })
    }

    /// Removes a name, or an image with all its names, and collects what that leaves behind.
    ///
    /// # Errors
    /// Class `NotFound`; `Conflict` when containers or further names stand against it.
    pub fn remove(
        &self,
        text: &str,
        force: bool,
        containers: &dyn Containers,
    ) -> Result<Vec<Removed>> {
        let removed = self.unlist(text, force, containers)?;
        self.tidy(containers)?;
        Ok(removed)
    }

    /// Puts what nothing leads to into the trash, after one or many [`Store::unlist`].
    ///
    /// Downloads that were not finished can still be resumed; [`Store::collect`] is who gives them up.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn tidy(&self, containers: &dyn Containers) -> Result<()> {
        berth_sys::fault::point("remove-unnamed");
        self.sweep(containers, Partial::Kept).map(drop)
    }

    /// As [`Store::remove`], but leaves what nothing leads to any more where it is.
    ///
    /// # Errors
    /// As for [`Store::remove`].
    pub fn unlist(
        &self,
        text: &str,
        force: bool,
        containers: &dyn Containers,
    ) -> Result<Vec<Removed>> {
        let image = self.find(text, None)?;
        let reference = Reference::parse(text).ok();
        self.change_index(|index| {
            let target = image.target();
            let names: Vec<Reference> = index
                .manifests
                .iter()
                .filter(|entry| entry.digest == *target)
                .filter_map(name_of)
                .collect();
            // `repository@digest` of an image with tags means the image, as an id does.
            let by_name = reference.as_ref().filter(|name| names.contains(name));
            if let Some(name) = by_name
                && names.len() > 1
            {
                remove_name(index, &name.to_string(), false);
                return Ok(vec![Removed::Untagged(name.familiar())]);
            }
            let ids = self.ids(
                index
                    .manifests
                    .iter()
                    .filter(|entry| entry.digest == *target),
            )?;
            // A container of any platform stands against it.
            let mut uses: Vec<Use> = Vec::new();
            for id in ids.keys() {
                uses.extend(containers.using(id)?);
            }
            let wish = Wish {
                text,
                by_name: by_name.is_some(),
                force,
            };
            let keep = permit(&image, &names, &wish, &uses)?;
            let mut removed: Vec<Removed> = names
                .iter()
                .map(|name| Removed::Untagged(name.familiar()))
                .collect();
            removed.extend(
                image
                    .digests()
                    .iter()
                    .filter(|name| !names.contains(name))
                    .map(|name| Removed::Untagged(name.familiar())),
            );
            if keep {
                for name in &names {
                    remove_name(index, &name.to_string(), true);
                }
                return Ok(removed);
            }
            index.manifests.retain(|entry| entry.digest != *target);
            removed.extend(ids.into_keys().map(Removed::Deleted));
            Ok(removed)
        })
    }

    /// Takes one name away and never deletes anything: `untag`.
    ///
    /// # Errors
    /// Class `NotFound`.
    pub fn untag(&self, name: &Reference) -> Result<()> {
        let full = name.to_string();
        self.change_index(|index| {
            match index.manifests.iter().any(|entry| is_named(entry, &full)) {
                true => {
                    remove_name(index, &full, true);
                    Ok(())
                }
                false => Err(no_such_image(&name.familiar())),
            }
        })
    }

    /// The ids of all platforms of some entries.
    fn ids<'a>(
        &self,
        entries: impl Iterator<Item = &'a Descriptor>,
    ) -> Result<BTreeMap<Digest, ()>> {
        let mut ids = BTreeMap::new();
        for entry in entries {
            ids.extend(
                self.manifests(entry)?
                    .into_iter()
                    .map(|found| (found.manifest.config.digest, ())),
            );
        }
        Ok(ids)
    }
}

/// Whether the last name may go; `true` means that the image itself has to stay without a name.
fn permit(image: &Image, names: &[Reference], wish: &Wish<'_>, uses: &[Use]) -> Result<bool> {
    let Wish {
        text,
        by_name,
        force,
    } = *wish;
    let short = image.id().short();
    let running = uses.iter().find(|user| user.running);
    let repositories: std::collections::BTreeSet<String> =
        names.iter().map(Reference::name).collect();
    if !by_name && repositories.len() > 1 && !force {
        return Err(
            conflict(text, format!("{short} has names in several repositories"))
                .hint(format!("berth rmi -f {text}")),
        );
    }
    match (running, uses.first()) {
        (Some(_), _) if by_name && force => Ok(true),
        (Some(user), _) => Err(conflict(
            text,
            format!("container {} is running it", user.container),
        )
        .hint(format!("berth rm -f {}", user.container))),
        (None, Some(user)) if !force => Err(conflict(
            text,
            format!("container {} was made from it", user.container),
        )
        .hint(format!(
            "berth rm {}, or berth rmi -f {text}",
            user.container
        ))),
        _ => Ok(false),
    }
}

fn conflict(text: &str, reason: String) -> Error {
    Error::new(Class::Conflict, format!("cannot remove image {text}")).caused_by(reason)
}
