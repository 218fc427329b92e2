//! Special files, directories and links in a directory that nobody else writes to, and whose they are.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::open_child;

/// Kinds of special files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A character device, by major and minor number.
    Character(u32, u32),
    /// A block device, by major and minor number.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

impl Node {
    /// Its type and its number.
    pub(super) fn parts(self) -> (FileType, u64) {
        match self {
            Self::Character(major, minor) => {
                (FileType::CharacterDevice, rustix::fs::makedev(major, minor))
            }
            Self::Block(major, minor) => (FileType::BlockDevice, rustix::fs::makedev(major, minor)),
            Self::Fifo => (FileType::Fifo, 0),
        }
    }
}

/// Makes a special file in a directory, with exactly this mode.
///
/// # Errors
/// Something is there already, or making devices is not permitted here.
pub fn make_node(
    directory: impl AsFd,
    name: impl AsRef<Path>,
    node: Node,
    mode: u32,
) -> io::Result<()> {
    let (kind, device) = node.parts();
    Ok(rustix::fs::mknodat(
        directory,
        name.as_ref(),
        kind,
        Mode::from_raw_mode(mode),
        device,
    )?)
}

/// Makes a new directory in one that nobody else writes to; returns it as `O_PATH`.
///
/// # Errors
/// Something is there already.
pub fn make_directory(parent: impl AsFd, name: &str, mode: u32) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode))?;
    open_child(parent.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY)
}

/// Makes a symbolic link in a directory.
///
/// # Errors
/// Something is there already.
pub fn make_link(directory: impl AsFd, name: &str, target: &str) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(target, directory, name)?)
}

/// Changes the owner of what a name in a directory refers to, without following a link.
///
/// # Errors
/// An id is not mapped, or a capability is missing.
pub fn set_owner_at(
    directory: impl AsFd,
    name: impl AsRef<Path>,
    user: u32,
    group: u32,
) -> io::Result<()> {
    let (user, group) = (
        rustix::fs::Uid::from_raw(user),
        rustix::fs::Gid::from_raw(group),
    );
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::chownat(
        directory,
        name.as_ref(),
        Some(user),
        Some(group),
        flags,
    )?)
}

/// Changes the owners of an open file.
///
/// # Errors
/// An id is not mapped, or a capability is missing.
pub fn set_owner(file: impl AsFd, user: u32, group: u32) -> io::Result<()> {
    Ok(rustix::fs::fchown(
        file,
        Some(rustix::fs::Uid::from_raw(user)),
        Some(rustix::fs::Gid::from_raw(group)),
    )?)
}

/// Changes the owning user of an open file.
///
/// # Errors
/// The id is not mapped, or a capability is missing.
pub fn set_user(file: impl AsFd, user: u32) -> io::Result<()> {
    Ok(rustix::fs::fchown(
        file,
        Some(rustix::fs::Uid::from_raw(user)),
        None,
    )?)
}
