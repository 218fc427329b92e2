//! One image of the store, as data.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use berth_contract::{Digest, ImageFacts, ProgramKind, Result};
use berth_sys::error::Explain as _;

use crate::artifact::Content;
use crate::documents::{Configuration, Descriptor, Manifest, media};
use crate::merged::Merged;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Store, chain_ids, layer_size};

/// One image of the store for one platform.
#[derive(Debug, Clone)]
pub struct Image {
    store: Store,
    target: Digest,
    digest: Digest,
    platform: Platform,
    manifest: Manifest,
    config: Configuration,
    names: Names,
}

/// What an image is called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) tags: Vec<Reference>,
    pub(crate) digests: Vec<Reference>,
}

impl Image {
    pub(crate) fn new(
        store: &Store,
        found: crate::store::Found,
        config: Configuration,
        names: Names,
    ) -> Self {
        // A config without a platform (old wasm tools) takes it from the index, else from what it holds.
        let platform = match config.platform().or(found.platform) {
            Some(platform) => platform,
            None if found
                .manifest
                .layers
                .iter()
                .any(|layer| media::is_module(&layer.media_type)) =>
            {
                Platform::new("wasi", "wasm")
            }
            None => Platform::host(),
        };
        Self {
            store: store.clone(),
            target: found.target.digest,
            digest: found.digest,
            platform,
            manifest: found.manifest,
            config,
            names,
        }
    }

    /// The image's id: the digest of its config.
    #[must_use]
    pub fn id(&self) -> &Digest {
        &self.manifest.config.digest
    }

    /// The digest of its manifest.
    #[must_use]
    pub fn manifest_digest(&self) -> &Digest {
        &self.digest
    }

    /// The digest its names lead to: an index, or the manifest itself.
    #[must_use]
    pub fn target(&self) -> &Digest {
        &self.target
    }

    /// What its manifest is called in an index.
    ///
    /// # Errors
    /// The manifest is not there any more.
    pub(crate) fn descriptor(&self) -> Result<Descriptor> {
        let path = self.store.blob_path(&self.digest);
        let length = std::fs::metadata(&path).map(|metadata| metadata.len());
        let length = length.explain(|| format!("cannot read {}", path.display()))?;
        let mut descriptor =
            Descriptor::new(self.manifest.media_type(), self.digest.clone(), length);
        descriptor.platform = Some(self.platform.clone());
        Ok(descriptor)
    }

    /// The same image under another manifest, which describes the same layers differently.
    pub(crate) fn described_by(self, digest: Digest, manifest: Manifest) -> Self {
        Self {
            target: digest.clone(),
            digest,
            manifest,
            ..self
        }
    }

    /// Its layers that are archives, with their diff ids, bottom first.
    pub(crate) fn archives(&self) -> Vec<(&Descriptor, Digest)> {
        self.content().archives
    }

    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its names with tags.
    #[must_use]
    pub fn names(&self) -> &[Reference] {
        &self.names.tags
    }

    /// Its names with digests.
    #[must_use]
    pub fn digests(&self) -> &[Reference] {
        &self.names.digests
    }

    /// Its config.
    #[must_use]
    pub fn config(&self) -> &Configuration {
        &self.config
    }

    /// The media type of its config.
    #[must_use]
    pub fn config_media_type(&self) -> &str {
        &self.manifest.config.media_type
    }

