//! The guest's root file system: mounted on top of the host's, then made the only one.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use berth_contract::{Result, Rootfs};
use berth_sys::error::Explain as _;
use berth_sys::mount::{self, Attributes, Change, FileSystem};
use berth_sys::path::Directory;
use berth_sys::process;

/// The kernel copies at most this much of an option's value (`fsconfig`).
const LONGEST_VALUE: usize = 255;

/// Who owns the files of a guest with its own user namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    /// A namespace with the guest's maps.
    pub(crate) mapping: BorrowedFd<'a>,
    /// What the guest's user 0 is outside.
    pub(crate) user: u32,
    /// What the guest's group 0 is outside.
    pub(crate) group: u32,
}

/// Makes the root file system as a detached mount.
pub(crate) fn detached(rootfs: &Rootfs, owner: Option<Owner<'_>>) -> Result<OwnedFd> {
    match rootfs {
        Rootfs::Overlay {
            lowers,
            upper,
            work,
            volatile,
        } => {
            forget_volatile(work);
            overlay(lowers, (upper, work), *volatile, owner).explain(|| {
                format!(
                    "cannot mount the container's layers below {}",
                    upper.display()
                )
            })
        }
        Rootfs::Directory(path) => mount::clone_path(path, true)
            .explain(|| format!("cannot use {} as the container's root", path.display())),
    }
}

fn overlay(
    lowers: &[PathBuf],
    (upper, work): (&Path, &Path),
    volatile: bool,
    owner: Option<Owner<'_>>,
) -> io::Result<OwnedFd> {
    let overlay = FileSystem::new("overlay")?;
    overlay.string("source", "berth")?;
    // A detached mount dissolves with its descriptor: they stay open until the overlay has cloned them.
    let mut views = Vec::new();
    for lower in lowers {
        match owner {
            None => layer(&overlay, "lowerdir+", lower)?,
            Some(owner) => {
                // The layer is shared by all; only this view of it has the guest's owners.
                let view = mount::clone_path(lower, false)?;
                let mapping = Some(owner.mapping);
                mount::set_attributes(
                    &view,
                    &Change {
                        mapping,
                        ..Change::default()
                    },
                )?;
                overlay.file("lowerdir+", &view)?;
                views.push(view);
            }
        }
    }
    if let Some(owner) = owner {
        for directory in [upper, work] {
            std::os::unix::fs::chown(directory, Some(owner.user), Some(owner.group))?;
        }
    }
    layer(&overlay, "upperdir", upper)?;
    layer(&overlay, "workdir", work)?;
    // The upper directory is to be the difference itself: plain files and whiteouts, no references.
    overlay.string("metacopy", "off")?;
    overlay.string("redirect_dir", "nofollow")?;
    if volatile {
        overlay.flag("volatile")?;
    }
    overlay.mount(Attributes::empty())
}

fn layer(overlay: &FileSystem, key: &str, path: &Path) -> io::Result<()> {
    if path.as_os_str().len() <= LONGEST_VALUE {
        return overlay.string(key, path);
    }
    // Layers by descriptor have no limit on the length of their path (Linux 6.13).
    overlay.file(key, Directory::open(path)?)
}

/// A volatile overlay leaves this mark, and the next mount refuses: data may be lost after a crash. A
/// container that is started again has not crashed, and its owner chose the risk.
fn forget_volatile(work: &Path) {
    let mark = work.join("work/incompat/volatile");
    // Neither is there on most starts; if one stays, the mount itself says so.
    if std::fs::remove_file(mark.join("dirty")).is_ok() {
        drop(std::fs::remove_dir(mark));
    }
}

/// Mounts the root over the host's in this mount namespace, and returns what it is resolved beneath.
///
/// Its place is `/` itself: no directory is needed for it, and paths of the host still resolve, for this
/// process's root stays below.
pub(crate) fn attach(mount: OwnedFd) -> Result<Directory> {
    let host = Directory::open(Path::new("/")).explain(|| "cannot open /".into())?;
    mount::attach(&mount, &host).explain(|| "cannot mount the container's root".into())?;
    Ok(Directory::from_fd(mount))
}

/// Makes the mounted root the only one.
pub(crate) fn enter(root: &Directory) -> Result<()> {
    process::change_directory(root).explain(|| "cannot enter the container's root".into())?;
    mount::pivot_here().explain(|| "cannot make the container's root the only one".into())
}

/// Makes the root read-only, without what is mounted beneath it.
pub(crate) fn protect(root: &Directory) -> Result<()> {
    let set = u64::from(Attributes::MOUNT_ATTR_RDONLY.bits());
    mount::set_attributes(
        root,
        &Change {
            set,
            ..Change::default()
        },
    )
    .explain(|| "cannot make the container's root read-only".into())
}
