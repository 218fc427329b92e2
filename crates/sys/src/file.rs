//! Files beneath a directory fd: making, removing, attributes, extended attributes, syncing.
//!
//! Every name given to [`Directory`] is either one path component or is resolved by `openat2(2)` and
//! cannot leave the directory. Files are never opened through a final symbolic link, and opening never
//! blocks on a FIFO.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps,
    Uid, XattrFlags,
};

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

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device with its numbers; 0:0 is overlayfs's whiteout.
    CharacterDevice(u32, u32),
    /// A block device with its numbers.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// What `fstatat(2)` knows of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Bytes on disk.
    pub allocated: u64,
    /// Names it has.
    pub links: u64,
    /// Inode number.
    pub inode: u64,
    /// Device it lies on.
    pub device: u64,
    /// Last modification.
    pub modified: Time,
    /// Last access.
    pub accessed: Time,
    /// Last change of content or attributes; nobody can set it.
    pub changed: Time,
}

/// A point in time: seconds since the epoch and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999 999 999.
    pub nanoseconds: u32,
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
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Makes a new regular file for writing; fails if the name exists, even as a dangling link.
    ///
    /// # Errors
    /// `EEXIST` and whatever else `openat(2)` says.
    pub fn create_file(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.open_at(
            Path::new(name),
            flags,
            Mode::from_raw_mode(mode),
            Links::Refused,
        )?;
        Ok(File::from(fd))
    }

    /// Opens or makes a regular file for reading and writing, without truncating it.
    ///
    /// # Errors
    /// Whatever `openat(2)` says.
    pub fn open_or_create(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.open_at(
            Path::new(name),
            flags,
            Mode::from_raw_mode(mode),
            Links::Refused,
        )?;
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
            Err(rustix::io::Errno::NOENT) => Ok(None),
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

    /// Removes a name that is not a directory.
    ///
    /// # Errors
    /// Whatever `unlinkat(2)` says.
    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Removes a name and everything beneath it, never following a link; absence is success.
    ///
    /// # Errors
    /// Whatever `unlinkat(2)` or `openat2(2)` say.
    pub fn remove_all(&self, name: &OsStr) -> io::Result<()> {
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        let inner = self.directory(Path::new(name), Links::Refused)?;
        for child in inner.names()? {
            inner.remove_all(&child)?;
        }
        match fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames an entry into `to`, replacing a file there.
    ///
    /// # Errors
    /// Whatever `renameat(2)` says.
    pub fn rename(&self, name: &OsStr, to: &Self, new_name: &OsStr) -> io::Result<()> {
        Ok(fs::renameat(&self.fd, name, &to.fd, new_name)?)
    }

    /// Exchanges what two names of this directory refer to, at once.
    ///
    /// # Errors
    /// Whatever `renameat2(2)` says.
    pub fn exchange(&self, one: &OsStr, other: &OsStr) -> io::Result<()> {
        let flags = RenameFlags::EXCHANGE;
        Ok(fs::renameat_with(&self.fd, one, &self.fd, other, flags)?)
    }

    /// Renames an entry into `to` unless the name is taken there; says whether it was done.
    ///
    /// # Errors
    /// Whatever `renameat2(2)` says but `EEXIST`.
    pub fn rename_new(&self, name: &OsStr, to: &Self, new_name: &OsStr) -> io::Result<bool> {
        match fs::renameat_with(&self.fd, name, &to.fd, new_name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOTEMPTY) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the owner of an entry, of a symbolic link itself.
    ///
    /// # Errors
    /// `EPERM` without `CAP_CHOWN`.
    pub fn set_owner(&self, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        Ok(fs::chownat(
            &self.fd,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// Sets the mode of an entry known not to be a symbolic link.
    ///
    /// # Errors
    /// Whatever `fchmodat(2)` says.
    pub fn set_mode(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        Ok(fs::chmodat(
            &self.fd,
            name,
            Mode::from_raw_mode(mode),
            AtFlags::empty(),
        )?)
    }

    /// Sets access and modification time of an entry, of a symbolic link itself.
    ///
    /// # Errors
    /// Whatever `utimensat(2)` says.
    pub fn set_times(&self, name: &OsStr, accessed: Time, modified: Time) -> io::Result<()> {
        let times = timestamps(accessed, modified);
        Ok(fs::utimensat(
            &self.fd,
            name,
            &times,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// Sets an extended attribute of an entry, of a symbolic link itself.
    ///
    /// # Errors
    /// `ENOTSUP`, `EPERM`, `ENOSPC` from `lsetxattr(2)`.
    pub fn set_attribute(&self, name: &OsStr, key: &OsStr, value: &[u8]) -> io::Result<()> {
        Ok(fs::lsetxattr(
            self.proc_path(name).as_path(),
            key,
            value,
            XattrFlags::empty(),
        )?)
    }

    /// The extended attributes of an entry, of a symbolic link itself.
    ///
    /// # Errors
    /// Whatever `llistxattr(2)` and `lgetxattr(2)` say but `ENOTSUP`.
    pub fn attributes(&self, name: &OsStr) -> io::Result<Vec<(OsString, Vec<u8>)>> {
        let path = self.proc_path(name);
        let length = match fs::llistxattr_query(path.as_path()) {
            Ok(0) | Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Ok(length) => length,
            Err(error) => return Err(error.into()),
        };
        let mut list = vec![0_u8; length];
        let filled = fs::llistxattr(path.as_path(), &mut list[..])?;
        let mut attributes = Vec::new();
        for key in list[..filled]
            .split(|byte| *byte == 0)
            .filter(|key| !key.is_empty())
        {
            let key = OsString::from_vec(key.to_vec());
            let mut value = vec![0_u8; fs::lgetxattr_query(path.as_path(), key.as_os_str())?];
            let length = fs::lgetxattr(path.as_path(), key.as_os_str(), &mut value[..])?;
            value.truncate(length);
            attributes.push((key, value));
        }
        Ok(attributes)
    }

    /// xattr calls with a directory fd came with Linux 6.13 (`setxattrat`); `/proc/self/fd` names the
    /// pinned directory on every kernel, and `l*xattr` does not follow the last component.
    fn proc_path(&self, name: &OsStr) -> std::path::PathBuf {
        let mut path = std::path::PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
        path.push(name);
        path
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

impl Metadata {
    #[expect(
        clippy::useless_conversion,
        reason = "the widths of stat's fields differ by architecture"
    )]
    fn from_stat(stat: &fs::Stat) -> Self {
        let device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharacterDevice(device.0, device.1),
            FileType::BlockDevice => Kind::BlockDevice(device.0, device.1),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::RegularFile | FileType::Unknown => Kind::File,
        };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            allocated: u64::try_from(stat.st_blocks)
                .unwrap_or(0)
                .saturating_mul(512),
            links: u64::from(stat.st_nlink),
            inode: u64::from(stat.st_ino),
            device: u64::from(stat.st_dev),
            modified: Time::new(i64::from(stat.st_mtime), u64::from(stat.st_mtime_nsec)),
            accessed: Time::new(i64::from(stat.st_atime), u64::from(stat.st_atime_nsec)),
            changed: Time::new(i64::from(stat.st_ctime), u64::from(stat.st_ctime_nsec)),
        }
    }
}

impl Time {
    fn new(seconds: i64, nanoseconds: u64) -> Self {
        Self {
            seconds,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
        }
    }
}

fn timestamps(accessed: Time, modified: Time) -> Timestamps {
    let spec = |time: Time| Timespec {
        tv_sec: time.seconds,
        tv_nsec: i64::from(time.nanoseconds),
    };
    Timestamps {
        last_access: spec(accessed),
        last_modification: spec(modified),
    }
}

/// Sets owner, then mode: `chown(2)` clears setuid, so the order matters.
///
/// # Errors
/// `EPERM` without `CAP_CHOWN`.
pub fn set_owner_and_mode(file: &impl AsFd, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    Ok(fs::fchmod(file, Mode::from_raw_mode(mode))?)
}

/// Sets access and modification time of an open file.
///
/// # Errors
/// Whatever `futimens(3)` says.
pub fn set_times(file: &impl AsFd, accessed: Time, modified: Time) -> io::Result<()> {
    Ok(fs::futimens(file, &timestamps(accessed, modified))?)
}

/// Sets an extended attribute of an open file.
///
/// # Errors
/// `ENOTSUP`, `EPERM`, `ENOSPC` from `fsetxattr(2)`.
pub fn set_attribute(file: &impl AsFd, key: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(fs::fsetxattr(file, key, value, XattrFlags::empty())?)
}

/// Whether this process has root's identity in its user namespace.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A name nobody else uses: `prefix` and 16 random hexadecimal digits.
#[must_use]
pub fn unique_name(prefix: &str) -> OsString {
    let mut bytes = [0_u8; 8];
    // An interrupted or short read leaves zeroes behind; the counter keeps the name unique then.
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let mut number = u64::from_ne_bytes(bytes);
    if filled != Ok(bytes.len()) {
        let count = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        number = u64::from(std::process::id()) << 32 | count;
    }
    OsString::from(format!("{prefix}{number:016x}"))
}
