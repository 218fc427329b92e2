//! What a container has of its volumes: a place among those who mount it, and file systems that are
//! mounted on the host only while somebody runs with them.
//!
//! ```text
//!  volumes/<name>/_data        what is mounted into containers
//!                 users/<id>   one entry for each container that mounts it. Only volumes that go with
//!                              their last container have this directory, and `rmdir` decides who is last
//!                 turn         locked while the volume's own file system is mounted or unmounted
//!                 running      held shared by everybody who runs with that file system
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use berth_contract::{ContainerId, Result};
use berth_sys::error::Explain as _;
use berth_sys::mount;

/// Where a volume's content is, in its directory.
pub const CONTENT: &str = "_data";
/// Who mounts a volume that goes with its last container.
const USERS: &str = "users";
const TURN: &str = "turn";
const RUNNING: &str = "running";

/// Lets a volume go with its last container; the first one joins next.
///
/// # Errors
/// The directory cannot be written to.
pub fn goes_with_last(volume: &Path) -> io::Result<()> {
    fs::create_dir(volume.join(USERS))
}

/// Counts a container among the users of a volume that goes with its last one; `false` when the volume
/// does not go, or is going at this moment.
///
/// # Errors
/// The directory cannot be written to.
pub fn join(volume: &Path, id: &ContainerId) -> io::Result<bool> {
    match File::create(volume.join(USERS).join(id.as_str())) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a container is counted among the users of a volume that goes with its last one.
#[must_use]
pub fn counts(volume: &Path, id: &ContainerId) -> bool {
    volume.join(USERS).join(id.as_str()).exists()
}

/// Counts a container out; the volume stays, whoever was the last.
pub fn forget(volume: &Path, id: &ContainerId) {
    // An entry that stays keeps an unused volume, which `volume prune` removes.
    drop(fs::remove_file(volume.join(USERS).join(id.as_str())));
}

/// Counts a container out and says whether nobody mounts the volume any more.
///
/// Nobody can join afterwards: the directory of users is gone.
pub fn leave(volume: &Path, id: &ContainerId) -> bool {
    forget(volume, id);
    match fs::remove_dir(volume.join(USERS)) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Whether a volume's own file system is mounted now.
///
/// # Errors
/// The volume cannot be looked at.
pub fn is_mounted(volume: &Path) -> io::Result<bool> {
    mount::is_mount_point(&volume.join(CONTENT))
}

/// A volume's file system that stays mounted.
#[derive(Debug)]
pub struct Held {
    volume: PathBuf,
    running: File,
}

impl Held {
    /// Keeps the file system mounted that somebody else holds already.
    ///
    /// # Errors
    /// The volume is gone.
    pub fn share(volume: &Path) -> Result<Self> {
        Self::hold(volume).explain(|| sentence(volume))
    }

    /// Calls `mount` unless the file system is mounted already, and keeps it mounted.
    ///
    /// # Errors
    /// The volume is gone, or `mount` fails.
    pub fn mount(volume: &Path, mount: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let turn = lock(volume).explain(|| sentence(volume))?;
        let held = Self::hold(volume).explain(|| sentence(volume))?;
        if !is_mounted(volume).explain(|| sentence(volume))? {
            mount(&volume.join(CONTENT))?;
        }
        drop(turn);
        Ok(held)
    }

    fn hold(volume: &Path) -> io::Result<Self> {
        let running = File::create(volume.join(RUNNING))?;
        running.lock_shared()?;
        Ok(Self {
            volume: volume.to_owned(),
            running,
        })
    }

    /// Unmounts the file system unless somebody else holds it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn release(self) -> Result<()> {
        let Self { volume, running } = self;
        let turn = lock(&volume).explain(|| sentence(&volume))?;
        drop(running);
        unmount_unused(&volume).explain(|| sentence(&volume))?;
        drop(turn);
        Ok(())
    }
}

/// Unmounts what a lost monitor left mounted, unless somebody runs with it; says whether nothing is
/// mounted now.
///
/// # Errors
/// The kernel refuses.
pub fn release_unused(volume: &Path) -> Result<bool> {
    if !is_mounted(volume).explain(|| sentence(volume))? {
        return Ok(true);
    }
    let _turn = lock(volume).explain(|| sentence(volume))?;
    unmount_unused(volume).explain(|| sentence(volume))
}

/// The turn is held.
fn unmount_unused(volume: &Path) -> io::Result<bool> {
    match File::create(volume.join(RUNNING))?.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    if is_mounted(volume)? {
        mount::unmount(&volume.join(CONTENT))?;
    }
    Ok(true)
}

fn lock(volume: &Path) -> io::Result<File> {
    let turn = File::create(volume.join(TURN))?;
    turn.lock()?;
    Ok(turn)
}

fn sentence(volume: &Path) -> String {
    let name = volume.file_name().unwrap_or_default();
    format!("cannot use the volume {}", name.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_user_is_told() {
        let volume = std::env::temp_dir().join(format!("berth-users-{}", std::process::id()));
        fs::create_dir_all(&volume).unwrap();
        let id = |byte| ContainerId::from_random([byte; 32]);
        assert!(!join(&volume, &id(1)).unwrap(), "it does not go");
        goes_with_last(&volume).unwrap();
        assert!(join(&volume, &id(1)).unwrap());
        assert!(join(&volume, &id(2)).unwrap());
        assert!(!leave(&volume, &id(1)));
        assert!(leave(&volume, &id(2)));
        assert!(!join(&volume, &id(3)).unwrap(), "it is going");
        fs::remove_dir_all(&volume).unwrap();
    }
}
