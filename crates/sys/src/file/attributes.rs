//! Owners, modes, times and extended attributes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Directory, Time};

impl Directory {
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
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
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
    fn proc_path(&self, name: &OsStr) -> PathBuf {
        let mut path = PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
        path.push(name);
        path
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
