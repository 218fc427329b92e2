//! `index.json`: what is in the store under which name.
//!
//! An entry is named by the annotation containerd and Docker use, so that their tools find the name;
//! an entry without one is a dangling image, kept until it is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, unique_name};

use super::Store;
use crate::documents::{Descriptor, Index, to_json};
use crate::reference::Reference;

/// The full reference.
const NAME: &str = "io.containerd.image.name";
/// The tag alone, as image-spec wants it.
const TAG: &str = "org.opencontainers.image.ref.name";
/// The repository a dangling image came from, for `repository@digest`.
pub(super) const REPOSITORY: &str = "dev.berth.image.repository";
/// The tag under which a registry has what was fetched from there for others; on this machine it names nothing.
const FETCHED_TAG: &str = "dev.berth.image.fetched.tag";

/// What a new index is called until it replaces the old one.
const ASIDE: &str = ".index.json.";
pub(super) const INDEX: &str = "oci/index.json";

impl Store {
    /// The index as it is now; no lock is needed since it is only ever replaced.
    ///
    /// A damaged one stays where it is: were it put aside, the next command would take the store for empty
    /// and collect all of it.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or is missing while there is content.
    pub(crate) fn index(&self) -> Result<Index> {
        let path = self.data.join(INDEX);
        let damaged = |reason: String| {
            Error::new(Class::Internal, "the list of images is damaged")
                .caused_by(reason)
                .hint("berth system check --repair")
        };
        // Twice: a store that was only just made had neither a list nor content at the first look.
        for last in [false, true] {
            match std::fs::read(&path) {
                Ok(bytes) => {
                    return serde_json::from_slice(&bytes)
                        .map_err(|error| damaged(format!("{}: {error}", path.display())));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).explain(|| format!("cannot read {}", path.display()));
                }
                Err(_) if self.is_empty()? => return Ok(Index::new(Vec::new())),
                Err(_) if last => break,
                Err(_) => {}
            }
        }
        Err(damaged(format!("{} is missing", path.display())))
    }

    /// Writes the list of a store that is being made: from then on one that is missing was lost.
    pub(super) fn begin_index(&self) -> Result<()> {
        let path = self.data.join(INDEX);
        let aside = self.data.join("oci").join(unique_name(ASIDE));
        let linked = std::fs::File::create_new(&aside)
            .and_then(|mut file| {
                file.write_all(&to_json(&Index::new(Vec::new())))?;
                file.sync_all()
            })
            .and_then(|()| std::fs::hard_link(&aside, &path));
        drop(std::fs::remove_file(&aside));
        match linked {
            // Another process makes the same store; it may even have swept ours aside with its first change.
            Err(_) if path.exists() => Ok(()),
            linked => linked.explain(|| format!("cannot make {}", path.display())),
        }
    }

    fn is_empty(&self) -> Result<bool> {
        for algorithm in ["sha256", "sha512"] {
            let path = self.data.join("oci/blobs").join(algorithm);
            match std::fs::read_dir(&path) {
                Ok(mut blobs) => {
                    if blobs.next().is_some() {
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).explain(|| format!("cannot list {}", path.display()));
                }
            }
        }
        Ok(true)
    }

    /// Changes the index under its lock, durably.
    pub(crate) fn change_index<T>(
        &self,
        change: impl FnOnce(&mut Index) -> Result<T>,
    ) -> Result<T> {
        let lock = self.lock_index()?;
        let mut index = self.index()?;
        let before = index.clone();
        let value = change(&mut index)?;
        if index != before {
            let directory = self.directory("oci")?;
            replace(&directory, &to_json(&index))
                .explain(|| "cannot write the list of images".into())?;
        }
        drop(lock);
        Ok(value)
    }

    pub(super) fn lock_index(&self) -> Result<std::fs::File> {
        self.prepare()?;
        let lock = self.lock_file("index.lock")?;
        lock.lock()
            .explain(|| "cannot lock the list of images".into())?;
        Ok(lock)
    }
}

/// The lock is held: what others left aside belongs to processes that were killed.
pub(super) fn replace(directory: &Directory, bytes: &[u8]) -> io::Result<()> {
    for name in directory.names()? {
        if name.to_string_lossy().starts_with(ASIDE) {
            directory.remove_file(&name)?;
        }
    }
    let name = unique_name(ASIDE);
    let mut file = directory.create_file(&name, 0o600)?;
    berth_sys::fault::point("index-aside");
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) =
        written.and_then(|()| directory.rename(&name, directory, "index.json".as_ref()))
    {
        // The error that matters is the first one.
        drop(directory.remove_file(&name));
        return Err(error);
    }
    berth_sys::fault::point("index-replaced");
    directory.sync()
}

/// The name of an entry, if it has one that reads.
pub(crate) fn name_of(entry: &Descriptor) -> Option<Reference> {
    Reference::parse(entry.annotations.get(NAME)?).ok()
}

/// `repository@digest` of an entry, if its repository is known.
pub(crate) fn pinned_name_of(entry: &Descriptor) -> Option<Reference> {
    let name = entry
        .annotations
        .get(NAME)
        .or_else(|| entry.annotations.get(REPOSITORY))?;
    Some(Reference::parse(name).ok()?.at(&entry.digest))
}

/// Whether an entry has this name.
pub(crate) fn is_named(entry: &Descriptor, full_name: &str) -> bool {
    entry
        .annotations
        .get(NAME)
        .is_some_and(|name| name == full_name)
}

