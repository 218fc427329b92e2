//! Cache mounts by their names, for those who want their files elsewhere.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use serde::{Deserialize, Serialize};

use super::cache::BuildCache;
use crate::engine::Engine;

/// What is remembered of a cache mount beside its files.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct About {
    /// What the Dockerfile calls it: its id, or its target.
    pub(super) id: String,
    /// When it was last used: nanoseconds since the epoch.
    pub(super) used: u64,
}

impl About {
    /// Of the mount that lies there, unless it is damaged.
    pub(super) fn read(place: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(place.join("about.json")).ok()?).ok()
    }

    pub(super) fn write(&self, place: &Path) -> Result<()> {
        let written = File::create(place.join("about.json"))
            .and_then(|file| Ok(serde_json::to_writer(file, self)?));
        written.explain(|| "cannot describe a cache mount".into())
    }
}

/// A cache mount that no build uses, and none until this is dropped.
#[derive(Debug)]
pub struct CacheMount {
    files: PathBuf,
    _lock: File,
}

impl CacheMount {
    /// Writes its files as a tar.
    ///
    /// # Errors
    /// They cannot be read, or `sink` takes no more.
    pub fn export(&self, sink: impl io::Write) -> Result<()> {
        berth_image::pack_archive(&self.files, sink)
    }
}

impl Engine {
    /// The cache mount of this id (its target where it has none), or whose entry in the cache begins so.
    ///
    /// # Errors
    /// Class `NotFound` when there is none, `Invalid` when there are several, `Conflict` when a build uses it.
    pub fn cache_mount(&self, name: &str) -> Result<CacheMount> {
        self.require_root_for_build()?;
        let sentence = || format!("cannot export the cache mount {name}");
        let list = "berth builder du --filter type=exec.cachemount --verbose";
        let place = match &*named(&BuildCache::new(self.paths().data()), name) {
            [place] => place.clone(),
            [] => {
                return Err(
                    Error::new(Class::NotFound, format!("no such cache mount: {name}")).hint(list),
                );
            }
            several => {
                let names: Vec<_> = several
                    .iter()
                    .filter_map(|place| Some(place.file_name()?.to_string_lossy()))
                    .collect();
                return Err(Error::new(Class::Invalid, sentence())
                    .caused_by(format!("several are called so: {}", names.join(", ")))
                    .hint(list));
            }
        };
        let lock = File::open(place.join("lock")).explain(sentence)?;
        match lock.try_lock() {
            Ok(()) => Ok(CacheMount {
                files: place.join("data"),
                _lock: lock,
            }),
            Err(fs::TryLockError::WouldBlock) => {
                Err(Error::new(Class::Conflict, sentence()).caused_by("a build uses it"))
            }
            Err(fs::TryLockError::Error(error)) => Err(error).explain(sentence),
        }
    }
}

fn named(cache: &BuildCache, name: &str) -> Vec<PathBuf> {
    let places = fs::read_dir(cache.mounts()).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for entry in places {
        let begins = !name.is_empty() && entry.file_name().to_string_lossy().starts_with(name);
        let place = entry.path();
        if About::read(&place).is_some_and(|about| begins || about.id == name) {
            found.push(place);
        }
    }
    found.sort();
    found
}
