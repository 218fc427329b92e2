//! Removing what an image has for some platforms, while the rest of it stays.

use std::fs::File;
use std::time::Duration;

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;

use super::Store;
use super::index::name_of;
use super::remove::{Containers, Removed};
use crate::image::Image;
use crate::platform::Platform;

/// So long is waited for being alone with the images.
const PATIENCE: Duration = Duration::from_secs(1);

impl Store {
    /// Removes an image for these platforms; the last one takes the image's names with it.
    ///
    /// # Errors
    /// Class `NotFound` for a platform that is not here; `Conflict` when a container or another image stands
    /// against it, or somebody is at work with images.
    pub fn remove_platforms(
        &self,
        text: &str,
        platforms: &[Platform],
        force: bool,
        containers: &dyn Containers,
    ) -> Result<Vec<Removed>> {
        let mut images: Vec<Image> = Vec::new();
        for platform in platforms {
            let image = self.find(text, Some(platform))?;
            if images.iter().all(|known| known.id() != image.id()) {
                images.push(image);
            }
        }
        let index = self.index()?;
        let mut others = Vec::new();
        for entry in &index.manifests {
            if images
                .first()
                .is_some_and(|image| *image.target() == entry.digest)
            {
                others = self.images_of(&index, entry)?;
            }
        }
        let goes = |other: &Image| images.iter().any(|image| image.id() == other.id());
        if others.iter().all(goes) {
            return self.remove(text, force, containers);
        }
        let lock = self.alone(text)?;
        for image in &images {
            refuse_used(image, text, force, containers)?;
            self.refuse_shared(image, text)?;
        }
        let trash = self.directory("trash")?;
        let mut removed = Vec::new();
        for image in images {
            let digest = image.manifest_digest();
            let blobs = self.directory(&format!("oci/blobs/{}", digest.algorithm()))?;
            let grave = berth_sys::file::unique_name("");
            // Without its manifest nothing leads to the config and the layers any more.
            blobs
                .rename(digest.hex().as_ref(), &trash, &grave)
                .explain(|| format!("cannot remove {} of {text}", image.platform()))?;
            removed.push(Removed::Deleted(image.id().clone()));
        }
        drop(lock);
        self.sweep(containers, super::collect::Partial::Kept)?;
        Ok(removed)
    }

    /// Waits until nobody is at work, who might rely on a manifest that was here before; not for hours, which
    /// whoever pulls, builds or serves may take.
    fn alone(&self, text: &str) -> Result<File> {
        let lock = self.lock_file("images.lock")?;
        let (sender, locked) = std::sync::mpsc::channel();
        // The system's lock has no time limit. Whoever gets it too late lets go of it.
        std::thread::spawn(move || sender.send(lock.lock().map(|()| lock)));
        match locked.recv_timeout(PATIENCE) {
            Ok(lock) => lock.explain(|| "cannot lock the image store".into()),
            Err(_timeout) => Err(Error::new(
                Class::Conflict,
                format!("cannot remove a part of image {text} now"),
            )
            .caused_by("images are being added or used at this moment")
            .hint("try again once that is done")),
        }
    }

    /// Refuses to take away what another image consists of as well: of a list that was made here, for one.
    fn refuse_shared(&self, image: &Image, text: &str) -> Result<()> {
        let index = self.index()?;
        for entry in &index.manifests {
            if entry.digest != *image.target() && self.leads_to(entry, image.manifest_digest())? {
                let name = name_of(entry)
                    .map_or_else(|| entry.digest.short().to_owned(), |name| name.familiar());
                let what = format!("cannot remove {} of image {text}", image.platform());
                return Err(Error::new(Class::Conflict, what)
                    .caused_by(format!("{name} is that image too"))
                    .hint(format!("berth rmi {name}")));
            }
        }
        Ok(())
    }
}

fn refuse_used(image: &Image, text: &str, force: bool, containers: &dyn Containers) -> Result<()> {
    let uses = containers.using(image.id())?;
    let Some(user) = uses.iter().find(|user| user.running || !force) else {
        return Ok(());
    };
    let what = format!("cannot remove {} of image {text}", image.platform());
    let state = if user.running {
        "is running"
    } else {
        "was made from"
    };
    Err(Error::new(Class::Conflict, what)
        .caused_by(format!("container {} {state} it", user.container))
        .hint(format!("berth rm -f {}", user.container)))
}
