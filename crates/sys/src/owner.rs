//! Giving whole trees to another owner, by descriptor and without following a link.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};

/// How deep a tree is followed: each level holds a descriptor.
const DEEPEST: usize = 512;

/// Gives a file, or a directory and everything in it, to this owner; what is his already stays untouched.
///
/// # Errors
/// Something cannot be opened or given, or directories are nested too deeply.
pub fn give_tree(path: &Path, user: u32, group: u32) -> io::Result<()> {
    let owner = (Uid::from_raw(user), Gid::from_raw(group));
    let root = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let status = rustix::fs::fstat(&root)?;
    give(root.as_fd(), c"", (status.st_uid, status.st_gid), owner)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
        return Ok(());
    }
    let root = crate::path::reopen(&root, OFlags::RDONLY | OFlags::DIRECTORY)?;
    directory(root.as_fd(), owner, 0)
}

fn directory(parent: BorrowedFd<'_>, owner: (Uid, Gid), depth: usize) -> io::Result<()> {
    if depth > DEEPEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the directories are nested too deeply",
        ));
    }
    for entry in Dir::read_from(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let status = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        give(parent, name, (status.st_uid, status.st_gid), owner)?;
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let child = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            directory(child.as_fd(), owner, depth + 1)?;
        }
    }
    Ok(())
}

fn give(
    parent: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    present: (u32, u32),
    (user, group): (Uid, Gid),
) -> io::Result<()> {
    if present == (user.as_raw(), group.as_raw()) {
        return Ok(());
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    Ok(rustix::fs::chownat(
        parent,
        name,
        Some(user),
        Some(group),
        flags,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    #[test]
    fn privileged_a_tree_is_given_and_links_are_not_followed() {
        if !crate::user::is_root() {
            eprintln!("SKIPPED: needs root");
            return;
        }
        let base = std::env::temp_dir().join(format!("berth-owner-{}", std::process::id()));
        std::fs::create_dir_all(base.join("tree/below")).unwrap();
        std::fs::write(base.join("tree/below/file"), "").unwrap();
        std::fs::write(base.join("outside"), "").unwrap();
        symlink("../outside", base.join("tree/link")).unwrap();
        give_tree(&base.join("tree"), 1234, 5678).unwrap();
        let owner = |name: &str| {
            let metadata = std::fs::symlink_metadata(base.join(name)).unwrap();
            (metadata.uid(), metadata.gid())
        };
        for name in ["tree", "tree/below", "tree/below/file", "tree/link"] {
            assert_eq!(owner(name), (1234, 5678), "{name}");
        }
        assert_eq!(owner("outside"), (0, 0));
        std::fs::remove_dir_all(base).unwrap();
    }
}
