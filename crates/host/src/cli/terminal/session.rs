//! The loop of an attached client.
//!
//! One thread, one `epoll`: the connection, standard input, signals. Input is read only while the
//! monitor has room for it, so that a guest that does not read stops the reader and nothing else.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use berth_contract::{Class, Error, Exit, Result, Signal};
use berth_monitor::client::{Connection, Incoming};
use berth_monitor::protocol::{Reply, Request};
use berth_sys::epoll::{Interest, Poller};
use berth_sys::signals::Signals;

use super::detach::{DetachKeys, Keys, Matcher};
use super::input::{Input, Read};
use super::output::{Written, write_all};
use super::raw::Raw;
use super::{End, broken, readable};

const CONNECTION: u64 = 0;
const INPUT: u64 = 1;
const SIGNALS: u64 = 2;

/// How much input is read at once.
const PIECE: usize = 64 << 10;

/// What the client does beside showing output.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub(crate) struct Wishes {
    /// It sends standard input.
    pub(crate) stdin: bool,
    /// The end of its standard input is the end of the guest's.
    pub(crate) ends_stdin: bool,
    /// The container has a terminal.
    pub(crate) tty: bool,
    /// Signals go to the guest.
    pub(crate) forwards_signals: bool,
    /// What is on the terminal was drawn for another one: the guest is made to draw again.
    pub(crate) redraws: bool,
    /// It stays until the container is removed (`--rm`).
    pub(crate) until_removed: bool,
    /// The keys that leave the container running.
    pub(crate) detach_keys: DetachKeys,
}

/// An attached client.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    signals: Signals,
    wishes: Wishes,
    matcher: Matcher,
    poller: Poller,
    input: Input,
    /// Input that was read and does not fit yet.
    pending: Vec<u8>,
    /// Whether the end of input is still to be told.
    ending: bool,
    /// How the guest ended, while the removal is awaited.
    exit: Option<Exit>,
    _raw: Raw,
}

impl Session {
    /// A client over a connection on which `Attach` has been sent.
    ///
    /// # Errors
    /// The terminal cannot be switched to raw mode, or the monitor is gone.
    pub(crate) fn new(
        mut connection: Connection,
        signals: Signals,
        wishes: Wishes,
    ) -> Result<Self> {
        let raw = Raw::enter(wishes.tty && wishes.stdin)?;
        let poller = Poller::new().map_err(broken)?;
        poller
            .add(&connection, CONNECTION, Interest::READ)
            .map_err(broken)?;
        poller
            .add(&signals, SIGNALS, Interest::READ)
            .map_err(broken)?;
        let input = Input::open(&poller, INPUT, wishes.stdin);
        if wishes.until_removed {
            unless_gone(connection.send(&Request::Wait { removed: true }, &[]))?;
        }
        let keys = if wishes.tty {
            wishes.detach_keys.clone()
        } else {
            DetachKeys::none()
        };
        Ok(Self {
            connection,
            signals,
            matcher: Matcher::new(keys),
            wishes,
            poller,
            input,
            pending: Vec::new(),
            ending: false,
            exit: None,
            _raw: raw,
        })
    }

