//! Waiting for more of a log: inotify on its directory and on the run directory.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use berth_sys::epoll::{Interest, Poller};
use berth_sys::inotify::Watcher;

use super::{numbered, open_if_there};

/// How often it is checked whether a monitor was lost, which no file tells of.
const CHECK: Duration = Duration::from_secs(1);

/// What wakes a reader up, and when waiting is over.
pub(super) struct Follow {
    watcher: Watcher,
    poller: Poller,
    is_live: Box<dyn Fn() -> bool + Send>,
    ended: bool,
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Follow")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Follow {
    /// Watches a log's directory, the log itself if it exists, and the directory that holds `run`.
    pub(super) fn new(path: &Path, run: &Path) -> io::Result<Self> {
        let watcher = Watcher::new()?;
        for directory in [path.parent(), run.parent()].into_iter().flatten() {
            ignore_missing(watcher.watch_directory(directory))?;
        }
        ignore_missing(watcher.watch_file(path))?;
        let poller = Poller::new()?;
        poller.add(&watcher, 0, Interest::READ)?;
        Ok(Self {
            watcher,
            poller,
            is_live: Box::new(|| false),
            ended: false,
        })
    }

    /// The same, which waits as long as `is_live` says so.
    pub(super) fn until(mut self, is_live: Box<dyn Fn() -> bool + Send>) -> Self {
        self.is_live = is_live;
        self
    }

    /// Waits for a change; says whether to look again. After the container's end one last look is
    /// taken, because its last words were written before its end was.
    pub(super) fn wait(&mut self, until: Option<u64>) -> io::Result<bool> {
        let past = until.is_some_and(|until| berth_sys::clock::realtime() > until);
        if self.ended || past {
            return Ok(false);
        }
        if !(self.is_live)() {
            self.ended = true;
            return Ok(true);
        }
        self.poller.wait(Some(CHECK))?.for_each(drop);
        self.watcher.changes()?;
        Ok(true)
    }
}

fn ignore_missing(watched: io::Result<i32>) -> io::Result<()> {
    match watched {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The files that are newer than `current`, oldest first; empty as long as it is the newest itself.
pub(super) fn newer_than(
    current: &File,
    path: &Path,
    max_files: u32,
) -> io::Result<VecDeque<File>> {
    let own = current.metadata()?.ino();
    let mut newer = VecDeque::new();
    for number in 0..max_files.max(1) {
        let path = if number == 0 {
            path.to_owned()
        } else {
            numbered(path, number)
        };
        let Some(file) = open_if_there(&path)? else {
            continue;
        };
        if file.metadata()?.ino() == own {
            break;
        }
        newer.push_front(file);
    }
    Ok(newer)
}
