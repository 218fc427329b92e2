//! Images mounted on the host, read-only, for programs that look at their files.
//!
//! ```text
//!  RUN/images/<id>/   upper/ and work/, which overlayfs wants and nobody writes, and merged/
//! ```

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use berth_contract::{Class, Digest, Error, Result};
use berth_image::{Image, prepare_overlay};
use berth_linux_runtime::mount_root_on_host;
use berth_sys::error::Explain as _;
use berth_sys::mount::{self, Change};
use berth_sys::path::Directory;

use super::Engine;

impl Engine {
    /// Mounts an image, unless it is mounted, and returns where.
    ///
    /// # Errors
    /// There is no such image, or the kernel refuses.
    pub fn mount_image(&self, name: &str) -> Result<PathBuf> {
        self.require_root("cannot mount an image")?;
        let store = self.store();
        let _hold = store.hold()?;
        let image = store.find(name, None)?;
        let folder = self.mounted_image(image.id());
        let place = folder.join("merged");
        if mount::is_mount_point(&place).unwrap_or(false) {
            return Ok(place);
        }
        let explain = || format!("cannot mount image {name}");
        // What a killed process left is made anew.
        drop(fs::remove_dir_all(&folder));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&place)
            .explain(explain)?;
        let rootfs = prepare_overlay(image.layers(), &folder, true)?;
        mount_root_on_host(&rootfs, &place)?;
        let mounted = Directory::open(&place).explain(explain)?;
        let read_only = Change {
            set: READ_ONLY,
            ..Change::default()
        };
        mount::set_attributes(mounted, &read_only).explain(explain)?;
        Ok(place)
    }

    /// Takes that mount away, and says whether there was one.
    ///
    /// # Errors
    /// There is no such image, or the kernel refuses.
    pub fn unmount_image(&self, name: &str) -> Result<bool> {
        let image = self.find_image(name, None)?;
        let folder = self.mounted_image(image.id());
        let place = folder.join("merged");
        if !mount::is_mount_point(&place).unwrap_or(false) {
            return Ok(false);
        }
        let explain = || format!("cannot unmount {}", place.display());
        mount::unmount(&place).explain(explain)?;
        fs::remove_dir_all(&folder).explain(explain)?;
        Ok(true)
    }

    /// The images that are mounted, and where.
    #[must_use]
    pub fn mounted_images(&self) -> Vec<(Digest, PathBuf)> {
        let entries = fs::read_dir(self.paths().run().join("images"));
        let mut mounted = Vec::new();
        for entry in entries.into_iter().flatten().flatten() {
            let place = entry.path().join("merged");
            let id = format!("sha256:{}", entry.file_name().to_string_lossy()).parse();
            if let Ok(id) = id
                && mount::is_mount_point(&place).unwrap_or(false)
            {
                mounted.push((id, place));
            }
        }
        mounted
    }

    /// Refuses what would pull an image from under its mount.
    pub(super) fn refuse_mounted(&self, image: &Image) -> Result<()> {
        let place = self.mounted_image(image.id()).join("merged");
        if !mount::is_mount_point(&place).unwrap_or(false) {
            return Ok(());
        }
        let id = image.id().short();
        Err(Error::new(Class::Conflict, format!("image {id} is in use"))
            .caused_by(format!("it is mounted at {}", place.display()))
            .hint(format!("berth image unmount {id}")))
    }

    fn mounted_image(&self, id: &Digest) -> PathBuf {
        self.paths().run().join("images").join(id.hex())
    }
}

/// `MOUNT_ATTR_RDONLY` of `mount_setattr(2)`.
const READ_ONLY: u64 = 1;
