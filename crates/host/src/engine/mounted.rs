//! A container's root file system, mounted for people of the host to look at and to change.
//!
//! ```text
//!  RUN/mounts/<id>   of one that runs: a second mount of what it sees, without its volumes
//!                    of one that does not: its layers, until it is started, which replaces the mount
//! ```

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use berth_contract::{ContainerId, Result};
use berth_linux_runtime::mount_root_on_host;
use berth_sys::error::Explain as _;
use berth_sys::{fault, mount};

use super::Engine;
use crate::records::identifiers;

impl Engine {
    /// Mounts a container's root file system, unless it is mounted, and returns where.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn mount(&self, id: &ContainerId) -> Result<PathBuf> {
        self.require_root("cannot mount a container")?;
        let _operation = self.operate(id)?;
        self.mount_root(id)
    }

    /// Takes that mount away, and says whether there was one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn unmount(&self, id: &ContainerId) -> Result<bool> {
        let place = self.paths().mounted(id);
        let explain = || format!("cannot unmount {}", place.display());
        let mounted = mount::is_mount_point(&place).unwrap_or(false);
        if mounted {
            mount::unmount(&place).explain(explain)?;
            fault::point("host-unmount-half");
        }
        // Also what a mount or an unmount left that was killed.
        match fs::remove_dir(&place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).explain(explain)
            }
            _ => Ok(mounted),
        }
    }

    /// The containers that are mounted, and where.
    ///
    /// # Errors
    /// The containers cannot be listed.
    pub fn mounted(&self) -> Result<Vec<(ContainerId, PathBuf)>> {
        let mut mounted = Vec::new();
        for id in identifiers(self.paths())? {
            let place = self.paths().mounted(&id);
            if mount::is_mount_point(&place).unwrap_or(false) {
                mounted.push((id, place));
            }
        }
        Ok(mounted)
    }

    /// The container's operation lock is held.
    pub(super) fn mount_root(&self, id: &ContainerId) -> Result<PathBuf> {
        let place = self.paths().mounted(id);
        let explain = || format!("cannot mount container {}", id.short());
        if mount::is_mount_point(&place).unwrap_or(false) {
            return Ok(place);
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&place)
            .explain(explain)?;
        fault::point("host-mount-begun");
        let seen = self.observe(id)?;
        if seen.alive && seen.status.pid > 0 {
            let root = mount::clone_root_of(seen.status.pid).explain(explain)?;
            let target = berth_sys::path::Directory::open(&place).explain(explain)?;
            mount::attach(root, target).explain(explain)?;
        } else {
            mount_root_on_host(&self.launch(id)?.rootfs, &place)?;
        }
        Ok(place)
    }
}