/// Gives a descriptor a name, taking it from whoever had it; an entry that loses its last name stays as a
/// dangling image, and other repositories keep what they have by digest.
pub(crate) fn set_name(index: &mut Index, name: &Reference, target: &Descriptor) {
    let full = name.to_string();
    if index
        .manifests
        .iter()
        .any(|entry| is_named(entry, &full) && entry.digest == target.digest)
    {
        return;
    }
    remove_name(index, &full, true);
    // The image has a name now: its dangling entry has served, and so has the one of the same repository.
    let repository = name.name();
    index.manifests.retain(|entry| {
        let kept = entry.annotations.contains_key(NAME) || is_fetched(entry);
        let others = entry.annotations.get(REPOSITORY);
        entry.digest != target.digest || kept || others.is_some_and(|other| *other != repository)
    });
    let mut entry = bare(target);
    if let Some(tag) = name.tag() {
        entry.annotations.insert(TAG.to_owned(), tag.to_owned());
    }
    entry.annotations.insert(NAME.to_owned(), full);
    index.manifests.push(entry);
}

/// Whether an entry is of what was fetched for others, and may not be whole.
pub(super) fn is_fetched(entry: &Descriptor) -> bool {
    entry.annotations.contains_key(FETCHED_TAG)
}

/// The tag that an entry has in its repository's registry, if it was fetched from there for others.
pub(super) fn fetched_tag(entry: &Descriptor) -> Option<&str> {
    let tag = entry.annotations.get(FETCHED_TAG)?;
    Some(tag.as_str()).filter(|tag| !tag.is_empty())
}

/// The entries, each target once, by a name of this machine where it has one.
pub(super) fn distinct(index: &Index) -> Vec<&Descriptor> {
    let (fetched, own): (Vec<_>, Vec<_>) = index.manifests.iter().partition(|one| is_fetched(one));
    let mut seen = BTreeSet::new();
    let all = own.into_iter().chain(fetched);
    all.filter(|entry| seen.insert(&entry.digest)).collect()
}

/// Adds what was fetched for others; a tag that its registry had somewhere else goes with it.
pub(super) fn set_fetched(index: &mut Index, name: &Reference, target: &Descriptor) {
    remove_fetched(index, name);
    let repository = name.name();
    let tag = name.tag().unwrap_or_default();
    let own = |entry: &Descriptor| {
        entry.annotations.get(REPOSITORY) == Some(&repository) && is_fetched(entry)
    };
    let here = index
        .manifests
        .iter_mut()
        .find(|entry| own(entry) && entry.digest == target.digest && fetched_tag(entry).is_none());
    if let Some(entry) = here {
        entry
            .annotations
            .insert(FETCHED_TAG.to_owned(), tag.to_owned());
        return;
    }
    let mut entry = bare(target);
    entry.annotations.insert(REPOSITORY.to_owned(), repository);
    entry
        .annotations
        .insert(FETCHED_TAG.to_owned(), tag.to_owned());
    index.manifests.push(entry);
}

/// Takes the tag from what was fetched under it, which stays for its digest. Says whether there was any.
pub(super) fn remove_fetched(index: &mut Index, name: &Reference) -> bool {
    let repository = name.name();
    let tagged = |entry: &&mut Descriptor| {
        let tag = fetched_tag(entry);
        tag.is_some() && tag == name.tag() && entry.annotations.get(REPOSITORY) == Some(&repository)
    };
    let found = index.manifests.iter_mut().find(tagged);
    let tag = found.and_then(|entry| entry.annotations.get_mut(FETCHED_TAG));
    tag.map(String::clear).is_some()
}

/// Makes a name lead elsewhere; what it led to before does not become a dangling image.
pub(crate) fn replace_target(index: &mut Index, name: &Reference, target: &Descriptor) {
    let full = name.to_string();
    index.manifests.retain(|entry| !is_named(entry, &full));
    set_name(index, name, target);
}

/// Adds a descriptor without a name, unless it is there.
pub(crate) fn add_unnamed(index: &mut Index, target: &Descriptor) {
    if index
        .manifests
        .iter()
        .all(|entry| entry.digest != target.digest)
    {
        index.manifests.push(bare(target));
    }
}

/// Takes a name away; with `keep`, an image that loses its last name stays as a dangling one. Says whether
/// the name was there, and to whom it belonged.
pub(crate) fn remove_name(index: &mut Index, full: &str, keep: bool) -> Option<Digest> {
    let position = index
        .manifests
        .iter()
        .position(|entry| is_named(entry, full))?;
    let mut entry = index.manifests.remove(position);
    let digest = entry.digest.clone();
    let others = index.manifests.iter().any(|other| other.digest == digest);
    if keep && !others {
        let repository = Reference::parse(full).ok().map(|name| name.name());
        entry.annotations = repository
            .into_iter()
            .map(|name| (REPOSITORY.to_owned(), name))
            .collect();
        index.manifests.push(entry);
    }
    Some(digest)
}

/// Makes a manifest part of a repository by its digest alone; a dangling image of nobody becomes its own.
pub(super) fn add_pinned(index: &mut Index, repository: &str, target: &Descriptor) {
    let mut all = index.manifests.iter();
    let nobodys =
        all.position(|entry| entry.digest == target.digest && entry.annotations.is_empty());
    let position = nobodys.unwrap_or_else(|| {
        index.manifests.push(bare(target));
        index.manifests.len() - 1
    });
    let annotations = &mut index.manifests[position].annotations;
    annotations.insert(REPOSITORY.to_owned(), repository.to_owned());
}

fn bare(target: &Descriptor) -> Descriptor {
    Descriptor {
        annotations: BTreeMap::new(),
        artifact_type: None,
        ..target.clone()
    }
}

/// Errors about an image that is not here all read the same.
pub(crate) fn no_such_image(text: &str) -> Error {
    Error::new(Class::NotFound, format!("no such image: {text}"))
}
