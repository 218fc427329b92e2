//! The guest's root file system: mounted on top of the host's, then made the only one.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{Error, Result, Rootfs};
use berth_sys::error::{self, Errno, Explain as _};
use berth_sys::mount::{self, Attributes, Change, FileSystem};
use berth_sys::path::Directory;
use berth_sys::process;

use crate::opened;
use crate::users::Users;

/// The kernel copies at most this much of an option's value (`fsconfig`).
const LONGEST_VALUE: usize = 255;

/// Makes the root file system as a detached mount.
pub(crate) fn detached(rootfs: &Rootfs, users: Option<&Users>) -> Result<OwnedFd> {
    match rootfs {
        Rootfs::Overlay {
            lowers,
            upper,
            work,
            volatile,
        } => {
            forget_volatile(work);
            let sentence = || {
                format!(
                    "cannot mount the container's layers below {}",
                    upper.display()
                )
            };
            let lowers = Lowers::open(lowers, users)?;
            if let Some(users) = users {
                let root = users.root();
                for directory in [upper, work] {
                    std::os::unix::fs::chown(directory, Some(root.user), Some(root.group))
                        .explain(sentence)?;
                }
            }
            mount_layers(&lowers, (upper, work), *volatile).map_err(|error| {
                // Layers by descriptor: Linux 6.13.
                let old = error::is(&error, Errno::INVAL) && matches!(lowers, Lowers::Views(_));
                let error = Error::new(error::class(&error), sentence()).caused_by(error);
                match old {
                    true => error.hint("user namespaces without copies of layers need Linux 6.13"),
                    false => error,
                }
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

/// A read-only root file system of layers alone, with a guest's ids.
pub(crate) fn read_only(lowers: &[PathBuf], users: &Users) -> Result<OwnedFd> {
    let sentence = || "cannot mount an image's layers".to_owned();
    let lowers = Lowers::open(lowers, Some(users))?;
    let overlay = FileSystem::new("overlay").explain(sentence)?;
    overlay
        .string("source", "overlay")
        .and_then(|()| lowers.add_to(&overlay))
        .and_then(|()| overlay.mount(Attributes::MOUNT_ATTR_RDONLY))
        .explain(sentence)
}

/// The layers of an overlay, topmost first.
enum Lowers<'a> {
    /// As they are.
    Plain(&'a [PathBuf]),
    /// Detached mounts of them. The layers are shared by all; only these views have the guest's owners.
    Views(Vec<OwnedFd>),
}

impl<'a> Lowers<'a> {
    fn open(paths: &'a [PathBuf], users: Option<&Users>) -> Result<Self> {
        let Some(users) = users else {
            return Ok(Self::Plain(paths));
        };
        let mut views = Vec::with_capacity(paths.len());
        for path in paths {
            let view = mount::clone_path(path, false)
                .explain(|| format!("cannot use the layer {}", path.display()))?;
            opened::view(&view, users.namespace(), false)
                .map_err(|error| opened::not_mapped(path, &error))?;
            views.push(view);
        }
        Ok(Self::Views(views))
    }

    fn add_to(&self, overlay: &FileSystem) -> io::Result<()> {
        match self {
            Self::Plain(paths) => paths
                .iter()
                .try_for_each(|path| layer(overlay, "lowerdir+", path)),
            // A detached mount dissolves with its descriptor: they stay open until the overlay has
            // cloned them.
            Self::Views(views) => views
                .iter()
                .try_for_each(|view| overlay.file("lowerdir+", view)),
        }
    }
}

/// Kernels before 6.7 do not know `lowerdir+`; they take all layers in one page of options.
fn mount_layers(
    lowers: &Lowers<'_>,
    (upper, work): (&Path, &Path),
    volatile: bool,
) -> io::Result<OwnedFd> {
    match (overlay(lowers, (upper, work), volatile), lowers) {
        (Err(error), Lowers::Plain(paths)) if error::is(&error, Errno::INVAL) => {
            let options = one_page(paths, (upper, work), volatile);
            // What the new interface said is the better explanation.
            mount::overlay_by_options(&options, upper).map_err(|_second| error)
        }
        (result, _) => result,
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
    lowers: &Lowers<'_>,
    (upper, work): (&Path, &Path),
    volatile: bool,
) -> io::Result<OwnedFd> {
    let overlay = FileSystem::new("overlay")?;
    overlay.string("source", "overlay")?;
    lowers.add_to(&overlay)?;
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
        if !berth_sys::user::is_root() {
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
