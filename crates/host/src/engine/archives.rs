//! Images out of archives and directories, and into them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use berth_contract::Result;
use berth_image::{
    Conversion, Destination, Image, ImportOptions, LoadOptions, Loaded, Platform, Progress,
    Reference, SaveOptions, Transport,
};
use berth_sys::error::Explain as _;

use super::Engine;

impl Engine {
    /// Loads the images of an archive.
    ///
    /// # Errors
    /// It is no archive of images, or holds content that is not what its digest says.
    pub fn load(
        &self,
        source: impl Read,
        options: &LoadOptions,
        progress: &dyn Progress,
    ) -> Result<Vec<Loaded>> {
        self.require_root("cannot keep an image")?;
        berth_image::load(&self.store(), source, options, progress)
    }

    /// Loads the images of a file or of a directory.
    ///
    /// # Errors
    /// As for [`Engine::load`].
    pub fn load_path(
        &self,
        path: &Path,
        options: &LoadOptions,
        progress: &dyn Progress,
    ) -> Result<Vec<Loaded>> {
        if path.is_dir() {
            self.require_root("cannot keep an image")?;
            return berth_image::load_directory(&self.store(), path, options, progress);
        }
        let file = File::open(path).explain(|| format!("cannot open {}", path.display()))?;
        self.load(file, options, progress)
    }

    /// Loads the one image that `oci:…`, `oci-archive:…`, `docker-archive:…` or `dir:…` means.
    ///
    /// # Errors
    /// As for [`Engine::load`]; class `Invalid` when it holds several and none is chosen.
    pub fn load_transport(
        &self,
        transport: &Transport,
        platforms: Vec<Platform>,
        progress: &dyn Progress,
    ) -> Result<Loaded> {
        self.require_root("cannot keep an image")?;
        berth_image::load_transport(&self.store(), transport, platforms, progress)
    }

    /// Makes an image of a tar of a root file system; its creation time is now unless given.
    ///
    /// # Errors
    /// It is no tar, or a hostile one.
    pub fn import(&self, source: impl Read, mut options: ImportOptions) -> Result<Image> {
        self.require_root("cannot keep an image")?;
        options
            .created
            .get_or_insert_with(|| crate::format::time::rfc3339(berth_sys::clock::realtime()));
        berth_image::import(&self.store(), source, &options)
    }

    /// Writes images to an archive or a directory.
    ///
    /// # Errors
    /// One is not here or damaged, or the destination cannot be written.
    pub fn save(
        &self,
        names: &[String],
        options: &SaveOptions,
        destination: Destination<'_>,
    ) -> Result<()> {
        self.require_root("cannot read the images")?;
        berth_image::save(&self.store(), names, options, destination)
    }

    /// Describes or compresses an image differently and gives the result a name.
    ///
    /// # Errors
    /// There is no such image, or it cannot be described so.
    pub fn convert(&self, source: &str, name: &Reference, conversion: &Conversion) -> Result<()> {
        self.require_root("cannot keep an image")?;
        berth_image::convert(&self.store(), source, name, conversion).map(drop)
    }
}
