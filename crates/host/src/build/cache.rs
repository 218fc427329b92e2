//! What steps came to, so that the same step need not be made again.
//!
//! ```text
//! DATA/build/cache/<key>.json    the layer a step made, and when it was last used
//! DATA/build/mounts/<key>/       cache mounts: data/, about.json, lock
//! DATA/build/files/<key>         digests of a context's files by their inode and times
//! ```
//!
//! A key is the digest of everything the step depends on: the layers below by their digests, the whole
//! config, the instruction with its variables expanded, the content and attributes of the files it reads
//! (CVE-2024-24557). Times are no part of it, and of a secret only its name.

use std::fs;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_image::{Assembly, Layer, Store};
use berth_sys::clock;
use berth_sys::error::Explain as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Makes a key out of parts, none of which can be mistaken for two.
#[derive(Debug, Clone)]
pub(super) struct Key(Sha256);

impl Key {
    pub(super) fn new(kind: &str) -> Self {
        let mut key = Self(Sha256::new());
        key.text("berth 1");
        key.text(kind);
        key
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    /// The layers below, by what they hold.
    pub(super) fn layers(&mut self, layers: &[Layer]) {
        self.number(layers.len() as u64);
        for layer in layers {
            self.text(layer.diff_id.as_str());
        }
    }

    pub(super) fn document(&mut self, document: &impl Serialize) {
        // These types cannot fail to become JSON.
        self.bytes(&serde_json::to_vec(document).unwrap_or_default());
    }

    pub(super) fn finish(self) -> Digest {
        Digest::sha256(self.0.finalize().into())
    }
}

/// What a step came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CachedStep {
    /// The digest of everything it depended on.
    pub key: Digest,
    /// Its layer's blob and diff id.
    layer: CachedLayer,
    /// The diff ids of the layers below.
    below: Vec<Digest>,
    /// What it did, for listings; empty when a secret may be in it.
    pub about: String,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// When it was made and last used: nanoseconds since the epoch.
    pub made: u64,
    /// When it was last used.
    pub used: u64,
    /// Bytes of its archive.
    pub size: u64,
    /// What later times became in its archive.
    latest: Option<i64>,
    /// Whether it copies out of a stage that the key tells by name, and not by the files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) by_name: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CachedLayer {
    descriptor: berth_image::Descriptor,
    diff_id: Digest,
}

impl CachedStep {
    /// What a step came to: the topmost of these layers.
    pub(super) fn new(
        key: Digest,
        stack: &[Layer],
        (about, created): (&str, Option<String>),
        latest: Option<i64>,
    ) -> Option<Self> {
        let (layer, below) = stack.split_last()?;
        let now = clock::realtime();
        Some(Self {
            key,
            layer: CachedLayer {
                descriptor: layer.descriptor.clone(),
                diff_id: layer.diff_id.clone(),
            },
            below: below.iter().map(|layer| layer.diff_id.clone()).collect(),
            about: about.to_owned(),
            created,
            made: now,
            used: now,
            size: layer.descriptor.size,
            latest,
            by_name: false,
        })
    }

    /// The layer.
    #[must_use]
    pub fn layer(&self) -> Layer {
        Layer {
            descriptor: self.layer.descriptor.clone(),
            diff_id: self.layer.diff_id.clone(),
        }
    }

    /// Whether only the layer's name is known.
    pub(super) fn is_left_out(&self) -> bool {
        self.layer.descriptor.media_type.is_empty()
    }

    /// The layer and those below it, which have to stay for it to be of use.
    pub(super) fn stack(&self) -> Vec<Layer> {
        let below = self.below.iter().map(|diff_id| Layer {
            descriptor: berth_image::Descriptor::new("", diff_id.clone(), 0),
            diff_id: diff_id.clone(),
        });
        below.chain([self.layer()]).collect()
    }
}

/// The cache of a data directory.
#[derive(Debug, Clone)]
pub struct BuildCache {
    directory: PathBuf,
}

