//! Being told when files change (`inotify(7)`).

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::inotify::{self, ReadFlags, WatchFlags};

/// What happened to a watched file or within a watched directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The number [`Watcher::watch_file`] or [`Watcher::watch_directory`] gave.
    pub watch: i32,
    /// What happened.
    pub what: What,
    /// The entry's name, for a watched directory.
    pub name: Option<OsString>,
}

/// The kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Bytes were written or cut off.
    Modified,
    /// An entry appeared in the directory.
    Appeared,
    /// An entry, or the watched file itself, was renamed away or removed.
    Gone,
    /// Changes were lost: look at everything again.
    Overflow,
}

/// An inotify instance; readable when there is a change.
#[derive(Debug)]
pub struct Watcher {
    inotify: OwnedFd,
}

impl Watcher {
    /// An instance that watches nothing yet.
    ///
    /// # Errors
    /// The user has too many of them (`fs.inotify.max_user_instances`).
    pub fn new() -> io::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        Ok(Self {
            inotify: inotify::init(flags)?,
        })
    }

    /// Watches one file: its bytes, and its renaming or removal.
    ///
    /// # Errors
    /// The file does not exist, or the user watches too much.
    pub fn watch_file(&self, path: &Path) -> io::Result<i32> {
        let flags = WatchFlags::MODIFY
            | WatchFlags::MOVE_SELF
            | WatchFlags::DELETE_SELF
            | WatchFlags::ATTRIB;
        Ok(inotify::add_watch(&self.inotify, path, flags)?)
    }

    /// Watches which entries a directory has.
    ///
    /// # Errors
    /// As for [`Watcher::watch_file`].
    pub fn watch_directory(&self, path: &Path) -> io::Result<i32> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        Ok(inotify::add_watch(&self.inotify, path, flags)?)
    }

    /// The changes that have arrived; empty when there are none. Never blocks.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn changes(&self) -> io::Result<Vec<Change>> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut changes = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::AGAIN) => return Ok(changes),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(what) = what(event.events()) {
                let name = event
                    .file_name()
                    .map(|name| OsString::from_vec(name.to_bytes().into()));
                changes.push(Change {
                    watch: event.wd(),
                    what,
                    name,
                });
            }
        }
    }
}

fn what(flags: ReadFlags) -> Option<What> {
    let gone = ReadFlags::MOVED_FROM
        | ReadFlags::DELETE
        | ReadFlags::MOVE_SELF
        | ReadFlags::DELETE_SELF
        | ReadFlags::ATTRIB;
    if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
        Some(What::Overflow)
    } else if flags.contains(ReadFlags::MODIFY) {
        Some(What::Modified)
    } else if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
        Some(What::Appeared)
    } else if flags.intersects(gone) {
        // An open file that is unlinked reports a change of its link count (ATTRIB) at once and
        // DELETE_SELF only when the last descriptor is closed.
        Some(What::Gone)
    } else {
        None
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_and_renaming_are_told() {
        let folder = std::env::temp_dir().join(format!("berth-inotify-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log");
        std::fs::write(&path, "").unwrap();
        let watcher = Watcher::new().unwrap();
        let file = watcher.watch_file(&path).unwrap();
        let directory = watcher.watch_directory(&folder).unwrap();
        assert_eq!(watcher.changes().unwrap(), []);
        std::fs::write(&path, "x").unwrap();
        let changes = watcher.changes().unwrap();
        assert!(
            changes
                .iter()
                .all(|change| change.watch == file && change.what == What::Modified)
        );
        assert!(!changes.is_empty());
        std::fs::rename(&path, folder.join("log.1")).unwrap();
        let changes = watcher.changes().unwrap();
        assert!(
            changes
                .iter()
                .any(|change| change.watch == file && change.what == What::Gone)
        );
        assert!(changes.iter().any(|change| {
            change.watch == directory
                && change.what == What::Appeared
                && change.name.as_deref() == Some("log.1".as_ref())
        }));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
