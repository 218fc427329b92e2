//! Paths that are not trusted: resolved beneath a directory descriptor, never as a string.
//!
//! A [`Directory`] is the root of such a resolution. Everything goes through `openat2` with
//! `RESOLVE_IN_ROOT` (a symbolic link or `..` cannot leave it) and `RESOLVE_NO_MAGICLINKS`
//! (`/proc/self/fd/N` cannot either).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

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
        retry(|| rustix::fs::openat2(&self.0, within(path), flags, Mode::empty(), resolve))
    }

    /// What is at a path beneath the root, following links within it.
    ///
    /// # Errors
    /// The path does not exist there, or leaves it.
    pub fn status(&self, path: &Path) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(self.resolve(path)?)?)
    }

    /// Reads a small regular file of an image: never blocks on a FIFO, never reads more than `limit`
    /// (CVE-2024-9676).
    ///
    /// # Errors
    /// It does not exist, is not a regular file (`InvalidData`) or is larger than `limit`.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open_at(
            path,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
            Mode::empty(),
        )?;
        let status = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is not a regular file",
            ));
        }
        let mut content = Vec::new();
        let read = File::from(file)
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
        let file = self.open_at(
            path,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
            Mode::empty(),
        )?;
        let status = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is not a regular file",
            ));
        }
        let mut head = Vec::new();
        File::from(file).take(count).read_to_end(&mut head)?;
        Ok(head)
    }

    /// Makes a directory and its missing parents; returns it as `O_PATH`.
    ///
    /// What exists is resolved within the root; what is made is made by descriptor, one component at
    /// a time, so that no race can create anything outside (CVE-2024-45310). A dangling symbolic link
    /// on the way is refused.
    ///
    /// # Errors
    /// A component exists and is no directory, or the file system refuses.
    pub fn make_directories(&self, path: &Path, mode: u32) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.open_at(path, flags, Mode::empty()) {
            Err(error) if crate::error::is(&error, Errno::NOENT) => {}
            result => return result,
        }
        if let Some(target) = self.dangling(path)? {
            return self.make_directories(&target, mode);
        }
        let (existing, missing) = self.split_existing(path)?;
        let mut current = existing;
        for name in missing {
            match rustix::fs::mkdirat(&current, &name, Mode::from_raw_mode(mode)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            current = open_child(current.as_fd(), &name, flags)?;
        }
        Ok(current)
    }

    /// Makes an empty regular file, and its missing parents, unless something is there already;
    /// returns it as `O_PATH`.
    ///
    /// # Errors
    /// A parent is no directory, the last component is a dangling link, or the file system refuses.
    pub fn make_file(&self, path: &Path, mode: u32) -> io::Result<OwnedFd> {
        match self.resolve(path) {
            Err(error) if crate::error::is(&error, Errno::NOENT) => {}
            result => return result,
        }
        if let Some(target) = self.dangling(path)? {
            return self.make_file(&target, mode);
        }
        let (parent, name) = split_last(path)?;
        let parent = self.make_directories(parent, 0o755)?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
        match rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(mode)) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        open_child(parent.as_fd(), name, OFlags::PATH)
    }

    /// Where a path that resolves to nothing points to, if its last component is a symbolic link: an
    /// `/etc/resolv.conf` that points into `/run`, say. Each call follows one link, and the result is
    /// resolved within the root again.
    fn dangling(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let Ok((parent, name)) = split_last(path) else {
            return Ok(None);
        };
        let Ok(directory) = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
        else {
            return Ok(None);
        };
        let target = match rustix::fs::readlinkat(&directory, name, Vec::new()) {
            Ok(target) => target,
            Err(Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let target = Path::new(OsStr::from_bytes(target.as_bytes())).to_path_buf();
        let target = if target.is_absolute() {
            target
        } else {
            parent.join(target)
        };
        // A link to itself would be followed for ever; the kernel allows 40.
        if target.components().count() > 256 || target == path {
            return Err(Errno::LOOP.into());
        }
        Ok(Some(target))
    }

    /// The longest part of `path` that exists, and the names that are missing below it.
    fn split_existing(&self, path: &Path) -> io::Result<(OwnedFd, Vec<PathBuf>)> {
        let mut prefix = within(path).to_path_buf();
        let mut missing = Vec::new();
        loop {
            match prefix.components().next_back() {
                None | Some(Component::RootDir | Component::CurDir) => {
                    let root = self.open_at(
                        Path::new("."),
                        OFlags::PATH | OFlags::DIRECTORY,
                        Mode::empty(),
                    )?;
                    missing.reverse();
                    return Ok((root, missing));
                }
                Some(Component::Normal(name)) => missing.push(PathBuf::from(name)),
                Some(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "it goes up (..) from a directory that does not exist",
                    ));
                }
            }
            prefix.pop();
            match self.open_at(&prefix, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
                Ok(existing) => {
                    missing.reverse();
                    return Ok((existing, missing));
                }
                Err(error) if crate::error::is(&error, Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
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

/// What a descriptor refers to; works with `O_PATH`.
///
/// # Errors
/// The descriptor is not valid for it.
pub fn status(fd: impl AsFd) -> io::Result<Stat> {
    Ok(rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH)?)
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
    let (kind, device) = match node {
        Node::Character(major, minor) => {
            (FileType::CharacterDevice, rustix::fs::makedev(major, minor))
        }
        Node::Block(major, minor) => (FileType::BlockDevice, rustix::fs::makedev(major, minor)),
        Node::Fifo => (FileType::Fifo, 0),
    };
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

/// Whether a status is that of the character device with these numbers.
#[must_use]
pub fn is_character(status: &Stat, major: u32, minor: u32) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
        && (
            rustix::fs::major(status.st_rdev),
            rustix::fs::minor(status.st_rdev),
        ) == (major, minor)
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

fn split_last(path: &Path) -> io::Result<(&Path, &OsStr)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path names no file",
        )),
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

/// Whether the file system at a path of this process's own root is mounted read-only.
#[must_use]
pub fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|status| {
        status
            .f_flag
            .contains(rustix::fs::StatVfsMountFlags::RDONLY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("berth-sys-path-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn links_cannot_leave_the_root() {
        let base = scratch("links");
        let root = base.join("root");
        let outside = base.join("outside");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("absolute")).unwrap();
        std::os::unix::fs::symlink("../outside", root.join("relative")).unwrap();
        std::os::unix::fs::symlink("/inside", root.join("good")).unwrap();
        std::fs::create_dir_all(root.join("inside")).unwrap();
        let directory = Directory::open(&root).unwrap();
        for path in [
            "absolute/x/y",
            "relative/x/y",
            "../outside/x",
            "/../outside/x",
        ] {
            let made = directory.make_directories(Path::new(path), 0o755);
            assert!(
                std::fs::read_dir(&outside).unwrap().next().is_none(),
                "{path}: {made:?}"
            );
            let made = directory.make_file(Path::new(path), 0o644);
            assert!(
                std::fs::read_dir(&outside).unwrap().next().is_none(),
                "{path}: {made:?}"
            );
        }
        directory
            .make_directories(Path::new("/good/a/b"), 0o755)
            .unwrap();
        assert!(root.join("inside/a/b").is_dir());
        directory.make_file(Path::new("/good/f/g"), 0o644).unwrap();
        assert!(root.join("inside/f/g").is_file());
        std::fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn reading_is_bounded_and_never_blocks() {
        let base = scratch("read");
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