impl BuildCache {
    /// The cache beneath a data directory; nothing is made yet.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self {
            directory: data.join("build"),
        }
    }

    /// Where cache mounts are.
    #[must_use]
    pub fn mounts(&self) -> PathBuf {
        self.directory.join("mounts")
    }

    /// Where digests of files are kept.
    pub(super) fn files(&self) -> PathBuf {
        self.directory.join("files")
    }

    fn steps(&self) -> PathBuf {
        self.directory.join("cache")
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.steps().join(format!("{}.json", key.hex()))
    }

    /// What a step came to, if that is still here.
    pub(super) fn find(
        &self,
        key: &Digest,
        store: &Store,
        assembly: &Assembly,
    ) -> Option<CachedStep> {
        let bytes = fs::read(self.path(key)).ok()?;
        let mut step: CachedStep = serde_json::from_slice(&bytes).ok()?;
        let is_here = !step.is_left_out() && store.extracted(&step.stack()).is_some();
        if step.key != *key || !is_here {
            return None;
        }
        if !assembly
            .restore(&step.stack(), step.latest)
            .unwrap_or(false)
        {
            return None;
        }
        // Only listings and pruning look at it: once a minute is often enough.
        let now = clock::realtime();
        if now.saturating_sub(step.used) > 60_000_000_000 {
            step.used = now;
            self.write(&step).ok();
        }
        Some(step)
    }

    /// What a step came to of which only the layer's name is known.
    pub(super) fn left_out(&self, key: &Digest) -> Option<Layer> {
        let bytes = fs::read(self.path(key)).ok()?;
        let step: CachedStep = serde_json::from_slice(&bytes).ok()?;
        (step.key == *key && step.is_left_out()).then(|| step.layer())
    }

    /// Keeps what a step came to.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub(super) fn write(&self, step: &CachedStep) -> Result<()> {
        let path = self.path(&step.key);
        let cannot = || format!("cannot write {}", path.display());
        let bytes = serde_json::to_vec(step)
            .map_err(|error| Error::new(Class::Internal, cannot()).caused_by(error))?;
        make_private(&self.steps())?;
        let aside = self.steps().join(berth_sys::file::unique_name("."));
        fs::write(&aside, bytes)
            .and_then(|()| fs::rename(&aside, &path))
            .explain(cannot)
    }

    /// Every step that is kept.
    #[must_use]
    pub fn list(&self) -> Vec<CachedStep> {
        let entries = fs::read_dir(self.steps()).into_iter().flatten().flatten();
        entries
            .filter(|entry| {
                entry
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "json")
            })
            .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
            .collect()
    }

    /// Forgets a step; its layer is garbage then, unless an image has it.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn forget(&self, step: &CachedStep) -> Result<()> {
        let path = self.path(&step.key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).explain(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// The directories of all layers that steps need.
    ///
    /// # Errors
    /// The cache cannot be read; a step that is damaged needs nothing.
    pub fn layers(&self, store: &Store) -> Result<Vec<PathBuf>> {
        let mut layers = Vec::new();
        let entries = match fs::read_dir(self.steps()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(layers),
            entries => entries.explain(|| "cannot list the cache of builds".to_owned())?,
        };
        for entry in entries {
            let path = entry
                .explain(|| "cannot list the cache of builds".to_owned())?
                .path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes = match fs::read(&path) {
                // Forgotten meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                bytes => bytes.explain(|| format!("cannot read {}", path.display()))?,
            };
            let step: Option<CachedStep> = serde_json::from_slice(&bytes).ok();
            layers.extend(
                step.and_then(|step| store.extracted(&step.stack()))
                    .into_iter()
                    .flatten(),
            );
        }
        Ok(layers)
    }
}

/// Makes a directory nobody else can enter.
pub(super) fn make_private(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .recursive(true)
        .create(path)
        .explain(|| format!("cannot make {}", path.display()))
}
