//! Containers that are being made, and containers on their way out.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{ContainerId, Result};
use berth_sys::error::Explain as _;
use berth_sys::fault;
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
        let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        // Whoever clears up may have taken the directory for one that nobody makes any more.
        let lock = loop {
            match private_directory(&directory) {
                Err(error) if missing(&error) => prepare(paths)?,
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error).explain(explain);
                }
                _ => {}
            }
            fault::point("host-create-begun");
            let taken = fs::File::open(&directory).and_then(|handle| Lock::take(&handle, LOCK));
            match taken {
                Err(error) if !missing(&error) => return Err(error).explain(explain),
                Ok(Some(lock)) if directory.exists() => break lock,
                _ => std::thread::yield_now(),
            }
        };
        fault::point("host-create-locked");
        Ok(Self {
            directory,
            complete: paths.container(id),
            lock: Some(lock),
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
        fs::rename(&self.directory, &self.complete)
            .explain(|| format!("cannot make {}", self.complete.display()))?;
        fault::point("host-create-visible");
        drop(self.lock.take());
        // Locked until it is visible, so that nobody takes it for half made; nobody looks at it any more.
        drop(fs::remove_file(self.complete.join(LOCK)));
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // Whoever dropped it reports its own failure; what stays here goes with the next `rm`.
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

fn private_directory(path: &Path) -> io::Result<()> {
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

/// Moves a directory out of sight, then deletes it.
///
/// # Errors
/// It cannot be renamed or not be deleted completely; what is left lies in `trash`.
pub fn discard(paths: &Paths, directory: &Path) -> Result<()> {
    hide(paths, directory)?.map_or(Ok(()), |hidden| delete(&hidden))
}

/// Moves a directory out of sight, and says where to; `None` when it is gone already.
///
/// # Errors
/// It cannot be renamed.
pub(crate) fn hide(paths: &Paths, directory: &Path) -> Result<Option<PathBuf>> {
    let Some(name) = directory.file_name() else {
        return Ok(None);
    };
    let trash = paths.trash().join(name);
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut renamed = fs::rename(directory, &trash);
    if renamed.as_ref().is_err_and(missing) {
        if !directory.exists() {
            return Ok(None);
        }
        prepare(paths)?;
        renamed = fs::rename(directory, &trash);
    }
    renamed.explain(|| format!("cannot remove {}", directory.display()))?;
    fault::point("host-remove-hidden");
    Ok(Some(trash))
}

/// Deletes what lies in the trash; somebody else may be emptying it at the same time.
///
/// # Errors
/// Something of it cannot be deleted.
pub(crate) fn delete(trash: &Path) -> Result<()> {
    let removed = match fs::remove_dir_all(trash) {
        // What the image store threw away may be a file.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(trash),
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).explain(|| format!("cannot delete {}", trash.display()))
        }
        _ => Ok(()),
    }
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

/// The directories of containers that were being made when their makers were killed; as long as the lock
/// is kept nobody else removes them, or makes a container there.
pub(crate) fn half_made(
    paths: &Paths,
) -> impl Iterator<Item = (ContainerId, PathBuf, Lock)> + use<> {
    entries(&paths.containers()).filter_map(|entry| {
        let name = entry.file_name();
        let id = name.to_str()?.strip_prefix(PREFIX)?.parse().ok()?;
        let path = entry.path();
        let lock = fs::File::open(&path).and_then(|handle| Lock::take(&handle, LOCK));
        Some((id, path, lock.ok()??))
    })
}

/// Deletes what was on its way out.
///
/// # Errors
/// Something of it cannot be deleted.
pub(crate) fn empty_trash(paths: &Paths) -> Result<()> {
    for entry in entries(&paths.trash()) {
        delete(&entry.path())?;
    }
    Ok(())
}

/// What is in a directory; one that is missing has no entries.
pub(crate) fn entries(directory: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten()
}
