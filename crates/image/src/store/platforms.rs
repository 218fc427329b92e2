//! Removing what an image has for some platforms, while the rest of it stays.

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;

use super::Store;
use super::remove::{Containers, Removed};
use crate::image::Image;
use crate::platform::Platform;

impl Store {
    /// Removes an image for these platforms; the last one takes the image's names with it.
    ///
    /// # Errors
    /// Class `NotFound` for a platform that is not here; `Conflict` when a container stands against it.
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
        for image in &images {
            refuse_used(image, text, force, containers)?;
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
        self.sweep(containers, super::collect::Partial::Kept)?;
        Ok(removed)
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
