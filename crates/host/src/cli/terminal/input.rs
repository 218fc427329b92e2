//! Standard input as one source of an event loop.
//!
//! Terminals, pipes and sockets are watched by `epoll`, and only while there is room for what they hold.
//! Regular files and `/dev/null`, which `epoll` refuses, are always readable.

use std::io;

use berth_contract::{Class, Error, Result};
use berth_sys::epoll::{Interest, Poller};
use berth_sys::pipe;

use super::broken;
use super::output::is_gone;

/// Standard input and how it is waited for.
#[derive(Debug)]
pub(super) struct Input {
    token: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// By `epoll`.
    Watched,
    /// By `epoll`, but not now: there is no room.
    Unwatched,
    /// It is always readable.
    Ready,
    /// It has ended, or nobody wants it.
    Closed,
}

/// What reading gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing for now.
    Nothing,
    /// The end.
    End,
}

impl Input {
    /// Standard input, reported as `token`; closed from the beginning when nobody wants it.
    pub(super) fn open(poller: &Poller, token: u64, wanted: bool) -> Self {
        let state = if !wanted {
            State::Closed
        } else if poller.add(io::stdin(), token, Interest::READ).is_ok() {
            State::Watched
        } else {
            State::Ready
        };
        Self { token, state }
    }

    /// Watches exactly while there is room; whether the loop may wait for events.
    ///
    /// `epoll` is level-triggered here: input that does not fit would wake the loop without end.
    pub(super) fn watch(&mut self, poller: &Poller, room: bool) -> Result<bool> {
        match self.state {
            State::Watched if !room => {
                poller.remove(io::stdin()).map_err(broken)?;
                self.state = State::Unwatched;
            }
            State::Unwatched if room => {
                poller
                    .add(io::stdin(), self.token, Interest::READ)
                    .map_err(broken)?;
                self.state = State::Watched;
            }
            State::Ready => return Ok(!room),
            _ => {}
        }
        Ok(true)
    }

    /// Whether it is readable whatever `epoll` says.
    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Reads at most `limit` bytes; after the end it is closed.
    pub(super) fn read(&mut self, poller: &Poller, limit: usize) -> Result<Read> {
        let mut buffer = vec![0; limit];
        let count = match pipe::read(io::stdin(), &mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Read::Nothing),
            Err(error) if is_gone(&error) => 0,
            Err(error) => {
                let error =
                    Error::new(Class::Internal, "cannot read standard input").caused_by(error);
                return Err(error);
            }
        };
        if count > 0 {
            buffer.truncate(count);
            return Ok(Read::Bytes(buffer));
        }
        self.close(poller)?;
        Ok(Read::End)
    }

    /// Reads no more.
    pub(super) fn close(&mut self, poller: &Poller) -> Result<()> {
        if self.state == State::Watched {
            poller.remove(io::stdin()).map_err(broken)?;
        }
        self.state = State::Closed;
        Ok(())
    }
}
