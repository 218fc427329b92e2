//! What is to be saved: from names and platforms to targets, images and blobs.

use berth_contract::{Class, Error, Result};

use crate::documents::{Descriptor, Index};
use crate::image::Image;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Graph, Store, name_of};

/// One target of an archive.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// The names it is saved under; none when it was chosen by its id.
    pub(crate) names: Vec<Reference>,
    /// An index, or the manifest of an image.
    pub(crate) target: Descriptor,
    /// Its images, the one for this host first.
    pub(crate) images: Vec<Image>,
    /// Everything it consists of and that is here, the target last.
    pub(crate) blobs: Vec<Descriptor>,
}

/// Finds what the names mean; a repository without tag and digest means all of its tags, as in Docker.
pub(crate) fn choose(
    store: &Store,
    names: &[String],
    platforms: &[Platform],
) -> Result<Vec<Chosen>> {
    let index = store.index()?;
    let mut chosen: Vec<Chosen> = Vec::new();
    for text in names {
        for (entry, name) in entries(store, &index, text)? {
            let name = name.into_iter();
            match chosen.iter_mut().find(|one| one.is_of(&entry)) {
                Some(known) => {
                    let new: Vec<Reference> =
                        name.filter(|name| !known.names.contains(name)).collect();
                    known.names.extend(new);
                }
                None => {
                    let mut one = target(store, &index, &entry, platforms)
                        .map_err(|error| error.context(format!("cannot save {text}")))?;
                    one.names.extend(name);
                    chosen.push(one);
                }
            }
        }
    }
    Ok(chosen)
}

impl Chosen {
    fn is_of(&self, entry: &Descriptor) -> bool {
        self.target.digest == entry.digest
            || self
                .images
                .iter()
                .any(|image| *image.target() == entry.digest)
    }
}

/// The entries of the store's index that a text means, each with the name it is saved under.
fn entries(
    store: &Store,
    index: &Index,
    text: &str,
) -> Result<Vec<(Descriptor, Option<Reference>)>> {
    let reference = Reference::parse(text).ok();
    let bare = |name: &Reference| {
        let tagged = text.rsplit('/').next().unwrap_or(text);
        name.digest().is_none() && !tagged.contains(':')
    };
    if let Some(repository) = reference.filter(bare) {
        let tags: Vec<_> = index
            .manifests
            .iter()
            .filter_map(|entry| Some((entry, name_of(entry)?)))
            .filter(|(_, name)| name.digest().is_none() && name.name() == repository.name())
            .map(|(entry, name)| (bare_descriptor(entry), Some(name)))
            .collect();
        if !tags.is_empty() {
            return Ok(tags);
        }
    }
    let image = store.find(text, None)?;
    let name = Reference::parse(text)
        .ok()
        .filter(|name| image.names().contains(name));
    let entry = index
        .manifests
        .iter()
        .find(|entry| entry.digest == *image.target())
        .map(bare_descriptor);
    let entry = match entry {
        // By the digest of one manifest of an index that manifest alone is meant.
        Some(entry) if name.is_none() && entry.digest != *image.manifest_digest() => {
            match text.contains(image.target().hex()) {
                true => entry,
                false => image.descriptor()?,
            }
        }
        Some(entry) => entry,
        None => image.descriptor()?,
    };
    Ok(vec![(entry, name)])
}

fn target(
    store: &Store,
    index: &Index,
    entry: &Descriptor,
    platforms: &[Platform],
) -> Result<Chosen> {
    let mut images = store.images_of(index, entry)?;
    let here: Vec<String> = images
        .iter()
        .map(|image| image.platform().to_string())
        .collect();
    let takes = |image: &Image| {
        let serves = |wanted: &Platform| wanted.served_by(image.platform()).is_some();
        platforms.is_empty() || platforms.iter().any(serves)
    };
    images.retain(takes);
    // The best of those that serve the first wish, else this host, comes first.
    let offered = images
        .iter()
        .enumerate()
        .map(|(position, image)| (image.platform(), position));
    let first = crate::platform::choose(platforms.first(), &Platform::host(), offered);
    if let Some(first) = first {
        images.swap(0, first);
    }
    let Some(best) = images.first() else {
        let reason = format!("what is here is for {}", here.join(", "));
        return Err(Error::new(Class::NotFound, "no such platform is here").caused_by(reason));
    };
    let mut target = match platforms {
        // One platform alone is saved as an image, not as an index that lacks the others.
        [_] => best.descriptor()?,
        _ => entry.clone(),
    };
    target.platform = None;
    if let [_] = platforms {
        images.truncate(1);
    }
    let kept: Vec<&berth_contract::Digest> = images.iter().map(Image::manifest_digest).collect();
    let wanted = |inner: &Descriptor| {
        platforms.is_empty() || kept.contains(&&inner.digest) || {
            let about = inner.annotations.get("vnd.docker.reference.digest");
            about.is_some_and(|about| kept.iter().any(|kept| kept.as_str() == about))
        }
    };
    let mut graph = Graph::default();
    store.reach(&target, &wanted, &mut graph)?;
    Ok(Chosen {
        names: Vec::new(),
        target,
        images,
        blobs: graph.blobs,
    })
}

fn bare_descriptor(entry: &Descriptor) -> Descriptor {
    Descriptor::new(&entry.media_type, entry.digest.clone(), entry.size)
}
