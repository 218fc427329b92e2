//! Files that are to be in memory only, while a command needs them: secrets above all.
//!
//! ```text
//! RUN/build/<build>/lock     held while the build goes on
//! RUN/build/<build>/<n>/     one for each file
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use berth_contract::Result;
use berth_sys::error::Explain as _;

use super::cache::make_private;

/// The directory of one build, which goes with it; those of builds that were killed go when the next one
/// begins, or with [`sweep`].
#[derive(Debug)]
pub(super) struct Memory {
    /// `RUN/build`.
    all: PathBuf,
    own: Mutex<Option<Own>>,
}

#[derive(Debug)]
struct Own {
    path: PathBuf,
    _lock: File,
}

impl Memory {
    /// Nothing is made yet.
    pub(super) fn new(run: &Path) -> Self {
        Self {
            all: run.join("build"),
            own: Mutex::default(),
        }
    }

    /// A new directory that nobody else can enter.
    pub(super) fn directory(&self) -> Result<PathBuf> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if own.is_none() {
            // Made aside: whoever sweeps meanwhile sees it only with its lock held.
            let name = berth_sys::file::unique_name("");
            let aside = self.all.join(format!(".{}", name.to_string_lossy()));
            make_private(&aside)?;
            let path = self.all.join(name);
            let cannot = || format!("cannot make {}", path.display());
            let lock = File::create_new(aside.join("lock")).explain(cannot)?;
            lock.lock().explain(cannot)?;
            fs::rename(&aside, &path).explain(cannot)?;
            *own = Some(Own { path, _lock: lock });
        }
        let path = own.as_ref().map_or(&self.all, |own| &own.path);
        let directory = path.join(berth_sys::file::unique_name(""));
        make_private(&directory)?;
        Ok(directory)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = &*own {
            // It is memory, gone after a restart anyway.
            drop(fs::remove_dir_all(&own.path));
        }
    }
}

/// Removes what builds have left that were killed.
pub(super) fn sweep(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let is_free = File::open(path.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_free {
            // The next one tries again.
            drop(fs::remove_dir_all(&path));
        }
    }
}
