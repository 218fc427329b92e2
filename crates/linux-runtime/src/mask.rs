//! Hiding and write-protecting paths, by descriptor.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};
use berth_sys::error::{self, Errno, Explain as _};
use berth_sys::mount::{self, Attributes, Change, FileSystem};
use berth_sys::path::{self, Directory, Node};

/// Hides files behind a null device and directories behind an empty read-only file system.
///
/// The null device is the host's, checked to be one: a guest once put a link there and had it mounted
/// over what was to be hidden (CVE-2025-31133). Its views are read-only, or a guest's root could give the
/// host's own device another mode and owner.
pub(crate) fn hide(root: &Directory, paths: &[PathBuf]) -> Result<()> {
    let mut null: Option<OwnedFd> = None;
    let mut empty: Option<OwnedFd> = None;
    for masked in paths {
        let sentence = || format!("cannot hide {}", masked.display());
        let Some(target) = existing(root, masked)? else {
            continue;
        };
        let kind = path::status(&target).explain(sentence)?;
        if path::is_directory(&kind) {
            // The first one is made, the others are views of it.
            let mount = match &empty {
                Some(first) => mount::clone_tree(first, false).explain(sentence)?,
                None => empty_directory().explain(sentence)?,
            };
            mount::attach(&mount, target).explain(sentence)?;
            empty.get_or_insert(mount);
        } else {
            let null = match &null {
                Some(null) => null,
                None => null.insert(null_device()?),
            };
            let mount = mount::clone_tree(null, false).explain(sentence)?;
            mount::make_read_only(&mount).explain(sentence)?;
            mount::attach(mount, target).explain(sentence)?;
        }
    }
    Ok(())
}

/// Makes paths, and what is mounted beneath them, read-only.
pub(crate) fn protect(root: &Directory, paths: &[PathBuf]) -> Result<()> {
    for protected in paths {
        let sentence = || format!("cannot make {} read-only", protected.display());
        let Some(target) = existing(root, protected)? else {
            continue;
        };
        let mount = mount::clone_tree(&target, true).explain(sentence)?;
        let set = u64::from(Attributes::MOUNT_ATTR_RDONLY.bits());
        mount::set_attributes(
            &mount,
            &Change {
                set,
                recursive: true,
                ..Change::default()
            },
        )
        .explain(sentence)?;
        mount::attach(mount, target).explain(sentence)?;
    }
    Ok(())
}

fn existing(root: &Directory, wanted: &Path) -> Result<Option<OwnedFd>> {
    match root.resolve(wanted) {
        Ok(target) => Ok(Some(target)),
        Err(error) if error::is(&error, Errno::NOENT) || error::is(&error, Errno::NOTDIR) => {
            Ok(None)
        }
        Err(error) => Err(error).explain(|| format!("cannot protect {}", wanted.display())),
    }
}

fn empty_directory() -> std::io::Result<OwnedFd> {
    let tmpfs = FileSystem::new("tmpfs")?;
    tmpfs.string("source", "tmpfs")?;
    tmpfs.string("nr_blocks", "1")?;
    tmpfs.string("nr_inodes", "1")?;
    tmpfs.string("mode", "755")?;
    tmpfs.mount(Attributes::MOUNT_ATTR_RDONLY)
}

fn null_device() -> Result<OwnedFd> {
    let host = Directory::open(Path::new("/")).explain(|| "cannot open /".into())?;
    let null = host
        .resolve(Path::new("/dev/null"))
        .explain(|| "cannot open /dev/null".into())?;
    let status = path::status(null.as_fd()).explain(|| "cannot open /dev/null".into())?;
    if path::is_node(&status, Node::Character(1, 3)) {
        return Ok(null);
    }
    Err(
        Error::new(Class::Internal, "cannot hide paths of the container")
            .caused_by("the host's /dev/null is not the null device"),
    )
}
