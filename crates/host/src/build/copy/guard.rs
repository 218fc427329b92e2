//! What ends a copy before its time: nobody wants it any more, or it would copy what it writes.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use berth_image::{Entry, Interrupt};
use berth_sys::file::Directory;

/// Watches over what a build reads and writes.
#[derive(Debug)]
pub(crate) struct Guard {
    interrupt: Interrupt,
    /// Where the store is, into which everything is copied.
    data: PathBuf,
    /// Its device and inode.
    own: Option<(u64, u64)>,
}

impl Guard {
    /// Ends copies when that is asked for, and those of the directory `data`.
    pub(crate) fn new(interrupt: Interrupt, data: &Path) -> Self {
        let own = Directory::open(data).and_then(|opened| opened.own_metadata());
        Self {
            interrupt,
            data: data.to_owned(),
            own: own.ok().map(|found| (found.device, found.inode)),
        }
    }

    /// Fails once the end was asked for.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.interrupt.is_asked() {
            return Err(io::Error::other("the build was cancelled"));
        }
        Ok(())
    }

    /// Fails for what is not to be copied at all.
    pub(super) fn admit(&self, entry: &Entry) -> io::Result<()> {
        self.check()?;
        let metadata = entry.metadata();
        if entry.is_directory() && self.own == Some((metadata.device, metadata.inode)) {
            return Err(io::Error::other(format!(
                "{} is in it, to which this build itself writes; .dockerignore may leave it out",
                self.data.display()
            )));
        }
        Ok(())
    }

    /// What reads or writes no longer than it is wanted.
    pub(in crate::build) fn over<T>(&self, inner: T) -> Guarded<'_, T> {
        Guarded { guard: self, inner }
    }
}

/// A reader or writer that fails once the end was asked for.
#[derive(Debug)]
pub(in crate::build) struct Guarded<'a, T> {
    guard: &'a Guard,
    inner: T,
}

impl<T: Read> Read for Guarded<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.guard.check()?;
        self.inner.read(buffer)
    }
}

impl<T: Write> Write for Guarded<'_, T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.guard.check()?;
        self.inner.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_image::Merged;
    use berth_sys::file::Links;

    #[test]
    fn nothing_goes_on_that_is_not_wanted() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::create_dir(place.path().join("other")).unwrap();
        let interrupt = Interrupt::default();
        let guard = Guard::new(interrupt.clone(), &data);
        let tree = Merged::open(&[place.path().to_owned()]).unwrap();
        let entry = |name: &str| {
            let found = tree.place(Path::new(name), Links::Refused).unwrap();
            found.entry.unwrap()
        };
        assert!(guard.admit(&entry("other")).is_ok());
        assert!(guard.admit(&entry("data")).is_err());
        let mut copied = Vec::new();
        let mut copy = || io::copy(&mut guard.over(&b"text"[..]), &mut guard.over(&mut copied));
        assert_eq!(copy().unwrap(), 4);
        interrupt.ask();
        assert!(copy().is_err());
        assert!(guard.admit(&entry("other")).is_err());
        assert_eq!(copied, b"text");
    }
}
