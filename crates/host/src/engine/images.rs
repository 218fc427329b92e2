//! The operations on images: the store's, in the words of the Engine API, with the containers that keep
//! images from being removed.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

use berth_contract::{Class, Error, Result};
use berth_image::{BareList, Image, Named, Platform, Reference, Removed, Store};
use jiff::Timestamp;

use super::Engine;
use super::in_use::{InUse, LiveContainers};
use crate::api::types::{
    DeletedImage, GraphDriver, HistoryEntry, ImageConfig, ImageInspect, ImageSummary, RootFs,
};

/// The images on this machine, and what could not be read.
#[derive(Debug, Default)]
pub struct ImageListing {
    /// The images, newest first; one per platform that is here.
    pub images: Vec<ImageSummary>,
    /// One failure for each damaged image.
    pub damaged: Vec<Error>,
}

impl Engine {
    /// The images on this machine.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::open(self.paths().data())
    }

    /// The same, for whoever will change them.
    ///
    /// # Errors
    /// The user is not root.
    pub fn writable_store(&self) -> Result<Store> {
        self.require_root("cannot change the images")?;
        Ok(self.store())
    }

    /// The ids of the images that containers were made from.
    #[must_use]
    pub fn images_in_use(&self) -> std::collections::BTreeSet<String> {
        InUse::read(self.paths()).images().collect()
    }

    /// Every image, newest first.
    ///
    /// # Errors
    /// The list of images cannot be read.
    pub fn images(&self) -> Result<ImageListing> {
        let listing = self.store().list()?;
        let containers = InUse::read(self.paths());
        let own = |image: &Image| summary(image, &containers);
        let mut images: Vec<ImageSummary> = listing.images.iter().map(own).collect();
        images.extend(listing.lists.iter().map(summary_of_list));
        // Images whose time is the same stay in the order they had.
        images.sort_by_key(|image| Reverse(image.created_nanoseconds));
        Ok(ImageListing {
            images,
            damaged: listing.damaged,
        })
    }

    /// Everything about one image.
    ///
    /// # Errors
    /// There is no such image, or it is not here for that platform.
    pub fn image(&self, name: &str, platform: Option<&str>) -> Result<ImageInspect> {
        match platform {
            Some(_) => inspect(&self.find_image(name, platform)?),
            None => match self.store().find_named(name)? {
                Named::Image(image) => inspect(&image),
                Named::List(list) => Ok(inspect_list(&list)),
            },
        }
    }

    /// An image by name, id or beginning of an id.
    ///
    /// # Errors
    /// As for [`Engine::image`].
    pub fn find_image(&self, name: &str, platform: Option<&str>) -> Result<Image> {
        let platform = platform.map(str::parse::<Platform>).transpose()?;
        self.store().find(name, platform.as_ref())
    }

    /// How an image was made, newest step first.
    ///
    /// # Errors
    /// There is no such image.
    pub fn history(&self, name: &str, platform: Option<&str>) -> Result<Vec<HistoryEntry>> {
        let image = self.find_image(name, platform)?;
        let steps = &image.config().history;
        let mut sizes = image.layer_sizes().into_iter();
        let mut entries: Vec<HistoryEntry> = steps
            .iter()
            .map(|step| HistoryEntry {
                id: "<missing>".to_owned(),
                created: seconds(step.created.as_deref().unwrap_or_default()),
                created_by: step.created_by.clone().unwrap_or_default(),
                tags: None,
                size: if step.empty_layer {
                    0
                } else {
                    signed(sizes.next().unwrap_or(0))
                },
                comment: step.comment.clone().unwrap_or_default(),
            })
            .collect();
        // Layers that no step tells of (images made without a history).
        entries.extend(sizes.map(|size| HistoryEntry {
            id: "<missing>".to_owned(),
            created: seconds(image.created()),
            size: signed(size),
            ..HistoryEntry::default()
        }));
        entries.reverse();
        if let Some(newest) = entries.first_mut() {
            newest.id = image.id().to_string();
            newest.tags = Some(image.names().iter().map(Reference::familiar).collect());
        }
        Ok(entries)
    }

    /// Gives an image a further name.
    ///
    /// # Errors
    /// There is no such image, or the name is no reference.
    pub fn tag(&self, name: &str, target: &Reference) -> Result<()> {
        let store = self.store();
        store.tag(store.find_named(name)?.target(), target)
    }

    /// Takes names of an image away, or all that it has, and deletes nothing.
    ///
    /// # Errors
    /// There is no such image, or a name is not its own.
    pub fn untag(&self, image: &str, names: &[Reference]) -> Result<()> {
        let store = self.store();
        let own = store.names_meant(image)?;
        if let Some(foreign) = names.iter().find(|name| !own.contains(name)) {
            let message = format!("the image {image} has no name {}", foreign.familiar());
            return Err(Error::new(Class::NotFound, message));
        }
        let names = match names {
            [] => own.as_slice(),
            names => names,
        };
        names.iter().try_for_each(|name| store.untag(name))
    }

    /// Removes a name of an image, and the image itself with its last name; with platforms, only what it
    /// has for these.
    ///
    /// # Errors
    /// There is no such image, or containers or further names stand against it.
    pub fn remove_image(
        &self,
        name: &str,
        platforms: &[Platform],
        force: bool,
    ) -> Result<Vec<DeletedImage>> {
        let (store, containers) = (self.store(), LiveContainers::new(self.paths()));
        if !self.mounted_images().is_empty()
            && let Named::Image(image) = store.find_named(name)?
        {
            self.refuse_mounted(&image)?;
        }
        let removed = match platforms {
            [] => store.unlist(name, force, &containers)?,
            _ => store.remove_platforms(name, platforms, force, &containers)?,
        };
        Ok(removed.into_iter().map(deleted).collect())
    }

    /// Puts what removed images leave behind into the trash, and has it deleted in the background.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn tidy_images(&self) -> Result<()> {
        self.store().tidy(&LiveContainers::new(self.paths()))?;
        self.empty_trash_later();
        Ok(())
    }
}

