//! `image prune`: which images nothing needs any more.

use std::collections::BTreeMap;

use berth_contract::Result;
use berth_image::{BareList, Image, Reference};

use super::Engine;
use super::images::{deleted, summary, summary_of_list};
use super::in_use::{InUse, LiveContainers};
use crate::api::types::{DeletedImage, ImageSummary};

/// Which images to remove; all wishes must hold.
pub struct PruneWish<'a> {
    /// Images with names too, not just those without.
    pub all: bool,
    /// What the filters say.
    pub chosen: &'a dyn Fn(&ImageSummary) -> bool,
    /// How many images of each repository stay, the newest ones.
    pub keep_last: Option<usize>,
    /// Only images that no container was made from since: nanoseconds since the Unix epoch.
    pub unused_since: Option<u64>,
}

impl std::fmt::Debug for PruneWish<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PruneWish")
            .field("all", &self.all)
            .field("keep_last", &self.keep_last)
            .field("unused_since", &self.unused_since)
            .finish_non_exhaustive()
    }
}

impl PruneWish<'_> {
    /// Whether a list of which no image is here goes; no container is made from one.
    fn takes(&self, list: &BareList) -> bool {
        // Of a list with names nobody can say how new its images are.
        let wished = list.names().is_empty() || self.all && self.keep_last.is_none();
        let recent = self
            .unused_since
            .is_some_and(|since| list.written() > since);
        wished && !recent && (self.chosen)(&summary_of_list(list))
    }
}

/// What `image prune` removed.
#[derive(Debug, Default)]
pub struct PrunedImages {
    /// Names taken away and ids deleted.
    pub deleted: Vec<DeletedImage>,
    /// Bytes set free.
    pub space_reclaimed: u64,
    /// Whether content on its way keeps everything on the disk for now.
    pub held: bool,
}

impl Engine {
    /// Removes the images that no container uses and that are wished away, and what nothing leads to.
    ///
    /// # Errors
    /// The list of images cannot be read. An image that cannot be removed stays, and is no failure.
    pub fn prune_images(&self, wish: &PruneWish<'_>) -> Result<PrunedImages> {
        let store = self.store();
        let containers = InUse::read(self.paths());
        let live = LiveContainers::all_protecting(self.paths());
        let before = self.size_of_images()?;
        let mounted = self.mounted_images();
        let mut pruned = PrunedImages::default();
        let here = store.list()?;
        let images = here.images;
        let newest = newest(&images, wish.keep_last);
        for image in &images {
            let nameless = image.names().is_empty();
            let recent = wish
                .unused_since
                .is_some_and(|since| image.last_used() > since);
            if (nameless || wish.all)
                && !recent
                && !newest.contains(&image.id().as_str())
                && (wish.chosen)(&summary(image, &containers))
                && containers.of(image.id()).is_empty()
                && mounted.iter().all(|(id, _)| id != image.id())
                // Another process may have taken it meanwhile: it stays then.
                && let Ok(removed) = store.unlist_unused(image, &live)
            {
                pruned.deleted.extend(removed.into_iter().map(deleted));
            }
        }
        for list in here.lists.iter().filter(|list| wish.takes(list)) {
            let removed = store.unlist_bare(list)?;
            pruned.deleted.extend(removed.into_iter().map(deleted));
        }
        store.unlist_orphans()?;
        pruned.held = store.is_held()?;
        store.collect(&live)?;
        pruned.space_reclaimed = before.saturating_sub(self.size_of_images()?);
        Ok(pruned)
    }

    fn size_of_images(&self) -> Result<u64> {
        let usage = self.store().usage()?;
        Ok(usage
            .blobs
            .saturating_add(usage.layers)
            .saturating_add(usage.partial))
    }
}

/// The ids of the newest images of each repository; the list is sorted, newest first.
fn newest(images: &[Image], keep: Option<usize>) -> Vec<&str> {
    let Some(keep) = keep else { return Vec::new() };
    let mut kept: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for image in images {
        for name in image.names().iter().map(Reference::name) {
            let ids = kept.entry(name).or_default();
            if ids.len() < keep && !ids.contains(&image.id().as_str()) {
                ids.push(image.id().as_str());
            }
        }
    }
    kept.into_values().flatten().collect()
}
