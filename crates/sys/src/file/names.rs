//! Names: removed, moved, exchanged, and new ones.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use rustix::fs::{self, AtFlags, RenameFlags};
use rustix::io::Errno;

use super::{Directory, Links};

/// How deep a tree is gone down when it is removed: each step takes a descriptor, and a guest makes trees as deep
/// as it likes.
const DEPTH: usize = 64;

impl Directory {
    /// Removes a name that is not a directory.
    ///
    /// # Errors
    /// Whatever `unlinkat(2)` says.
    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Removes a name and everything beneath it, however deep, never following a link; absence is success.
    ///
    /// # Errors
    /// Whatever `unlinkat(2)`, `openat2(2)` or `renameat(2)` say first; the rest is removed all the same.
    pub fn remove_all(&self, name: &OsStr) -> io::Result<()> {
        let mut removal = Removal {
            top: self,
            moved: Vec::new(),
            result: Ok(()),
        };
        removal.remove(self, name, 0);
        while let Some(name) = removal.moved.pop() {
            removal.remove(self, &name, 0);
        }
        removal.result
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

/// A tree that is being removed.
struct Removal<'d> {
    top: &'d Directory,
    /// What lay deeper than [`DEPTH`] and is next to the tree now.
    moved: Vec<OsString>,
    result: io::Result<()>,
}

impl Removal<'_> {
    fn remove(&mut self, parent: &Directory, name: &OsStr, depth: usize) {
        if let Err(error) = self.tried(parent, name, depth)
            && error.kind() != io::ErrorKind::NotFound
            && self.result.is_ok()
        {
            self.result = Err(error);
        }
    }

    fn tried(&mut self, parent: &Directory, name: &OsStr, depth: usize) -> io::Result<()> {
        match parent.remove_file(name) {
            Err(error) if is_directory(&error) => {}
            removed => return removed,
        }
        if depth == DEPTH {
            let aside = unique_name(".deep-");
            parent.rename(name, self.top, &aside)?;
            self.moved.push(aside);
            return Ok(());
        }
        let inner = parent.directory(Path::new(name), Links::Refused)?;
        for child in inner.names()? {
            self.remove(&inner, &child, depth + 1);
        }
        Ok(fs::unlinkat(&parent.fd, name, AtFlags::REMOVEDIR)?)
    }
}

/// Linux says `EISDIR` where POSIX has `EPERM`.
fn is_directory(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::IsADirectory | io::ErrorKind::PermissionDenied
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_any_depth_goes_and_nothing_a_link_leads_to() {
        let base = std::env::temp_dir().join(unique_name("berth-remove-"));
        std::fs::create_dir_all(base.join("kept")).unwrap();
        let top = Directory::open(&base).unwrap();
        top.create_directory(OsStr::new("tree"), 0o700).unwrap();
        let mut inner = top.directory(Path::new("tree"), Links::Refused).unwrap();
        for _ in 0..3000 {
            inner.create_file(OsStr::new("file"), 0o600).unwrap();
            let link = inner.create_symlink(OsStr::new("link"), base.join("kept").as_os_str());
            link.unwrap();
            inner.create_directory(OsStr::new("d"), 0o700).unwrap();
            inner = inner.directory(Path::new("d"), Links::Refused).unwrap();
        }
        top.remove_all(OsStr::new("tree")).unwrap();
        top.remove_all(OsStr::new("tree")).unwrap();
        assert_eq!(top.names().unwrap(), ["kept"]);
        top.remove_all(OsStr::new("kept")).unwrap();
        std::fs::remove_dir(&base).unwrap();
    }
}
