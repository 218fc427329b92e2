//! What something is, and what it lies on.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Stat};

use super::Node;

/// What a descriptor refers to; works with `O_PATH`.
///
/// # Errors
/// The descriptor is not valid for it.
pub fn status(fd: impl AsFd) -> io::Result<Stat> {
    Ok(rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH)?)
}

/// What lies under a name in a directory, a link as such.
///
/// # Errors
/// Nothing does.
pub fn status_at(directory: impl AsFd, name: impl AsRef<Path>) -> io::Result<Stat> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::statat(directory, name.as_ref(), flags)?)
}

/// Whether a path of this process's own root exists, links followed.
#[must_use]
pub fn exists(path: &Path) -> bool {
    rustix::fs::stat(path).is_ok()
}

/// Whether a status is a directory's.
#[must_use]
pub fn is_directory(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::Directory
}

/// Whether a status is that of this special file.
#[must_use]
pub fn is_node(status: &Stat, node: Node) -> bool {
    let (kind, device) = node.parts();
    FileType::from_raw_mode(status.st_mode) == kind && status.st_rdev == device
}

/// Whether a status is a pipe's.
#[must_use]
pub fn is_pipe(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::Fifo
}

/// The magic number of procfs.
pub const PROC: i64 = 0x9fa0;
/// The magic number of devpts.
pub const DEVPTS: i64 = 0x1cd1;

/// Whether a descriptor lies on a file system with this magic number (CVE-2025-52881).
///
/// # Errors
/// The descriptor is not valid.
pub fn is_on(fd: impl AsFd, magic: i64) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type == magic)
}

/// Whether the file system at a path of this process's own root is mounted read-only.
#[must_use]
pub fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|status| {
        status
            .f_flag
            .contains(rustix::fs::StatVfsMountFlags::RDONLY)
    })
}
