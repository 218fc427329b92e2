//! Clearing up after commands that were killed while they made or removed a container.
//!
//! ```text
//!  containers/.new-<id>   half made: nobody holds its lock          trash/<id>   half removed
//!            └──────────── the names and volumes that still count it ─────┘
//!                          are freed first, the directory goes last
//! ```
//! So whoever clears up may be killed as well: as long as something is left, its directory leads to it.

use std::path::PathBuf;

use berth_contract::{Class, ContainerId, ContainerName, Result, VolumeName};
use berth_monitor::volume as membership;
use berth_sys::lock::Lock;

use super::Engine;
use super::options::RemoveOptions;
use crate::paths::Paths;
use crate::records::{self, Builder, clear_stale, discard, entries, free, identifiers};
use crate::volume;

/// A container that is not there and never will be.
struct Dead {
    id: ContainerId,
    directory: PathBuf,
    /// It was being made: its anonymous volumes are nobody's then.
    half_made: Option<Lock>,
}

impl Engine {
    /// Removes what is left of containers that were half made or half removed.
    ///
    /// # Errors
    /// Something of it cannot be removed; it is found again the next time.
    pub fn clear_leftovers(&self) -> Result<()> {
        // Each container has one name; more of them are what a rename left that was killed.
        if names(self.paths()).count() > identifiers(self.paths())?.len() {
            self.clear_names()?;
        }
        let dead = dead(self.paths());
        if dead.is_empty() {
            return Ok(());
        }
        for name in names(self.paths()) {
            for container in &dead {
                free(self.paths(), &name, &container.id)?;
            }
        }
        volume::sweep(self.paths())?;
        for container in &dead {
            leave_volumes(self.paths(), container)?;
            discard(self.paths(), &container.directory)?;
        }
        Ok(())
    }

    /// Removes the containers of builds that were killed.
    ///
    /// # Errors
    /// One of them cannot be removed; it is found again the next time.
    pub(crate) fn clear_killed_builds(&self) -> Result<()> {
        let removal = RemoveOptions {
            force: true,
            volumes: true,
        };
        for id in identifiers(self.paths())? {
            if Builder::of(&self.paths().container(&id)) != Builder::Gone {
                continue;
            }
            match self.remove(&id, &removal) {
                // Somebody else was faster.
                Err(error) if error.class() == Class::NotFound => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    /// [`Engine::clear_leftovers`], what else is half made, and everything in the trash.
    ///
    /// # Errors
    /// Something of it cannot be removed.
    pub(super) fn sweep(&self) -> Result<()> {
        self.clear_leftovers()?;
        self.clear_names()?;
        volume::sweep(self.paths())?;
        records::empty_trash(self.paths())
    }

    /// Removes the names that stand for no container.
    fn clear_names(&self) -> Result<()> {
        names(self.paths()).try_for_each(|name| clear_stale(self.paths(), &name).map(drop))
    }
}

fn dead(paths: &Paths) -> Vec<Dead> {
    let half_made = records::half_made(paths).map(|(id, directory, lock)| Dead {
        id,
        directory,
        half_made: Some(lock),
    });
    let half_removed = entries(&paths.trash()).filter_map(|entry| {
        Some(Dead {
            id: entry.file_name().to_str()?.parse().ok()?,
            directory: entry.path(),
            half_made: None,
        })
    });
    half_made.chain(half_removed).collect()
}

/// All names, whatever they stand for.
fn names(paths: &Paths) -> impl Iterator<Item = ContainerName> + use<> {
    entries(&paths.names()).filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Counts a dead container out of every volume. Those made for one that never came to be go with it;
/// of one that was being removed nobody knows whether they were to go.
fn leave_volumes(paths: &Paths, dead: &Dead) -> Result<()> {
    for entry in entries(&paths.volumes()) {
        let directory = entry.path();
        if !membership::counts(&directory, &dead.id) {
            continue;
        }
        if dead.half_made.is_none() {
            membership::forget(&directory, &dead.id);
            continue;
        }
        let name: Result<VolumeName> = entry.file_name().to_string_lossy().parse();
        let Ok(name) = name else { continue };
        if membership::leave(&directory, &dead.id) {
            match volume::remove(paths, &name) {
                Err(error) if matches!(error.class(), Class::Conflict | Class::NotFound) => {}
                removed => removed?,
            }
        }
    }
    Ok(())
}
