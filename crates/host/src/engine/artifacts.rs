//! The operations on artifacts: files that registries keep, and that need be no image.

use std::path::{Path, PathBuf};

use berth_contract::{Digest, Result};
use berth_image::{
    Artifact, ArtifactFile, ArtifactListing, ArtifactWish, Progress, PullOptions, Reference,
};

use super::Engine;
use super::in_use::LiveContainers;

impl Engine {
    /// The artifacts on this machine.
    ///
    /// # Errors
    /// The list of what is here cannot be read.
    pub fn artifacts(&self) -> Result<ArtifactListing> {
        self.store().artifacts()
    }

    /// An artifact by name, digest, or beginning of a digest.
    ///
    /// # Errors
    /// There is none.
    pub fn artifact(&self, name: &str) -> Result<Artifact> {
        self.store().find_artifact(name)
    }

    /// Makes an artifact of files, or adds them to one.
    ///
    /// # Errors
    /// A file cannot be read, or the name is taken.
    pub fn add_artifact(
        &self,
        name: &Reference,
        files: &[PathBuf],
        wish: ArtifactWish,
    ) -> Result<Digest> {
        let created = crate::format::time::rfc3339(berth_sys::clock::realtime());
        let wish = ArtifactWish { created, ..wish };
        let digest = self.writable_store()?.add_artifact(name, files, &wish)?;
        if wish.replace || wish.append {
            // The manifest that had the name before may have had no other.
            self.tidy_images()?;
        }
        Ok(digest)
    }

    /// Copies files of an artifact out.
    ///
    /// # Errors
    /// It has no such file, or the target cannot be written.
    pub fn extract_artifact(
        &self,
        name: &str,
        which: ArtifactFile<'_>,
        target: &Path,
    ) -> Result<()> {
        let store = self.store();
        store.extract_artifact(&store.find_artifact(name)?, which, target)
    }

    /// Removes an artifact, or one of its names; [`Engine::tidy_images`] takes away what that leaves.
    ///
    /// # Errors
    /// There is none, or containers of a wasm artifact stand against it.
    pub fn remove_artifact(&self, name: &str, force: bool) -> Result<Digest> {
        let containers = LiveContainers::new(self.paths());
        let store = self.writable_store()?;
        if !self.mounted_images().is_empty()
            && let Ok(image) = store.find(name, None)
        {
            self.refuse_mounted(&image)?;
        }
        store.unlist_artifact(name, force, &containers)
    }

    /// Fetches an artifact.
    ///
    /// # Errors
    /// The registry does not answer, does not have it, or has an image of that name.
    pub fn pull_artifact(
        &self,
        reference: &Reference,
        options: &PullOptions,
        progress: &dyn Progress,
    ) -> Result<Digest> {
        self.require_root("cannot keep an artifact")?;
        berth_image::pull_artifact(&self.store(), reference, options, progress)
    }
}
