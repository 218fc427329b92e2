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
