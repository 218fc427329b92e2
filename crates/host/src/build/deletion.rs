//! What commands leave behind is deleted while the next ones go on.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use berth_contract::Result;

use super::builder::lock;
use crate::records::delete;

/// A thread that deletes one directory after the other; there is none before the first.
#[derive(Debug, Default)]
pub(super) struct Deletion(Mutex<Option<Deleter>>);

#[derive(Debug)]
struct Deleter {
    directories: Sender<PathBuf>,
    thread: JoinHandle<Result<()>>,
}

impl Deletion {
    /// Has a directory deleted that nobody finds any more. Should this process be killed, it stays in the trash, which
    /// others empty.
    pub(super) fn begin(&self, directory: PathBuf) {
        let mut deleter = lock(&self.0);
        let deleter = deleter.get_or_insert_with(|| {
            let (directories, received) = channel::<PathBuf>();
            let thread = std::thread::spawn(move || {
                let all = received.iter().map(|directory| delete(&directory));
                // Every one is tried, and the first failure told.
                all.fold(Ok(()), Result::and)
            });
            Deleter {
                directories,
                thread,
            }
        });
        // It goes on as long as this has its end.
        drop(deleter.directories.send(directory));
    }

    /// Waits until everything is gone.
    ///
    /// # Errors
    /// Something of it cannot be deleted.
    pub(super) fn finish(&self) -> Result<()> {
        let Some(deleter) = lock(&self.0).take() else {
            return Ok(());
        };
        drop(deleter.directories);
        deleter.thread.join().unwrap_or(Ok(()))
    }
}
