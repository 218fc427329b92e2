//! Files that nobody sees until they are complete, and that leave nothing when their maker is killed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::file::unique_name;

/// A file on its way to a name.
#[derive(Debug)]
pub struct UnnamedFile {
    file: File,
    place: PathBuf,
    /// Its own name where the file system knows no files without one.
    aside: Option<PathBuf>,
}

impl UnnamedFile {
    /// Makes a file that will be called `place`, readable by its owner alone.
    ///
    /// # Errors
    /// The directory is not there or not writable.
    pub fn create(place: &Path) -> io::Result<Self> {
        let directory = directory_of(place);
        let mode = Mode::from_raw_mode(0o600);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let (fd, aside) = match rustix::fs::open(directory, flags, mode) {
            Ok(fd) => (fd, None),
            // NFS and old overlayfs have no O_TMPFILE (open(2)).
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
                let aside = directory.join(unique_name(".partial-"));
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
                (rustix::fs::open(&aside, flags, mode)?, Some(aside))
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            file: File::from(fd),
            place: place.to_owned(),
            aside,
        })
    }

    /// What to write to.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name, in place of whatever has it.
    ///
    /// # Errors
    /// Whatever `linkat(2)` and `rename(2)` say; a file of that name stays as it was then.
    pub fn publish(mut self) -> io::Result<()> {
        let aside = match self.aside.take() {
            Some(aside) => aside,
            None => {
                // linkat(2) cannot replace, so a name of its own comes first.
                let aside = directory_of(&self.place).join(unique_name(".partial-"));
                let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                rustix::fs::linkat(CWD, open, CWD, &aside, AtFlags::SYMLINK_FOLLOW)?;
                aside
            }
        };
        std::fs::rename(&aside, &self.place).inspect_err(|_failure| {
            // The rename is the failure to tell.
            drop(std::fs::remove_file(&aside));
        })
    }
}

impl Drop for UnnamedFile {
    fn drop(&mut self) {
        if let Some(aside) = &self.aside {
            drop(std::fs::remove_file(aside));
        }
    }
}

fn directory_of(place: &Path) -> &Path {
    match place.parent() {
        Some(parent) if parent.as_os_str() != OsStr::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn nothing_is_seen_before_it_is_complete() {
        let place = std::env::temp_dir().join(unique_name("berth-unnamed-"));
        std::fs::create_dir(&place).unwrap();
        let target = place.join("file");
        std::fs::write(&target, "old").unwrap();
        let mut file = UnnamedFile::create(&target).unwrap();
        file.file().write_all(b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "old");
        file.publish().unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "new");
        drop(UnnamedFile::create(&target).unwrap());
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
        assert!(UnnamedFile::create(&place.join("no/file")).is_err());
        std::fs::remove_dir_all(&place).unwrap();
    }
}
