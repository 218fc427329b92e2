//! Copies of small directory trees, by descriptor, with owners, modes and times.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};

/// How deep a tree is followed: deeper ones are nobody's honest directory.
const DEEPEST: usize = 128;

/// Copies everything in one directory into another one; special files are left out.
///
/// # Errors
/// The target has no room, or something cannot be read.
pub fn tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    directory(from, to, 0)
}

fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
    if depth > DEEPEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the directories are nested too deeply",
        ));
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let status = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700))?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
                let target = rustix::fs::openat(to, name, flags, Mode::empty())?;
                directory(source.as_fd(), target.as_fd(), depth + 1)?;
                same(&target, &status)?;
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let target = rustix::fs::openat(to, name, flags, Mode::from_raw_mode(0o600))?;
                let mut target = File::from(target);
                io::copy(&mut File::from(source), &mut target)?;
                same(&OwnedFd::from(target), &status)?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(target, to, name)?;
                let (user, group) = owner(&status);
                rustix::fs::chownat(to, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            _ => {}
        }
    }
    let status = rustix::fs::fstat(from)?;
    same(&crate::fd::duplicate(to)?, &status)
}

/// Gives a file the owner, mode and times of another one.
fn same(file: &OwnedFd, status: &Stat) -> io::Result<()> {
    let (user, group) = owner(status);
    rustix::fs::fchown(file, user, group)?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(status.st_mode & 0o7777))?;
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(status.st_atime, status.st_atime_nsec),
        last_modification: time(status.st_mtime, status.st_mtime_nsec),
    };
    Ok(rustix::fs::futimens(file, &times)?)
}

fn owner(status: &Stat) -> (Option<rustix::fs::Uid>, Option<rustix::fs::Gid>) {
    (
        Some(rustix::fs::Uid::from_raw(status.st_uid)),
        Some(rustix::fs::Gid::from_raw(status.st_gid)),
    )
}
