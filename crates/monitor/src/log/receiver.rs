//! Whoever receives the container's log on a socket.
//!
//! ```text
//!  entries ──► queue ──► socket          the socket never waits; epoll tells when it takes more
//!                │ full
//!                ├── mode=blocking       the guest is not read from until there is room again
//!                └── mode=non-blocking   the entry is dropped and counted
//! ```
//!
//! A receiver that has gone is connected to again with the next entry, at most once a second; what is
//! written meanwhile is dropped and counted, as in Docker.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::time::Duration;

use berth_contract::{Class, Error, Result};
use berth_sys::clock;
use berth_sys::epoll::{Interest, Poller};
use berth_sys::inet;
use berth_sys::socket::{self, Messages, Wait};

use super::{Entry, journal, syslog};
use crate::launch::{Address, LogFormat};
use crate::token::Token;

/// So much waits before the guest does.
const BLOCKING: u64 = 256 << 10;
/// How long a start waits for a receiver, and an end for what it has not taken yet (Docker's
/// `loggerCloseTimeout`).
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one that has gone is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// A receiver and what waits for it.
#[derive(Debug)]
pub(super) struct Receiver {
    address: Address,
    format: LogFormat,
    /// How many bytes may wait, and whether the guest waits for more room.
    limit: u64,
    blocking: bool,
    socket: Option<OwnedFd>,
    watched: bool,
    queue: VecDeque<Vec<u8>>,
    queued: u64,
    /// How much of the first message a stream has taken.
    taken: usize,
    retry_at: Duration,
    lost: Option<(u64, io::Error)>,
}

impl Receiver {
    /// Connects.
    pub(super) fn open(receiver: &crate::launch::Receiver) -> Result<Self> {
        let address = receiver.address.clone();
        let socket = reach(&address).map_err(|error| {
            Error::new(
                Class::Unavailable,
                format!("cannot reach the log receiver {address}"),
            )
            .caused_by(error)
        })?;
        Ok(Self {
            address,
            format: receiver.format.clone(),
            limit: receiver.buffer.unwrap_or(BLOCKING),
            blocking: receiver.buffer.is_none(),
            socket: Some(socket),
            watched: false,
            queue: VecDeque::new(),
            queued: 0,
            taken: 0,
            retry_at: Duration::ZERO,
            lost: None,
        })
    }

    /// Adds an entry.
    pub(super) fn take(&mut self, entry: &Entry<'_>) {
        let mut message = Vec::with_capacity(entry.bytes.len() + 512);
        match &self.format {
            LogFormat::Syslog(format) => syslog::append(&mut message, format, entry),
            LogFormat::Journal { fields } => journal::append(&mut message, fields, entry),
        }
        let length = message.len() as u64;
        if !self.blocking && self.queued > 0 && self.queued + length > self.limit {
            let error = io::Error::other("the receiver is slow");
            return self.lose(length, error);
        }
        self.queued += length;
        self.queue.push_back(message);
    }

    pub(super) fn is_behind(&self) -> bool {
        self.blocking && self.queued > self.limit
    }

    pub(super) fn lost(&self) -> Option<&(u64, io::Error)> {
        self.lost.as_ref()
    }

    /// Sends what the socket takes now.
    pub(super) fn flush(&mut self) {
        while let Some(message) = self.queue.front() {
            let Some(socket) = &self.socket else {
                if let Err(error) = self.reconnect() {
                    return self.lose_queue(error);
                }
                continue;
            };
            match socket::send(
                socket,
                &[IoSlice::new(&message[self.taken..])],
                &[],
                Wait::No,
            ) {
                Ok(count) if self.taken + count < message.len() => self.taken += count,
                Ok(_) => drop(self.next()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // One datagram that no socket takes.
                Err(error) if socket::is_too_long(&error) => {
                    let length = self.next();
                    self.lose(length, error);
                }
                Err(_gone) => {
                    self.socket = None;
                    self.watched = false;
                    self.taken = 0;
                }
            }
        }
    }

    /// Takes the first message off the queue.
    fn next(&mut self) -> u64 {
        let length = self.queue.pop_front().map_or(0, |sent| sent.len() as u64);
        self.queued -= length;
        self.taken = 0;
        length
    }

    fn reconnect(&mut self) -> io::Result<()> {
        let now = clock::monotonic();
        if now < self.retry_at {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.retry_at = now + PAUSE;
        self.socket = Some(connect(&self.address)?);
        Ok(())
    }

    fn lose_queue(&mut self, error: io::Error) {
        self.lose(self.queued, error);
        self.queue.clear();
        self.queued = 0;
        self.taken = 0;
    }

    fn lose(&mut self, bytes: u64, error: io::Error) {
        self.lost.get_or_insert((0, error)).0 += bytes;
    }

    /// Is told when the socket takes more, as long as there is more.
    pub(super) fn watch(&mut self, poller: &Poller) {
        let waits = !self.queue.is_empty();
        let Some(socket) = self.socket.as_ref().filter(|_| waits != self.watched) else {
            return;
        };
        let changed = if waits {
            poller.add(socket, Token::Receiver.number(), Interest::WRITE)
        } else {
            poller.remove(socket)
        };
        match changed {
            Ok(()) => self.watched = waits,
            Err(error) => self.lose_queue(error),
        }
    }

    /// Waits until everything is sent, but not for ever.
    pub(super) fn finish(&mut self) {
        let until = clock::monotonic() + PATIENCE;
        self.flush();
        while !self.queue.is_empty() {
            let left = until.saturating_sub(clock::monotonic());
            let waited = self.socket.as_ref().map(|socket| wait(socket, left));
            if !matches!(waited, Some(Ok(true))) {
                return self.lose_queue(io::ErrorKind::TimedOut.into());
            }
            self.flush();
        }
    }
}

/// Connects, and waits for the outcome.
fn reach(address: &Address) -> io::Result<OwnedFd> {
    let socket = connect(address)?;
    if !wait(&socket, PATIENCE)? {
        return Err(io::ErrorKind::TimedOut.into());
    }
    socket::outcome(&socket)?;
    Ok(socket)
}

/// Waits until a socket takes something; `false` when the time is over.
fn wait(socket: &OwnedFd, timeout: Duration) -> io::Result<bool> {
    let mut poller = Poller::new()?;
    poller.add(socket, Token::Receiver.number(), Interest::WRITE)?;
    let ready = poller.wait(Some(timeout))?.count();
    Ok(ready > 0)
}

fn connect(address: &Address) -> io::Result<OwnedFd> {
    match address {
        Address::Stream(path) => socket::connect_to(path, Messages::Stream),
        Address::Datagram(path) => socket::connect_to(path, Messages::Datagrams),
        Address::Tcp(address) => inet::start_connect(*address).map(Into::into),
        Address::Udp(address) => inet::connect_datagrams(*address).map(Into::into),
    }
}
