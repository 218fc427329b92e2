//! Names: removed, moved, exchanged, and new ones.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use rustix::fs::{self, AtFlags, RenameFlags};
use rustix::io::Errno;

use super::{Directory, Links};

impl Directory {
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
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        let inner = self.directory(Path::new(name), Links::Refused)?;
        for child in inner.names()? {
            inner.remove_all(&child)?;
        }
        match fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
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
            Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
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
