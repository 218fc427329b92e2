//! What of the images the containers and the cache of builds use.

use std::path::PathBuf;

use berth_contract::{ContainerId, Digest, Error, Result, Rootfs};
use berth_image::{Containers, Store, Use};
use berth_monitor::launch::Launch;
use berth_monitor::status::LOCK_FILE;
use berth_sys::error::io_cause;

use crate::build::BuildCache;
use crate::paths::Paths;
use crate::records::{self, Record};

/// What the containers use, as it was at one moment: good enough to be shown.
#[derive(Debug, Default)]
pub(super) struct InUse {
    images: Vec<(String, ContainerId, bool)>,
    layers: Vec<PathBuf>,
    /// Why there may be more than is known.
    unknown: Option<Error>,
}

impl InUse {
    /// Reads all containers. One whose record is damaged still protects the layers its launch file names.
    pub(super) fn read(paths: &Paths) -> Self {
        let mut used = Self::default();
        match records::identifiers(paths) {
            Ok(ids) => {
                for id in ids {
                    if let Err(error) = used.add(paths, id) {
                        used.unknown = Some(error);
                    }
                }
            }
            Err(error) => used.unknown = Some(error),
        }
        used
    }

    /// Fails where it cannot be told what a container uses.
    pub(super) fn told(paths: &Paths, id: &ContainerId) -> Result<()> {
        Self::default().add(paths, id.clone())
    }

    fn add(&mut self, paths: &Paths, id: ContainerId) -> Result<()> {
        let directory = paths.container(&id);
        let launch: Result<Option<Launch>> = records::read_document(&Launch::path(&directory));
        let record = Record::read(&directory);
        let mut known = false;
        if let Ok(Some(launch)) = &launch {
            known = true;
            if let Rootfs::Overlay { lowers, .. } = &launch.rootfs {
                self.layers.extend(lowers.iter().cloned());
            }
        }
        if let Ok(Some(record)) = &record {
            known = true;
            self.layers.extend(record.layers.iter().cloned());
            let running = is_running(paths, &id);
            self.images.push((record.image_id.clone(), id, running));
        }
        // What is not here was never written or is being removed; what is damaged is no matter as long as
        // the other file tells the layers.
        for error in [launch.err(), record.err()].into_iter().flatten() {
            if !known || io_cause(&error).is_some() {
                return Err(error);
            }
        }
        Ok(())
    }

    /// The layers that containers stand on.
    pub(super) fn layers(&self) -> &[PathBuf] {
        &self.layers
    }

    /// The ids of the images that containers were made from.
    pub(super) fn images(self) -> impl Iterator<Item = String> {
        self.images.into_iter().map(|(image, _, _)| image)
    }

    /// The containers made from an image: their ids and whether they run.
    pub(super) fn of(&self, image: &Digest) -> Vec<(&ContainerId, bool)> {
        let image = image.to_string();
        let made = self.images.iter().filter(|(own, _, _)| *own == image);
        made.map(|(_, id, running)| (id, *running)).collect()
    }
}

/// The containers as they are whenever the store asks: before anything is removed it does so beneath its
/// locks, and anything that cannot be read is a reason to remove nothing.
#[derive(Debug)]
pub(super) struct LiveContainers<'a> {
    paths: &'a Paths,
    /// Whether a container that does not run protects its image as well as one that does.
    all_protect: bool,
}

impl<'a> LiveContainers<'a> {
    pub(super) fn new(paths: &'a Paths) -> Self {
        Self {
            paths,
            all_protect: false,
        }
    }

    /// The same, for whoever may not remove the image of any container.
    pub(super) fn all_protecting(paths: &'a Paths) -> Self {
        Self {
            paths,
            all_protect: true,
        }
    }

    fn read(&self) -> Result<InUse> {
        let mut used = InUse::read(self.paths);
        match used.unknown.take() {
            None => Ok(used),
            Some(error) => {
                let error = error.context("cannot tell which images the containers use");
                Err(error.hint("berth system check --repair"))
            }
        }
    }
}

impl Containers for LiveContainers<'_> {
    fn using(&self, image: &Digest) -> Result<Vec<Use>> {
        let used = self.read()?;
        let uses = used.of(image).into_iter();
        Ok(uses
            .map(|(id, running)| Use {
                container: id.short().to_owned(),
                running: running || self.all_protect,
            })
            .collect())
    }

    fn layers(&self) -> Result<Vec<PathBuf>> {
        let mut layers = self.read()?.layers;
        let cache = BuildCache::new(self.paths.data());
        layers.extend(cache.layers(&Store::open(self.paths.data()))?);
        Ok(layers)
    }
}

/// Whether the container's monitor lives, which is to say: holds its lock.
fn is_running(paths: &Paths, id: &ContainerId) -> bool {
    let lock = std::fs::File::open(paths.running(id).join(LOCK_FILE));
    lock.is_ok_and(|lock| berth_sys::lock::is_held(&lock).unwrap_or(false))
}
