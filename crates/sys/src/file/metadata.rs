//! What an entry of a directory is.

use rustix::fs::{self, FileType};

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

impl Metadata {
    #[expect(
        clippy::useless_conversion,
        reason = "the widths of stat's fields differ by architecture"
    )]
    pub(super) fn from_stat(stat: &fs::Stat) -> Self {
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
