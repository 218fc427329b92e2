//! Reading a file while it is being downloaded.
//!
//! The download only appends, so a reader can follow at its own speed, and whatever an earlier
//! attempt left at the beginning of the file is hashed and unpacked like the rest.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use berth_sys::write_out;

/// How many bytes are written to disk together while the download goes on, so that the final sync is short.
const WRITTEN_OUT: u64 = 4 << 20;

/// A growing file.
#[derive(Debug)]
pub(crate) struct Tail {
    file: File,
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    written: u64,
    complete: bool,
    failed: bool,
}

impl Tail {
    /// A file with its first `written` bytes.
    pub(crate) fn new(file: File, written: u64, complete: bool) -> Self {
        let state = Mutex::new(State {
            written,
            complete,
            failed: false,
        });
        Self {
            file,
            state,
            grown: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is plain numbers: a panic elsewhere cannot have left it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn written(&self) -> u64 {
        self.state().written
    }

    /// Appends; only the one downloader may.
    pub(crate) fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.written();
        self.file.write_all_at(bytes, at)?;
        let written = at + bytes.len() as u64;
        let (begun, whole) = (at - at % WRITTEN_OUT, written - written % WRITTEN_OUT);
        if begun < whole {
            write_out::begin(&self.file, begun, whole - begun);
        }
        let mut state = self.state();
        state.written = written;
        self.grown.notify_all();
        Ok(state.written)
    }

    /// Says that no more will come.
    pub(crate) fn end(&self, complete: bool) {
        let mut state = self.state();
        state.complete = complete;
        state.failed = !complete;
        self.grown.notify_all();
    }

    /// A reader from the beginning; it waits for what is not there yet.
    pub(crate) fn reader(&self) -> TailReader<'_> {
        TailReader {
            tail: self,
            position: 0,
        }
    }
}

/// Follows a growing file.
#[derive(Debug)]
pub(crate) struct TailReader<'a> {
    tail: &'a Tail,
    position: u64,
}

impl Read for TailReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.tail.state();
        while state.written <= self.position && !state.complete && !state.failed {
            state = self
                .tail
                .grown
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed {
            // The download's own error says why.
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the download broke off",
            ));
        }
        let available = state.written - self.position;
        drop(state);
        let length = buffer
            .len()
            .min(usize::try_from(available).unwrap_or(usize::MAX));
        let read = self
            .tail
            .file
            .read_at(&mut buffer[..length], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}
