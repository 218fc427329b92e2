//! Images with all their platforms, those that are not here too.

use berth_contract::{Digest, Result};

use super::{Store, name_of};
use crate::documents::{Descriptor, Document};
use crate::image::Image;
use crate::platform::Platform;
use crate::reference::Reference;

/// One target of the store's index.
#[derive(Debug)]
pub struct Tree {
    /// Its names.
    pub names: Vec<Reference>,
    /// The digest of the list, or of the image's manifest.
    pub target: Digest,
    /// Whether it is a list of images.
    pub is_list: bool,
    /// Its images in the order of the list.
    pub leaves: Vec<Leaf>,
}

/// One platform of an image.
#[derive(Debug)]
pub struct Leaf {
    /// What it runs on.
    pub platform: Platform,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The image, if it is here.
    pub image: Option<Image>,
}

impl Tree {
    /// The images that are here.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.leaves.iter().filter_map(|leaf| leaf.image.as_ref())
    }

    fn created(&self) -> &str {
        self.images().map(Image::created).max().unwrap_or_default()
    }
}

impl Store {
    /// Every image with its platforms, newest first; damaged ones are left to `system check`.
    ///
    /// # Errors
    /// The list of images cannot be read.
    pub fn forest(&self) -> Result<Vec<Tree>> {
        let index = self.index()?;
        let mut trees: Vec<Tree> = Vec::new();
        for entry in &index.manifests {
            let name = name_of(entry);
            if let Some(known) = trees.iter_mut().find(|tree| tree.target == entry.digest) {
                known.names.extend(name);
                continue;
            }
            let Ok(images) = self.images_of(&index, entry) else {
                continue;
            };
            let list = match self.document(entry) {
                Ok(Some(Document::Index(list))) => Some(list),
                _ => None,
            };
            let is_list = list.is_some();
            if images.is_empty() && !is_list {
                continue;
            }
            let leaves = match list {
                Some(list) => {
                    let host = Platform::host();
                    let entries: Vec<(Platform, Descriptor)> = list
                        .images(&host)
                        .map(|(platform, entry)| (platform.clone(), entry.clone()))
                        .collect();
                    leaves(entries, images)
                }
                None => images.into_iter().map(Leaf::of).collect(),
            };
            trees.push(Tree {
                names: name.into_iter().collect(),
                target: entry.digest.clone(),
                is_list,
                leaves,
            });
        }
        trees.sort_by(|left, right| right.created().cmp(left.created()));
        Ok(trees)
    }
}

impl Leaf {
    fn of(image: Image) -> Self {
        Self {
            platform: image.platform().clone(),
            digest: image.manifest_digest().clone(),
            image: Some(image),
        }
    }
}

fn leaves(entries: Vec<(Platform, Descriptor)>, mut images: Vec<Image>) -> Vec<Leaf> {
    let leaf = |(platform, entry): (Platform, Descriptor)| {
        let here = |image: &Image| *image.manifest_digest() == entry.digest;
        let image = images.iter().position(here);
        Leaf {
            platform,
            digest: entry.digest.clone(),
            image: image.map(|position| images.swap_remove(position)),
        }
    };
    entries.into_iter().map(leaf).collect()
}
