//! Containers that are being made, and containers on their way out.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{ContainerId, Result};
use berth_sys::error::Explain as _;
use berth_sys::lock::Lock;

use crate::paths::Paths;

const PREFIX: &str = ".new-";
const LOCK: &str = "creating";

/// A container's directory while it is being made; removed again unless it is completed.
#[derive(Debug)]
pub struct Staging {
    directory: PathBuf,
    complete: PathBuf,
    lock: Option<Lock>,
}

impl Staging {
    /// Makes the directory of a new container.
    ///
    /// # Errors
    /// The data directory cannot be written to.
    pub fn begin(paths: &Paths, id: &ContainerId) -> Result<Self> {
        let directory = paths.containers().join(format!("{PREFIX}{id}"));
        let explain = || format!("cannot make {}", directory.display());
        match private_directory(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                prepare(paths)?;
                private_directory(&directory).explain(explain)?;
            }
            result => result.explain(explain)?,
        }
        let handle = fs::File::open(&directory).explain(explain)?;
        let lock = Lock::take(&handle, LOCK).explain(explain)?;
        Ok(Self {
            directory,
            complete: paths.container(id),
            lock,
        })
    }

    /// The directory to fill.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Makes the container visible.
    ///
    /// # Errors
    /// The directory cannot be renamed; it is removed then.
    pub fn complete(mut self) -> Result<()> {
        fs::remove_file(self.directory.join(LOCK))
            .and_then(|()| fs::rename(&self.directory, &self.complete))
            .explain(|| format!("cannot make {}", self.complete.display()))?;
        drop(self.lock.take());
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // Whoever dropped it reports its own failure; what stays here is swept up by the next `create`.
            drop(fs::remove_dir_all(&self.directory));
        }
    }
}

/// Makes the data directory; its mode keeps other users away from setuid files in images (CVE-2021-41091).
fn prepare(paths: &Paths) -> Result<()> {
    for directory in [
        paths.data().to_owned(),
        paths.containers(),
        paths.names(),
        paths.trash(),
    ] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .explain(|| format!("cannot make {}", directory.display()))?;
    }
    Ok(())
}

fn private_directory(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Whether somebody is making this container now.
pub(crate) fn is_being_made(paths: &Paths, id: &ContainerId) -> bool {
    let directory = paths.containers().join(format!("{PREFIX}{id}"));
    is_locked(&directory)
}

fn is_locked(directory: &Path) -> bool {
    fs::File::open(directory.join(LOCK))
        .and_then(berth_sys::lock::is_held)
        .unwrap_or(false)
}

/// Moves a container's directory out of sight, then deletes it.
///
/// # Errors
/// It cannot be renamed or not be deleted completely; what is left lies in `trash`.
pub fn discard(paths: &Paths, directory: &Path) -> Result<()> {
    let Some(name) = directory.file_name() else {
        return Ok(());
    };
    let trash = paths.trash().join(name);
    match fs::rename(directory, &trash) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !directory.exists() => {
            return Ok(());
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            prepare(paths)?;
            fs::rename(directory, &trash)
                .explain(|| format!("cannot remove {}", directory.display()))?;
        }
        Err(error) => {
            return Err(error).explain(|| format!("cannot remove {}", directory.display()));
        }
    }
    fs::remove_dir_all(&trash).explain(|| format!("cannot delete {}", trash.display()))
}

/// Keeps a container whose record cannot be read for a person to look at.
///
/// # Errors
/// It cannot be renamed.
pub fn quarantine(paths: &Paths, id: &ContainerId) -> Result<PathBuf> {
    let directory = paths.damaged();
    let kept = directory.join(id.as_str());
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .and_then(|()| fs::rename(paths.container(id), &kept))
        .explain(|| format!("cannot put the damaged container {} aside", id.short()))?;
    Ok(kept)
}

/// Deletes what killed processes left: containers half made, and what was on its way out.
///
/// # Errors
/// Something of it cannot be deleted.
pub fn sweep(paths: &Paths) -> Result<()> {
    for entry in entries(&paths.containers()) {
        let half_made = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if half_made && !is_locked(&entry.path()) {
            discard(paths, &entry.path())?;
        }
    }
    for entry in entries(&paths.trash()) {
        let path = entry.path();
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).explain(|| format!("cannot delete {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A directory that is missing has no entries.
fn entries(directory: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(std::result::Result::ok)
}
