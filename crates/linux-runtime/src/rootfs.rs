//! The guest's root file system: mounted on top of the host's, then made the only one.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{Result, Rootfs};
use berth_sys::error::{self, Errno, Explain as _};
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
            mount_layers(lowers, (upper, work), *volatile, owner).explain(|| {
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

/// Mounts a root file system that no guest has on a trusted directory of the host.
///
/// # Errors
/// The kernel refuses.
pub fn mount_root_on_host(rootfs: &Rootfs, place: &Path) -> Result<()> {
    let mounted = detached(rootfs, None)?;
    let sentence = || format!("cannot mount on {}", place.display());
    let place = Directory::open(place).explain(sentence)?;
    mount::attach(mounted, place).explain(sentence)
}

/// Kernels before 6.7 do not know `lowerdir+`; they take all layers in one page of options.
fn mount_layers(
    lowers: &[PathBuf],
    (upper, work): (&Path, &Path),
    volatile: bool,
    owner: Option<Owner<'_>>,
) -> io::Result<OwnedFd> {
    match overlay(lowers, (upper, work), volatile, owner) {
        Err(error) if owner.is_none() && error::is(&error, Errno::INVAL) => {
            let options = one_page(lowers, (upper, work), volatile);
            // What the new interface said is the better explanation.
            mount::overlay_by_options(&options, upper).map_err(|_second| error)
        }
        result => result,
    }
}

/// The options of the old interface; a backslash protects what separates.
fn one_page(lowers: &[PathBuf], (upper, work): (&Path, &Path), volatile: bool) -> Vec<u8> {
    let mut options = b"metacopy=off,redirect_dir=nofollow".to_vec();
    if volatile {
        options.extend(b",volatile");
    }
    let mut add = |key: &[u8], path: &Path| {
        options.extend(key);
        for byte in path.as_os_str().as_bytes() {
            if matches!(byte, b',' | b':' | b'\\') {
                options.push(b'\\');
            }
            options.push(*byte);
        }
    };
    for (place, lower) in lowers.iter().enumerate() {
        add(if place == 0 { b",lowerdir=" } else { b":" }, lower);
    }
    add(b",upperdir=", upper);
    add(b",workdir=", work);
    options
}

fn overlay(
    lowers: &[PathBuf],
    (upper, work): (&Path, &Path),
    volatile: bool,
    owner: Option<Owner<'_>>,
) -> io::Result<OwnedFd> {
    let overlay = FileSystem::new("overlay")?;
    overlay.string("source", "overlay")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_options_protect_separators() {
        let lowers = [PathBuf::from("/a,b"), PathBuf::from("/c:d")];
        let options = one_page(&lowers, (Path::new("/u"), Path::new("/w")), true);
        assert_eq!(
            String::from_utf8(options).unwrap(),
            "metacopy=off,redirect_dir=nofollow,volatile,lowerdir=/a\\,b:/c\\:d,upperdir=/u,workdir=/w"
        );
    }

    #[test]
    fn privileged_the_old_interface_mounts_layers() {
        if !berth_sys::file::is_root() {
            return;
        }
        let base = std::env::temp_dir().join(format!("berth-rootfs-{}", std::process::id()));
        for name in ["lower", "upper", "work"] {
            std::fs::create_dir_all(base.join(name)).unwrap();
        }
        std::fs::write(base.join("lower/file"), "x").unwrap();
        let (upper, work) = (base.join("upper"), base.join("work"));
        let options = one_page(&[base.join("lower")], (&upper, &work), false);
        let mount = mount::overlay_by_options(&options, &upper).unwrap();
        let content = Directory::from_fd(mount)
            .read(Path::new("file"), 9)
            .unwrap();
        assert_eq!(content, b"x");
        std::fs::remove_dir_all(base).unwrap();
    }
}
