//! Files beneath a directory fd: opened, made, listed, synced; the rest is next door.
//!
//! Every name given to [`Directory`] is either one path component or is resolved by `openat2(2)` and
//! cannot leave the directory. Files are never opened through a final symbolic link, and opening never
//! blocks on a FIFO.

mod attributes;
mod metadata;
mod names;

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

pub use self::attributes::{set_attribute, set_owner_and_mode, set_times};
pub use self::metadata::{Kind, Metadata, Time};
pub use self::names::unique_name;

/// A directory, and what can be done beneath it.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
}

/// How `openat2(2)` treats symbolic links on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Any symbolic link is an error (`ELOOP`).
    Refused,
    /// Links are followed with the directory as their root, as after `chroot(2)`.
    InRoot,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for Directory {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

impl Directory {
    /// Opens a directory by a path of the host's own making.
    ///
    /// # Errors
    /// Whatever `open(2)` says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            fd: fs::open(path, OFlags::RDONLY | DIRECTORY, Mode::empty())?,
        })
    }

    /// A second handle on the same directory.
    ///
    /// # Errors
    /// No file descriptors left.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self {
            fd: self.fd.try_clone()?,
        })
    }

    /// Opens a directory beneath this one; `.` is this one.
    ///
    /// # Errors
    /// `ELOOP` for a refused link, `EXDEV` for a way out, `ENOTDIR`, `ENOENT`.
    pub fn directory(&self, path: &Path, links: Links) -> io::Result<Self> {
        let fd = self.open_at(path, OFlags::RDONLY | DIRECTORY, Mode::empty(), links)?;
        Ok(Self { fd })
    }

    /// Opens a regular file for reading, never blocking on what only looks like one.
    ///
    /// # Errors
    /// As [`Self::directory`]; `InvalidInput` when it is not a regular file (CVE-2024-9676).
    pub fn file(&self, path: &Path, links: Links) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(self.open_at(path, flags, Mode::empty(), links)?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ))
        }
    }

    fn open_at(&self, path: &Path, flags: OFlags, mode: Mode, links: Links) -> io::Result<OwnedFd> {
        let resolve = match links {
            Links::Refused => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            Links::InRoot => ResolveFlags::IN_ROOT,
        } | ResolveFlags::NO_MAGICLINKS;
        loop {
            // EAGAIN means that a rename elsewhere raced with `..`; openat2(2) asks to try again.
            match fs::openat2(&self.fd, path, flags, mode, resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Makes a new regular file for writing; fails if the name exists, even as a dangling link.
    ///
    /// # Errors
    /// `EEXIST` and whatever else `openat(2)` says.
    pub fn create_file(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        self.open_for_writing(name, OFlags::CREATE | OFlags::EXCL, mode)
    }

    /// Opens or makes a regular file for reading and writing, without truncating it.
    ///
    /// # Errors
    /// Whatever `openat(2)` says.
    pub fn open_or_create(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        self.open_for_writing(name, OFlags::CREATE, mode)
    }

    fn open_for_writing(&self, name: &OsStr, flags: OFlags, mode: u32) -> io::Result<File> {
        let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        let fd = self.open_at(Path::new(name), flags, mode, Links::Refused)?;
        Ok(File::from(fd))
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// `EEXIST` and whatever else `mkdirat(2)` says.
    pub fn create_directory(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        Ok(fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode))?)
    }

    /// Makes a symbolic link; its target is stored, never followed.
    ///
    /// # Errors
    /// `EEXIST` and whatever else `symlinkat(2)` says.
    pub fn create_symlink(&self, name: &OsStr, target: &OsStr) -> io::Result<()> {
        Ok(fs::symlinkat(target, &self.fd, name)?)
    }

    /// Gives the entry `existing` of `from` a second name here; a symbolic link itself gets it.
    ///
    /// # Errors
    /// Whatever `linkat(2)` says.
    pub fn create_hard_link(&self, name: &OsStr, from: &Self, existing: &OsStr) -> io::Result<()> {
        Ok(fs::linkat(
            &from.fd,
            existing,
            &self.fd,
            name,
            AtFlags::empty(),
        )?)
    }

    /// Makes a device node, FIFO or socket.
    ///
    /// # Errors
    /// `EPERM` without `CAP_MKNOD`, and whatever else `mknodat(2)` says.
    pub fn create_node(&self, name: &OsStr, kind: Kind, mode: u32) -> io::Result<()> {
        let (file_type, device) = match kind {
            Kind::CharacterDevice(major, minor) => {
                (FileType::CharacterDevice, fs::makedev(major, minor))
            }
            Kind::BlockDevice(major, minor) => (FileType::BlockDevice, fs::makedev(major, minor)),
            Kind::Fifo => (FileType::Fifo, 0),
            Kind::Socket => (FileType::Socket, 0),
            Kind::File | Kind::Directory | Kind::Symlink => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        };
        Ok(fs::mknodat(
            &self.fd,
            name,
            file_type,
            Mode::from_raw_mode(mode),
            device,
        )?)
    }

    /// What the entry is, itself and not what a link points at; `None` if there is none.
    ///
    /// # Errors
    /// Whatever `fstatat(2)` says but `ENOENT`.
    pub fn metadata(&self, name: &OsStr) -> io::Result<Option<Metadata>> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Metadata::from_stat(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What the directory itself is.
    ///
    /// # Errors
    /// Whatever `fstat(2)` says.
    pub fn own_metadata(&self) -> io::Result<Metadata> {
        Ok(Metadata::from_stat(&fs::fstat(&self.fd)?))
    }

    /// Where a symbolic link points.
    ///
    /// # Errors
    /// `EINVAL` if it is none.
    pub fn read_link(&self, name: &OsStr) -> io::Result<OsString> {
        let target = fs::readlinkat(&self.fd, name, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// The names in the directory, without `.` and `..`.
    ///
    /// # Errors
    /// Whatever `getdents64(2)` says.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name: &CStr = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(OsString::from_vec(name.to_bytes().to_vec()));
            }
        }
        Ok(names)
    }

    /// Writes everything of the directory's file system to disk.
    ///
    /// # Errors
    /// A write that failed earlier is reported here.
    pub fn sync_file_system(&self) -> io::Result<()> {
        Ok(fs::syncfs(&self.fd)?)
    }

    /// Writes the directory's own entries to disk.
    ///
    /// # Errors
    /// Whatever `fsync(2)` says.
    pub fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.fd)?)
    }
}