    /// Its manifest's annotations.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.manifest.annotations
    }

    /// What it runs on.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// When it was made, RFC 3339; empty if it does not say.
    #[must_use]
    pub fn created(&self) -> &str {
        self.config.created.as_deref().unwrap_or_default()
    }

    /// When a container was last made from it, or else when it came here: nanoseconds since the Unix
    /// epoch, kept as the time of its config's file.
    #[must_use]
    pub fn last_used(&self) -> u64 {
        let time = std::fs::metadata(self.store.blob_path(self.id()))
            .and_then(|metadata| metadata.modified());
        let since = time.map(|time| time.duration_since(std::time::UNIX_EPOCH));
        let nanoseconds = since.map(|since| since.unwrap_or_default().as_nanos());
        u64::try_from(nanoseconds.unwrap_or(0)).unwrap_or(u64::MAX)
    }

    /// Notes that a container is made from it.
    pub fn mark_used(&self) {
        // It only orders what `prune` may remove; a store that cannot be written fails elsewhere.
        let file = File::options()
            .append(true)
            .open(self.store.blob_path(self.id()));
        let now = std::time::Duration::from_nanos(berth_sys::clock::realtime());
        if let Ok(file) = file {
            drop(file.set_modified(std::time::UNIX_EPOCH + now));
        }
    }

    /// What its layers hold.
    fn content(&self) -> Content<'_> {
        Content::of(&self.manifest, &self.config)
    }

    /// The extracted layers, topmost first, never empty: what overlayfs takes as lower directories.
    #[must_use]
    pub fn layers(&self) -> Vec<PathBuf> {
        let diff_ids: Vec<Digest> = self
            .content()
            .archives
            .into_iter()
            .map(|(_, diff)| diff)
            .collect();
        let mut layers: Vec<PathBuf> = chain_ids(&diff_ids)
            .iter()
            .map(|chain| self.store.layer_path(chain))
            .collect();
        layers.reverse();
        if layers.is_empty() {
            layers.push(self.store.empty_layer());
        }
        layers
    }

    /// A layer without files.
    #[must_use]
    pub fn empty_layer(&self) -> PathBuf {
        self.store.empty_layer()
    }

    /// Bytes of its config and its layers as received.
    #[must_use]
    pub fn content_size(&self) -> u64 {
        let layers = self.manifest.layers.iter().map(|layer| layer.size);
        layers.fold(self.manifest.config.size, u64::saturating_add)
    }

    /// Unpacks the layers that are here only as they were received: pushed to `serve registry`, or
    /// fetched for others.
    ///
    /// # Errors
    /// A layer is missing or damaged.
    pub fn ensure_unpacked(&self) -> Result<()> {
        crate::layer::unpack_missing(&self.store, &self.content())
    }

    /// The wasm module that is this image's program, where it lies; `None` for images of files.
    #[must_use]
    pub fn module(&self) -> Option<PathBuf> {
        self.content()
            .module
            .map(|module| self.store.blob_path(&module.digest))
    }

    /// The digest of that module.
    #[must_use]
    pub fn module_digest(&self) -> Option<&Digest> {
        self.content().module.map(|module| &module.digest)
    }

    /// Why this image cannot be run although it is here: several modules, a Spin application, an
    /// interface package.
    ///
    /// # Errors
    /// Class `Unsupported`, with what to do instead.
    pub fn check_runnable(&self) -> Result<()> {
        crate::artifact::check(self)
    }

    /// The layers' descriptors, bottom first.
    #[must_use]
    pub fn blobs(&self) -> &[Descriptor] {
        &self.manifest.layers
    }

    /// Bytes of the files in its layers and of its module; of what was never unpacked, those that were received.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layer_sizes().into_iter().fold(0, u64::saturating_add)
    }

    /// Bytes of each layer, bottom first: those of its files; of a module, and of what was never unpacked, those
    /// that were received.
    #[must_use]
    pub fn layer_sizes(&self) -> Vec<u64> {
        let mut unpacked = self.layers().into_iter().rev();
        let size = |layer: &Descriptor| {
            let archive = media::is_archive(&layer.media_type);
            let place = archive.then(|| unpacked.next()).flatten();
            let place = place.filter(|place| place.is_dir());
            place.map_or(layer.size, |place| layer_size(&place))
        };
        self.manifest.layers.iter().map(size).collect()
    }

    /// Its files as its containers will see them, without mounting anything.
    ///
    /// # Errors
    /// A layer is missing.
    pub fn files(&self) -> Result<Merged> {
        Merged::open(&self.layers())
    }

    /// The first 256 bytes of a file of the image, symbolic links resolved within it; `None` if no
    /// regular file is there.
    ///
    /// # Errors
    /// A layer is missing or cannot be read.
    pub fn read_head(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        self.files()?.read_head(path)
    }

    /// A file of the image, opened for reading; `None` if no regular file is there.
    ///
    /// # Errors
    /// A layer is missing or cannot be read.
    pub fn open_file(&self, path: &Path) -> Result<Option<File>> {
        self.files()?.open_file(path)
    }

    /// What dispatch looks at; what the program is has to be found out by the caller, who knows the
    /// command line.
    #[must_use]
    pub fn facts(&self, program: Option<ProgramKind>) -> ImageFacts {
        ImageFacts {
            config_media_type: self.config_media_type().to_owned(),
            os: self.platform.os.clone(),
            architecture: self.platform.architecture.clone(),
            annotations: self.manifest.annotations.clone(),
            program,
        }
    }
}