    /// Runs until the guest has ended or the client leaves.
    ///
    /// # Errors
    /// The monitor is gone, or output cannot be written.
    pub(crate) fn run(mut self) -> Result<End> {
        if self.wishes.tty {
            self.begin()?;
        }
        // What came with the answer to the attach is read already, and no poll tells.
        if let Some(end) = self.take_output()? {
            return Ok(end);
        }
        loop {
            let may_wait = self.send_pending()?;
            let is_ready = readable(&mut self.poller, may_wait)?;
            let (signals, output, input) = (
                is_ready(SIGNALS),
                is_ready(CONNECTION),
                is_ready(INPUT) || self.input.is_ready(),
            );
            let mut end = None;
            if signals {
                end = self.take_signals()?;
            }
            if end.is_none() && output {
                end = self.take_output()?;
            }
            if end.is_none() && input && self.has_room() {
                end = self.take_input()?;
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.pending.is_empty() && self.connection.stdin_room() > 0
    }

    /// Sends what input is pending and watches for more; whether the loop may wait for events.
    fn send_pending(&mut self) -> Result<bool> {
        if !self.pending.is_empty() {
            match unless_gone(self.connection.send_stdin(&self.pending))? {
                Some(count) => drop(self.pending.drain(..count)),
                None => self.pending.clear(),
            }
        }
        if self.ending && self.pending.is_empty() {
            self.ending = false;
            if self.wishes.ends_stdin {
                unless_gone(self.connection.end_stdin())?;
            }
        }
        let room = self.has_room();
        self.input.watch(&self.poller, room)
    }

    fn take_input(&mut self) -> Result<Option<End>> {
        let limit = self.connection.stdin_room().min(PIECE);
        match self.input.read(&self.poller, limit)? {
            Read::Nothing => {}
            Read::End => {
                self.pending = self.matcher.rest();
                self.ending = true;
            }
            Read::Bytes(bytes) => match self.matcher.take(&bytes) {
                Keys::Pass(bytes) => self.pending = bytes,
                Keys::Detach(bytes) => {
                    unless_gone(self.connection.send_stdin(&bytes))?;
                    return Ok(Some(End::Detached));
                }
            },
        }
        Ok(None)
    }

    fn take_signals(&mut self) -> Result<Option<End>> {
        while let Some(signal) = self.signals.next().map_err(broken)? {
            if signal == Signal::WINCH {
                if self.wishes.tty {
                    self.resize()?;
                }
            } else if self.wishes.forwards_signals && self.exit.is_none() {
                unless_gone(self.connection.send(&Request::Kill { signal }, &[]))?;
            } else {
                return Ok(Some(End::Signalled(signal)));
            }
        }
        Ok(None)
    }

    /// Gives the guest this terminal's size. Programs draw again when it changes, so one that is joined
    /// later is told another size first.
    fn begin(&mut self) -> Result<()> {
        if self.wishes.redraws
            && let Some(mut size) = super::size()
        {
            size.rows = size.rows.saturating_add(1);
            unless_gone(
                self.connection
                    .send(&Request::Resize { size, exec: None }, &[]),
            )?;
        }
        self.resize()
    }

    fn resize(&mut self) -> Result<()> {
        match super::size() {
            Some(size) => unless_gone(
                self.connection
                    .send(&Request::Resize { size, exec: None }, &[]),
            )
            .map(drop),
            None => Ok(()),
        }
    }

    fn take_output(&mut self) -> Result<Option<End>> {
        let open = self.connection.fill()?;
        while let Some(incoming) = self.connection.next()? {
            let written = match incoming {
                Incoming::Stdout(bytes) => write(io::stdout().as_fd(), "output", bytes)?,
                Incoming::Stderr(bytes) => write(io::stderr().as_fd(), "error", bytes)?,
                Incoming::Reply(Reply::Exited { exit }, _) if self.wishes.until_removed => {
                    self.exit = Some(exit);
                    Written::All
                }
                Incoming::Reply(Reply::Exited { exit }, _) => return Ok(Some(End::Exited(exit))),
                Incoming::Reply(Reply::Removed, _) => return Ok(self.exit.take().map(End::Exited)),
                // The answers to Kill and Resize; a guest that has just ended refuses them, and its
                // end is on the way.
                Incoming::Reply(..) => Written::All,
            };
            if written == Written::Closed {
                return Ok(Some(End::Closed));
            }
        }
        match self.exit.take() {
            // The monitor went away after the end: it had nothing more to say.
            Some(exit) if !open => Ok(Some(End::Exited(exit))),
            exit => {
                self.exit = exit;
                if open { Ok(None) } else { Err(gone()) }
            }
        }
    }
}

fn write(file: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> Result<Written> {
    write_all(file, bytes).map_err(|error| {
        Error::new(
            Class::Unavailable,
            format!("cannot write to standard {name}"),
        )
        .caused_by(error)
    })
}

/// What was sent; `None` when the monitor ended before: why is still to be read from the connection.
fn unless_gone<T>(sent: Result<T>) -> Result<Option<T>> {
    match sent {
        Err(error) if error.class() == Class::Unavailable => Ok(None),
        sent => sent.map(Some),
    }
}

fn gone() -> Error {
    Error::new(Class::Unavailable, "the container's monitor is gone")
        .hint("berth ps -a shows what became of the container")
}
