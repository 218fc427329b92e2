//! Naming and removing images, with Docker's rules for `tag` and `rmi`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use berth_contract::{Class, Digest, Error, Result};

use super::Store;
use super::collect::Partial;
use super::index::{is_named, name_of, no_such_image, pinned_name_of, remove_name, set_name};
use super::lists::{BareList, Named};
use crate::documents::{Descriptor, Index};
use crate::image::Image;
use crate::list::{note, sources};
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
    /// Gives an image, or a list of images, a further name.
    ///
    /// # Errors
    /// The image is not here; the name has a digest, which cannot be given.
    pub fn tag(&self, target: &Digest, name: &Reference) -> Result<()> {
        if name.digest().is_some() {
            return Err(Error::new(
                Class::Invalid,
                format!("cannot tag an image as {}", name.familiar()),
            )
            .caused_by("a digest is computed, not given"));
        }
        let _hold = self.hold()?;
        self.change_index(|index| {
            let mut known = index.manifests.iter();
            let Some(target) = known.find(|entry| entry.digest == *target).cloned() else {
                return Err(no_such_image(target.short()));
            };
            let sources = sources(index, &target.digest);
            set_name(index, name, &target);
            note(index, name, &sources);
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
        let found = self.find_named(text)?;
        let reference = Reference::parse(text).ok();
        self.change_index(|index| {
            let targets = self.meant(index, &found, text, reference.as_ref());
            let names = names_of(index, &targets);
            // `repository@digest` of an image with tags means the image, as an id does.
            let by_name = reference.as_ref().filter(|name| names.contains(name));
            if let Some(name) = by_name
                && names.len() > 1
            {
                remove_name(index, &name.to_string(), false);
                return Ok(vec![Removed::Untagged(name.familiar())]);
            }
            let mut ids = self.only_ids(index, &targets)?;
            if let Named::List(list) = &found {
                ids.insert(list.digest().clone());
            }
            // A container of any platform stands against it.
            let mut uses: Vec<Use> = Vec::new();
            for id in &ids {
                uses.extend(containers.using(id)?);
            }
            let wish = Wish {
                text,
                by_name: by_name.is_some(),
                force,
            };
            match permit(found.id(), &names, &wish, &uses)? {
                true => {
                    let gone = untagged(index, &targets);
                    for name in &names {
                        remove_name(index, &name.to_string(), true);
                    }
                    Ok(gone)
                }
                false => Ok(unlisted(index, &targets, ids)),
            }
        })
    }

    /// Takes an image with its names off the list, unless a container was made from it; the same image under
    /// another manifest stays.
    ///
    /// # Errors
    /// Class `Conflict` when a container was made from it.
    pub fn unlist_unused(
        &self,
        image: &Image,
        containers: &dyn Containers,
    ) -> Result<Vec<Removed>> {
        self.change_index(|index| {
            let targets = [image.target().clone()];
            let ids = self.only_ids(index, &targets)?;
            for id in &ids {
                if let Some(user) = containers.using(id)?.first() {
                    let reason = format!("container {} was made from it", user.container);
                    return Err(conflict(image.id().short(), reason));
                }
            }
            Ok(unlisted(index, &targets, ids))
        })
    }

    /// As [`Store::unlist_unused`], of a list of which no image is here.
    ///
    /// # Errors
    /// The list of images cannot be written.
    pub fn unlist_bare(&self, list: &BareList) -> Result<Vec<Removed>> {
        let digest = list.digest();
        let gone = |index: &mut Index| {
            // Something of it may have come meanwhile: it stays then.
            let mut own = index
                .manifests
                .iter()
                .filter(|entry| entry.digest == *digest);
            if !own.any(|entry| self.bare_list(index, entry).is_some()) {
                return Ok(Vec::new());
            }
            let ids = BTreeSet::from([digest.clone()]);
            Ok(unlisted(index, std::slice::from_ref(digest), ids))
        };
        self.change_index(gone)
    }

    /// What a text means: what its name leads to, or with an id everything that is this image.
    fn meant(
        &self,
        index: &Index,
        found: &Named,
        text: &str,
        reference: Option<&Reference>,
    ) -> Vec<Digest> {
        let Named::Image(image) = found else {
            return vec![found.target().clone()];
        };
        let named = |entry: &&Descriptor| name_of(entry).as_ref() == reference;
        let is_name = reference.is_some_and(|reference| reference.digest().is_some())
            || reference.is_some() && index.manifests.iter().any(|entry| named(&entry));
        let id = text.strip_prefix("sha256:").unwrap_or(text);
        if is_name || !image.id().hex().starts_with(id) {
            return vec![image.target().clone()];
        }
        let leads = |entry: &&Descriptor| {
            // Neither one that is damaged is taken along, nor one with images for other platforms.
            let found = self.manifests(entry).unwrap_or_default();
            let alone = found.len() == 1 || entry.digest == *image.target();
            alone
                && found
                    .iter()
                    .any(|found| found.manifest.config.digest == *image.id())
        };
        let all = index.manifests.iter().filter(leads);
        let all: BTreeSet<Digest> = all.map(|entry| entry.digest.clone()).collect();
        all.into_iter().collect()
    }

    /// The ids of all platforms of some targets, without those that something else leads to.
    fn only_ids(&self, index: &Index, targets: &[Digest]) -> Result<BTreeSet<Digest>> {
        let (mut ids, mut others) = (BTreeSet::new(), BTreeSet::new());
        for entry in &index.manifests {
            let own = targets.contains(&entry.digest);
            let found = match self.manifests(entry) {
                // Another one that is damaged is no reason to keep this one.
                Err(_) if !own => continue,
                found => found?.into_iter(),
            };
            let found = found.map(|found| found.manifest.config.digest);
            match own {
                true => ids.extend(found),
                false => others.extend(found),
            }
        }
        ids.retain(|id| !others.contains(id));
        Ok(ids)
    }

    /// The names that a text means: those of what its name leads to, or with an id of everything that is this
    /// image.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub fn names_meant(&self, text: &str) -> Result<Vec<Reference>> {
        let found = self.find_named(text)?;
        let index = self.index()?;
        let reference = Reference::parse(text).ok();
        let targets = self.meant(&index, &found, text, reference.as_ref());
        let mut names = names_of(&index, &targets);
        names.retain(|name| name.digest().is_none());
        Ok(names)
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
}

fn names_of(index: &Index, targets: &[Digest]) -> Vec<Reference> {
    let own = index.manifests.iter();
    let own = own.filter(|entry| targets.contains(&entry.digest));
    own.filter_map(name_of).collect()
}

/// What is said of the names of some targets that go.
fn untagged(index: &Index, targets: &[Digest]) -> Vec<Removed> {
    let names = names_of(index, targets);
    let own = index.manifests.iter();
    let own = own.filter(|entry| targets.contains(&entry.digest));
    let mut pinned: Vec<Reference> = own.filter_map(pinned_name_of).collect();
    pinned.sort();
    pinned.dedup();
    pinned.retain(|name| !names.contains(name));
    let all = names.iter().chain(&pinned);
    all.map(|name| Removed::Untagged(name.familiar())).collect()
}

/// Takes some targets off the list, and says what that means.
fn unlisted(index: &mut Index, targets: &[Digest], ids: BTreeSet<Digest>) -> Vec<Removed> {
    let mut removed = untagged(index, targets);
    index
        .manifests
        .retain(|entry| !targets.contains(&entry.digest));
    removed.extend(ids.into_iter().map(Removed::Deleted));
    removed
}

/// Whether the last name may go; `true` means that the image itself has to stay without a name.
fn permit(id: &Digest, names: &[Reference], wish: &Wish<'_>, uses: &[Use]) -> Result<bool> {
    let Wish {
        text,
        by_name,
        force,
    } = *wish;
    let short = id.short();
    let running = uses.iter().find(|user| user.running);
    let repositories: BTreeSet<String> = names.iter().map(Reference::name).collect();
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
