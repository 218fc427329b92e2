//! A blob on its way through: one download, whose bytes go to the store and to all who asked for them.
//!
//! ```text
//!  registry ─► file in ingest/ ─► last byte: verified, committed
//!                  └─► followers, at their own speed; none has the last byte before it is verified
//! ```
//!
//! A follower that is promised a length and gets less knows that something went wrong, which is why the last
//! byte waits: nobody takes a damaged blob for whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::reply::{Code, Refusal};
use crate::progress::{Event, Progress};

/// Read at once.
const CHUNK: u64 = 128 << 10;

/// A download and how far it is.
#[derive(Debug)]
pub(super) struct Passing {
    /// Bytes of the whole blob.
    pub(super) size: u64,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    written: u64,
    end: Option<Result<(), (Code, String)>>,
    waiting: Vec<Waker>,
}

impl Passing {
    /// A download of so many bytes into this file.
    pub(super) fn new(size: u64, path: PathBuf) -> Self {
        Self {
            size,
            path,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole after every change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that it is whole and verified, or why it never will be.
    pub(super) fn end(&self, how: Result<(), Refusal>) {
        let mut state = self.state();
        state.end = Some(how.map_err(|refusal| (refusal.code, refusal.message)));
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits for the first byte, so that a registry that has none can still be told as such.
    pub(super) async fn begun(&self) -> Result<(), Refusal> {
        std::future::poll_fn(|context| {
            let mut state = self.state();
            match &state.end {
                Some(Err((code, message))) => {
                    return Poll::Ready(Err(Refusal::new(*code, message.clone())));
                }
                Some(Ok(())) => return Poll::Ready(Ok(())),
                None if state.written > 0 => return Poll::Ready(Ok(())),
                None => {}
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Its file; that it is renamed later does not matter to who has it open.
    pub(super) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// How many bytes from the beginning may be handed out.
    fn poll_available(&self, beyond: u64, context: &Context<'_>) -> Poll<io::Result<u64>> {
        let mut state = self.state();
        let available = match &state.end {
            Some(Ok(())) => self.size,
            Some(Err((_, message))) => return Poll::Ready(Err(io::Error::other(message.clone()))),
            None => state.written.min(self.size.saturating_sub(1)),
        };
        if available > beyond {
            return Poll::Ready(Ok(available));
        }
        state.waiting.push(context.waker().clone());
        Poll::Pending
    }
}

impl Progress for Passing {
    fn event(&self, event: &Event<'_>) {
        if let Event::Downloading { received, .. } = event {
            let mut state = self.state();
            state.written = *received;
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

/// A part of such a blob on its way to one client.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) passing: Arc<Passing>,
    pub(super) file: File,
    pub(super) at: u64,
    pub(super) left: u64,
}

impl Follower {
    /// The next bytes; `None` after the last.
    pub(super) fn poll_bytes(&mut self, context: &Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let available = match self.passing.poll_available(self.at, context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(available)) => available,
        };
        let length = CHUNK.min(self.left).min(available - self.at);
        let mut chunk = vec![0; usize::try_from(length).unwrap_or(0)];
        Poll::Ready(Some(self.file.read_exact_at(&mut chunk, self.at).map(
            |()| {
                self.at += length;
                self.left -= length;
                chunk.into()
            },
        )))
    }
}