pub(super) fn deleted(removed: Removed) -> DeletedImage {
    match removed {
        Removed::Untagged(name) => DeletedImage {
            untagged: name,
            ..DeletedImage::default()
        },
        Removed::Deleted(id) => DeletedImage {
            deleted: id.to_string(),
            ..DeletedImage::default()
        },
    }
}

pub(super) fn summary(image: &Image, containers: &InUse) -> ImageSummary {
    ImageSummary {
        id: image.id().to_string(),
        parent_id: String::new(),
        repo_tags: familiar(image.names()),
        repo_digests: familiar(image.digests()),
        created: seconds(image.created()),
        created_nanoseconds: nanoseconds(image.created()),
        size: signed(image.size()),
        shared_size: -1,
        labels: image.config().config.labels.clone(),
        containers: i64::try_from(containers.of(image.id()).len()).unwrap_or(i64::MAX),
        platform: image.platform().to_string(),
        is_listed: image.target() != image.manifest_digest(),
    }
}

/// What is told about a list of which no image is here.
pub(super) fn summary_of_list(list: &BareList) -> ImageSummary {
    let written = i64::try_from(list.written()).unwrap_or(i64::MAX);
    ImageSummary {
        id: list.digest().to_string(),
        repo_tags: familiar(list.names()),
        repo_digests: familiar(list.digests()),
        created: written / 1_000_000_000,
        created_nanoseconds: written,
        size: signed(list.size()),
        shared_size: -1,
        is_listed: true,
        ..ImageSummary::default()
    }
}

fn inspect_list(list: &BareList) -> ImageInspect {
    ImageInspect {
        id: list.digest().to_string(),
        repo_tags: familiar(list.names()),
        repo_digests: familiar(list.digests()),
        created: crate::format::time::rfc3339(list.written()),
        size: signed(list.size()),
        manifest_digest: list.digest().to_string(),
        ..ImageInspect::default()
    }
}

fn familiar(names: &[Reference]) -> Vec<String> {
    names.iter().map(Reference::familiar).collect()
}

fn inspect(image: &Image) -> Result<ImageInspect> {
    let config = image.config();
    let run: ImageConfig = serde_json::to_value(&config.config)
        .and_then(serde_json::from_value)
        .map_err(|error| {
            Error::new(Class::Internal, "cannot read the image's config").caused_by(error)
        })?;
    let platform = image.platform();
    Ok(ImageInspect {
        id: image.id().to_string(),
        repo_tags: familiar(image.names()),
        repo_digests: familiar(image.digests()),
        comment: config.comment.clone().unwrap_or_default(),
        created: image.created().to_owned(),
        author: config.author.clone().unwrap_or_default(),
        config: run,
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        os: platform.os.clone(),
        size: signed(image.size()),
        graph_driver: graph(&image.layers()),
        root_fs: RootFs {
            kind: config.rootfs.kind.clone(),
            layers: config
                .rootfs
                .diff_ids
                .iter()
                .map(ToString::to_string)
                .collect(),
        },
        config_media_type: image.config_media_type().to_owned(),
        manifest_digest: image.manifest_digest().to_string(),
        annotations: image.annotations().clone(),
        ..ImageInspect::default()
    })
}

/// Where an image's layers lie, topmost first.
fn graph(layers: &[PathBuf]) -> GraphDriver {
    let mut data = BTreeMap::new();
    let path = |layer: &PathBuf| layer.display().to_string();
    if let Some((upper, lowers)) = layers.split_first() {
        data.insert("UpperDir".to_owned(), path(upper));
        if !lowers.is_empty() {
            let lowers: Vec<_> = lowers.iter().map(path).collect();
            data.insert("LowerDir".to_owned(), lowers.join(":"));
        }
    }
    GraphDriver {
        name: "overlay2".to_owned(),
        data,
    }
}

fn seconds(time: &str) -> i64 {
    time.parse::<Timestamp>().map_or(0, Timestamp::as_second)
}

fn nanoseconds(time: &str) -> i64 {
    let time = time
        .parse::<Timestamp>()
        .map_or(0, Timestamp::as_nanosecond);
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
