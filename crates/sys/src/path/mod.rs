//! Paths that are not trusted: resolved beneath a directory descriptor, never as a string.
//!
//! A [`Directory`] is the root of such a resolution. Everything goes through `openat2` with
//! `RESOLVE_IN_ROOT` (a symbolic link or `..` cannot leave it) and `RESOLVE_NO_MAGICLINKS`
//! (`/proc/self/fd/N` cannot either).

mod entry;
mod making;
mod status;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

pub use self::entry::{
    Node, make_directory, make_link, make_node, set_owner, set_owner_at, set_user,
};
pub use self::status::{
    DEVPTS, PROC, exists, is_directory, is_node, is_on, is_pipe, is_read_only, status, status_at,
};

/// Flags for reading a directory.
pub const READ_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);
/// Flags for using a terminal without making it the controlling one.
pub const READ_WRITE_TERMINAL: OFlags = OFlags::RDWR.union(OFlags::NOCTTY);
/// Nothing is created.
pub const NO_MODE: Mode = Mode::empty();

/// A directory beneath which untrusted paths are resolved.
#[derive(Debug)]
pub struct Directory(OwnedFd);

const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

impl Directory {
    /// Opens a trusted path of the host as a root.
    ///
    /// # Errors
    /// It is not there, or not a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Uses an open directory as a root.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Gives the descriptor back.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Opens a path beneath the root; the last component may be a symbolic link that stays within.
    ///
    /// # Errors
    /// The path does not exist there, or leaves it.
    pub fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        retry(|| {
            rustix::fs::openat2(
                &self.0,
                within(path),
                flags | OFlags::CLOEXEC,
                mode,
                IN_ROOT,
            )
        })
    }

    /// Refers to a path beneath the root without opening it (`O_PATH`).
    ///
    /// # Errors
    /// The path does not exist there, or leaves it.
    pub fn resolve(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::PATH, Mode::empty())
    }

    /// Refers to a path beneath the root, refusing any symbolic link on the way (`O_PATH`).
    ///
    /// # Errors
    /// The path does not exist there, or has a symbolic link in it (`ELOOP`).
    pub fn resolve_plain(&self, path: &Path) -> io::Result<OwnedFd> {
        let resolve = IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found =
            retry(|| rustix::fs::openat2(&self.0, within(path), flags, Mode::empty(), resolve))?;
        // At the end of the path the two flags together open the link itself (openat2(2)).
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
        match kind == FileType::Symlink {
            true => Err(Errno::LOOP.into()),
            false => Ok(found),
        }
    }

    /// What is at a path beneath the root, following links within it.
    ///
    /// # Errors
    /// The path does not exist there, or leaves it.
    pub fn status(&self, path: &Path) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(self.resolve(path)?)?)
    }

    /// A regular file to read from, without blocking on what only looks like one.
    fn open_regular(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.open_at(path, flags, Mode::empty())?;
        let status = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is not a regular file",
            ));
        }
        Ok(file.into())
    }

    /// Reads a small regular file of an image: never blocks on a FIFO, never reads more than `limit`
    /// (CVE-2024-9676).
    ///
    /// # Errors
    /// It does not exist, is not a regular file (`InvalidData`) or is larger than `limit`.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open_regular(path)?;
        let mut content = Vec::new();
        let read = file
            .take(limit.saturating_add(1))
            .read_to_end(&mut content)?;
        if u64::try_from(read).unwrap_or(u64::MAX) > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it is larger than {limit} bytes"),
            ));
        }
        Ok(content)
    }

    /// Reads at most the first `count` bytes of a regular file of an image.
    ///
    /// # Errors
    /// It does not exist or is not a regular file (`InvalidData`).
    pub fn read_head(&self, path: &Path, count: u64) -> io::Result<Vec<u8>> {
        let file = self.open_regular(path)?;
        let mut head = Vec::new();
        file.take(count).read_to_end(&mut head)?;
        Ok(head)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Opens one name in a directory without following a link there.
///
/// # Errors
/// It does not exist, or is a symbolic link.
pub fn open_child(
    directory: BorrowedFd<'_>,
    name: impl AsRef<Path>,
    flags: OFlags,
) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry(|| rustix::fs::openat2(directory, name.as_ref(), flags, Mode::empty(), resolve))
}

/// Writes a small kernel file beneath a procfs root, which must be procfs all the way.
///
/// # Errors
/// There is no such file, it lies on another mount, or the kernel refuses the value.
pub fn write_proc(proc: BorrowedFd<'_>, path: &str, content: &[u8]) -> io::Result<()> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = retry(|| rustix::fs::openat2(proc, path, flags, Mode::empty(), resolve))?;
    if !is_on(&file, PROC)? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not on procfs",
        ));
    }
    crate::fd::write_once(file, content)
}

/// The same place again, opened with other flags, through this process's own descriptor table.
///
/// # Errors
/// The file does not allow these flags.
pub fn reopen(fd: impl AsFd, flags: OFlags) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", crate::fd::number(fd));
    Ok(rustix::fs::open(
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// `openat2` takes a path relative to the root; a leading slash would be the same, but an empty path
/// would not.
fn within(path: &Path) -> &Path {
    let relative = path.strip_prefix("/").unwrap_or(path);
    if relative.as_os_str().is_empty() {
        Path::new(".")
    } else {
        relative
    }
}

/// A rename elsewhere on the host makes `openat2` give up with `EAGAIN` (man 2 openat2).
fn retry(mut attempt: impl FnMut() -> rustix::io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    for _ in 0..128 {
        match attempt() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
    Ok(attempt()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_bounded_and_never_blocks() {
        let base = std::env::temp_dir().join(format!("berth-sys-path-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        std::fs::write(base.join("file"), "12345").unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            base.join("fifo"),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let directory = Directory::open(&base).unwrap();
        assert_eq!(directory.read(Path::new("/file"), 5).unwrap(), b"12345");
        assert!(directory.read(Path::new("/file"), 4).is_err());
        assert!(directory.read(Path::new("fifo"), 100).is_err());
        assert!(directory.read(Path::new("/"), 100).is_err());
        std::fs::remove_dir_all(base).unwrap();
    }
}
