//! Cache mounts by their names, for those who want their files elsewhere.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use serde::{Deserialize, Serialize};

use super::cache::{BuildCache, make_private};
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

/// How a cache mount is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// By nobody else.
    Alone,
    /// With others.
    Together,
}

/// A cache mount that nobody removes as long as this lives.
#[derive(Debug)]
pub(super) struct Hold {
    place: PathBuf,
    _lock: File,
}

impl Hold {
    /// Takes the mount that lies there, made if it is missing. `None` if somebody else has it, as long as `wait` says
    /// that it is to be tried again.
    pub(super) fn take(place: &Path, how: Use, wait: impl Fn() -> bool) -> Result<Option<Self>> {
        loop {
            make_private(place)?;
            if let Some(tried) = Self::try_take(place, how, &wait)? {
                return Ok(tried);
            }
        }
    }

    /// The same with what is there; nothing if it was removed meanwhile.
    fn try_take(place: &Path, how: Use, wait: &dyn Fn() -> bool) -> Result<Option<Option<Self>>> {
        let path = place.join("lock");
        let cannot = || format!("cannot lock the cache mount {}", place.display());
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let mut options = File::options();
        let opened = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = match opened.open(&path) {
            Err(error) if gone(&error) => return Ok(None),
            opened => opened.explain(cannot)?,
        };
        loop {
            let locked = match how {
                Use::Alone => lock.try_lock(),
                Use::Together => lock.try_lock_shared(),
            };
            match locked {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if wait() => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(Some(None)),
                Err(fs::TryLockError::Error(error)) => return Err(error).explain(cannot),
            }
        }
        // Whoever removes it holds its lock, too: what is locked has to be what is there.
        let own = lock.metadata().explain(cannot)?;
        match fs::metadata(&path) {
            Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => {
                Ok(Some(Some(Self {
                    place: place.to_owned(),
                    _lock: lock,
                })))
            }
            Ok(_) => Ok(None),
            Err(error) if gone(&error) => Ok(None),
            Err(error) => Err(error).explain(cannot),
        }
    }

    pub(super) fn place(&self) -> &Path {
        &self.place
    }
}

/// Removes what lies at the place of a cache mount; `false` if somebody uses it.
pub(super) fn remove_unused(place: &Path) -> Result<bool> {
    let Some(tried) = Hold::try_take(place, Use::Alone, &|| false)? else {
        return Ok(true);
    };
    let Some(hold) = tried else {
        return Ok(false);
    };
    let cannot = || format!("cannot remove {}", place.display());
    // Out of the way first: whoever wants it meanwhile makes another.
    let aside = place.with_file_name(berth_sys::file::unique_name(".removed-"));
    fs::rename(place, &aside).explain(cannot)?;
    fs::remove_dir_all(&aside).explain(cannot)?;
    drop(hold);
    Ok(true)
}

/// A cache mount that no build uses, and none until this is dropped.
#[derive(Debug)]
pub struct CacheMount(Hold);

impl CacheMount {
    /// Writes its files as a tar.
    ///
    /// # Errors
    /// They cannot be read, or `sink` takes no more.
    pub fn export(&self, sink: impl io::Write) -> Result<()> {
        berth_image::pack_archive(&self.0.place().join("data"), sink)
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
        match Hold::take(&place, Use::Alone, || false)? {
            Some(hold) => Ok(CacheMount(hold)),
            None => Err(Error::new(Class::Conflict, sentence()).caused_by("a build uses it")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_that_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("mount");
        let take = |how| Hold::take(&place, how, || false).unwrap();
        for how in [Use::Together, Use::Alone] {
            let held = take(how).unwrap();
            fs::write(held.place().join("data"), "kept").unwrap();
            assert!(!remove_unused(&place).unwrap());
            assert!(take(Use::Alone).is_none());
            assert_eq!(take(Use::Together).is_some(), how == Use::Together);
            assert!(place.join("data").exists());
        }
        assert!(remove_unused(&place).unwrap());
        assert!(remove_unused(&place).unwrap(), "it is gone already");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Pruning and building at the same time: whoever holds a mount has one that is there.
    #[test]
    fn what_is_held_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("mount");
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::SeqCst) {
                    remove_unused(&place).unwrap();
                }
            });
            for number in 0..500 {
                let held = Hold::take(&place, Use::Alone, || true).unwrap().unwrap();
                let file = held.place().join(number.to_string());
                fs::write(&file, "").unwrap();
                std::thread::yield_now();
                assert!(file.exists());
            }
            over.store(true, std::sync::atomic::Ordering::SeqCst);
        });
    }
}
