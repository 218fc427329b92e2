//! Making directories and files beneath a root that is not trusted.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Directory, open_child, within};

impl Directory {
    /// Makes a directory and its missing parents; returns it as `O_PATH`.
    ///
    /// What exists is resolved within the root; what is made is made by descriptor, one component at
    /// a time, so that no race can create anything outside (CVE-2024-45310). A dangling symbolic link
    /// is followed within the root where it is the last component, and refused on the way there.
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
    /// A parent is no directory, or the file system refuses.
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

fn split_last(path: &Path) -> io::Result<(&Path, &OsStr)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path names no file",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_cannot_leave_the_root() {
        let base = std::env::temp_dir().join(format!("berth-sys-making-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
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
}
