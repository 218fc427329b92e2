//! From an image's layers to the root file system of one container, and to the first content of a volume.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use berth_contract::{Result, Rootfs};
use berth_sys::error::Explain as _;
use berth_sys::file::{self, Directory, Kind, Links, Metadata};

use crate::layer::is_mark;
use crate::merged::{Merged, Node, look_up, names};

/// Makes `upper` and `work` beneath a container's directory and returns the overlay they belong to.
///
/// The root directory of an overlay shows the upper directory's owner and mode, so they are taken
/// from the topmost layer.
///
/// # Errors
/// The container's directory cannot be written, or a layer is missing.
pub fn prepare_overlay(layers: Vec<PathBuf>, container: &Path, volatile: bool) -> Result<Rootfs> {
    let cannot = || {
        format!(
            "cannot prepare the root file system in {}",
            container.display()
        )
    };
    let prepare = || {
        let directory = Directory::open(container)?;
        let root = match layers.first() {
            Some(topmost) => Directory::open(topmost)?.own_metadata()?,
            None => directory.own_metadata()?,
        };
        let (upper, work) = (OsStr::new("upper"), OsStr::new("work"));
        directory.create_directory(upper, 0o755)?;
        directory.create_directory(work, 0o700)?;
        let made = directory.directory(Path::new(upper), Links::Refused)?;
        let own = made.own_metadata()?;
        if (own.uid, own.gid, own.mode) != (root.uid, root.gid, root.mode) {
            file::set_owner_and_mode(&made, root.uid, root.gid, root.mode)?;
        }
        Ok::<_, io::Error>(())
    };
    prepare().explain(cannot)?;
    let (upper, work) = (container.join("upper"), container.join("work"));
    Ok(Rootfs::Overlay {
        lowers: layers,
        upper,
        work,
        volatile,
    })
}

/// Copies what an image has at `path` into an empty directory: what a new volume starts with.
///
/// Owner, mode, times, extended attributes and hard links are kept, and the directory itself gets
/// those of `path`. Nothing happens if the image has no directory there; says whether something was.
///
/// # Errors
/// Reading the image or writing the directory fails.
pub fn copy_tree(image: &Merged, path: &Path, to: &Path) -> Result<bool> {
    let cannot = || {
        format!(
            "cannot copy {} of the image to {}",
            path.display(),
            to.display()
        )
    };
    let copy = || {
        let Some(Node::Directory(stack)) = image.resolve(path)? else {
            return Ok(false);
        };
        let target = Directory::open(to)?;
        let mut copier = Copier {
            links: HashMap::new(),
            target: target.duplicate()?,
        };
        copier.children(&stack, &target, &PathBuf::new())?;
        copier.attributes(&stack[0], OsStr::new("."), &target, OsStr::new("."))?;
        Ok::<_, io::Error>(true)
    };
    copy().explain(cannot)
}

struct Copier {
    /// Where the first name of a file with several was written.
    links: HashMap<(u64, u64), PathBuf>,
    target: Directory,
}

impl Copier {
    fn children(
        &mut self,
        from: &std::rc::Rc<Vec<Directory>>,
        to: &Directory,
        at: &Path,
    ) -> io::Result<()> {
        for name in names(from)? {
            match look_up(from, &name)? {
                Some(Node::Directory(inner)) => {
                    to.create_directory(&name, 0o700)?;
                    let made = to.directory(Path::new(&name), Links::Refused)?;
                    self.children(&inner, &made, &at.join(&name))?;
                    self.attributes(&inner[0], OsStr::new("."), to, &name)?;
                }
                Some(Node::Other {
                    parent,
                    layer,
                    metadata,
                    ..
                }) => {
                    self.entry(&parent[layer], &name, &metadata, (to, at))?;
                }
                None => {}
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: &Directory,
        name: &OsString,
        metadata: &Metadata,
        (to, at): (&Directory, &Path),
    ) -> io::Result<()> {
        let inode = (metadata.device, metadata.inode);
        if metadata.links > 1
            && let Some(first) = self.links.get(&inode)
        {
            let parent = first
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            let parent = self
                .target
                .directory(parent.unwrap_or(Path::new(".")), Links::Refused)?;
            return to.create_hard_link(name, &parent, first.file_name().unwrap_or_default());
        }
        match metadata.kind {
            Kind::File => {
                let mut source = from.file(Path::new(name), Links::Refused)?;
                // std uses copy_file_range(2) here, which shares extents where the file system can.
                io::copy(&mut source, &mut to.create_file(name, 0o600)?)?;
            }
            Kind::Symlink => to.create_symlink(name, &from.read_link(name)?)?,
            kind => to.create_node(name, kind, metadata.mode)?,
        }
        self.links.insert(inode, at.join(name));
        self.attributes(from, name, to, name)
    }

    fn attributes(
        &self,
        from: &Directory,
        name: &OsStr,
        to: &Directory,
        new: &OsStr,
    ) -> io::Result<()> {
        let Some(metadata) = from.metadata(name)? else {
            return Ok(());
        };
        to.set_owner(new, metadata.uid, metadata.gid)?;
        if metadata.kind != Kind::Symlink {
            to.set_mode(new, metadata.mode)?;
        }
        for (key, value) in from.attributes(name)? {
            if !is_mark(&key) {
                to.set_attribute(new, &key, &value)?;
            }
        }
        to.set_times(new, metadata.accessed, metadata.modified)
    }
}
