//! The loop of a client that runs a second process.
//!
//! The process has pipes, or a pty, of its own, whose other ends are here: the monitor only tells how it
//! ended. The caller's own files are never handed in, because a guest could do more with a terminal or a
//! file of the host than read and write it.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use berth_contract::{Class, Error, Exit, Result, Signal};
use berth_monitor::client::{Connection, Incoming};
use berth_monitor::protocol::Reply;
use berth_sys::epoll::{Interest, Poller};
use berth_sys::signals::Signals;
use berth_sys::{pipe, terminal};

use super::detach::{DetachKeys, Keys, Matcher};
use super::input::{Input, Read};
use super::output::{Written, is_gone, write_all};
use super::raw::Raw;
use super::{End, broken, readable};

const CONNECTION: u64 = 0;
const INPUT: u64 = 1;
const SIGNALS: u64 = 2;
const SINK: u64 = 3;
const STDOUT: u64 = 4;
const STDERR: u64 = 5;

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// This side's ends of a process's streams.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    /// Where its standard input is written.
    pub(crate) stdin: Option<OwnedFd>,
    /// Where its standard output is read, or that of its terminal.
    pub(crate) stdout: Option<OwnedFd>,
    /// Where its standard error is read.
    pub(crate) stderr: Option<OwnedFd>,
    /// Whether they are one pty's master.
    pub(crate) tty: bool,
}

impl Pipes {
    /// Makes pipes, and gives the guest's ends; without `stdin` the guest reads `/dev/null`.
    ///
    /// # Errors
    /// The process has no file left.
    pub(crate) fn make(stdin: bool) -> Result<(Self, [OwnedFd; 3])> {
        let (output, its_output) = pipe::pair().map_err(broken)?;
        let (error, its_error) = pipe::pair().map_err(broken)?;
        let (its_input, input) = if stdin {
            let (reader, writer) = pipe::pair().map_err(broken)?;
            (reader, Some(writer))
        } else {
            (pipe::null().map_err(broken)?, None)
        };
        let pipes = Self {
            stdin: input,
            stdout: Some(output),
            stderr: Some(error),
            tty: false,
        };
        Ok((pipes, [its_input, its_output, its_error]))
    }

    /// A pty's master.
    ///
    /// # Errors
    /// The process has no file left.
    pub(crate) fn of_terminal(master: OwnedFd, stdin: bool) -> Result<Self> {
        let stdin = stdin
            .then(|| pipe::duplicate(&master))
            .transpose()
            .map_err(broken)?;
        Ok(Self {
            stdin,
            stdout: Some(master),
            stderr: None,
            tty: true,
        })
    }
}

/// A client that runs a second process.
#[derive(Debug)]
pub(crate) struct ExecSession {
    connection: Connection,
    signals: Signals,
    pipes: Pipes,
    matcher: Matcher,
    poller: Poller,
    input: Input,
    /// Input that was read and does not fit yet.
    pending: Vec<u8>,
    /// Whether the sink is watched because input is pending.
    waits_for_sink: bool,
    ended: bool,
    buffer: Vec<u8>,
    _raw: Raw,
}

impl ExecSession {
    /// A client over the connection on which the process was asked for.
    ///
    /// # Errors
    /// The terminal cannot be switched to raw mode.
    pub(crate) fn new(
        connection: Connection,
        signals: Signals,
        pipes: Pipes,
        keys: DetachKeys,
    ) -> Result<Self> {
        let raw = Raw::enter(pipes.tty && pipes.stdin.is_some())?;
        let poller = Poller::new().map_err(broken)?;
        poller
            .add(&connection, CONNECTION, Interest::READ)
            .map_err(broken)?;
        poller
            .add(&signals, SIGNALS, Interest::READ)
            .map_err(broken)?;
        for (file, token) in [(&pipes.stdout, STDOUT), (&pipes.stderr, STDERR)] {
            if let Some(file) = file {
                pipe::set_nonblocking(file).map_err(broken)?;
                poller.add(file, token, Interest::READ).map_err(broken)?;
            }
        }
        if let Some(sink) = &pipes.stdin {
            pipe::set_nonblocking(sink).map_err(broken)?;
        }
        let input = Input::open(&poller, INPUT, pipes.stdin.is_some());
        let keys = if pipes.tty { keys } else { DetachKeys::none() };
        Ok(Self {
            connection,
            signals,
            pipes,
            matcher: Matcher::new(keys),
            poller,
            input,
            pending: Vec::new(),
            waits_for_sink: false,
            ended: false,
            buffer: vec![0; PIECE],
            _raw: raw,
        })
    }

    /// Runs until the process has ended or the client leaves.
    ///
    /// # Errors
    /// The monitor is gone, or output cannot be written.
    pub(crate) fn run(mut self) -> Result<End> {
        self.resize();
        // The session may have ended with the answer that began it: that is read already, and no poll tells.
        if let Some(exit) = self.take_replies()? {
            return self.drain().map(|_| End::Exited(exit));
        }
        loop {
            let may_wait = self.send_pending()?;
            let is_ready = readable(&mut self.poller, may_wait)?;
            if is_ready(SIGNALS)
                && let Some(signal) = self.take_signals()?
            {
                return Ok(End::Signalled(signal));
            }
            // Output before the end: what was written before it must not be lost.
            let reads = [STDOUT, STDERR]
                .into_iter()
                .filter(|token| is_ready(*token));
            for token in reads {
                if self.copy_output(token)? == Written::Closed {
                    return Ok(End::Closed);
                }
            }
            let input = is_ready(INPUT) || self.input.is_ready();
            if input && self.has_room() && self.take_input()? {
                return Ok(End::Detached);
            }
            if is_ready(CONNECTION)
                && let Some(exit) = self.take_replies()?
            {
                return self.drain().map(|_| End::Exited(exit));
            }
        }
    }

    fn has_room(&self) -> bool {
        self.pending.is_empty() && self.pipes.stdin.is_some()
    }

    fn send_pending(&mut self) -> Result<bool> {
        let mut full = false;
        while let Some(sink) = self
            .pipes
            .stdin
            .as_ref()
            .filter(|_| !self.pending.is_empty())
        {
            match pipe::write(sink, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    full = true;
                    break;
                }
                // The process does not read any more; that is its own affair.
                Err(_) => {
                    self.pending.clear();
                    self.close_sink()?;
                }
            }
        }
        if self.ended && self.pending.is_empty() && !self.pipes.tty {
            self.close_sink()?;
        }
        if let Some(sink) = self
            .pipes
            .stdin
            .as_ref()
            .filter(|_| full != self.waits_for_sink)
        {
            if full {
                self.poller
                    .add(sink, SINK, Interest::WRITE)
                    .map_err(broken)?;
            } else {
                self.poller.remove(sink).map_err(broken)?;
            }
            self.waits_for_sink = full;
        }
        let room = self.has_room();
        self.input.watch(&self.poller, room)
    }

    fn close_sink(&mut self) -> Result<()> {
        if let Some(sink) = self.pipes.stdin.take()
            && self.waits_for_sink
        {
            self.poller.remove(&sink).map_err(broken)?;
            self.waits_for_sink = false;
        }
        self.input.close(&self.poller)
    }

    /// Takes input; whether the detach keys were in it.
    fn take_input(&mut self) -> Result<bool> {
        match self.input.read(&self.poller, PIECE)? {
            Read::Nothing => Ok(false),
            Read::End => {
                self.pending = self.matcher.rest();
                self.ended = true;
                Ok(false)
            }
            Read::Bytes(bytes) => match self.matcher.take(&bytes) {
                Keys::Pass(bytes) => {
                    self.pending = bytes;
                    Ok(false)
                }
                Keys::Detach(bytes) => {
                    self.pending = bytes;
                    self.send_pending().map(|_| true)
                }
            },
        }
    }

    /// A signal that ends the client; the process goes on.
    fn take_signals(&mut self) -> Result<Option<Signal>> {
        while let Some(signal) = self.signals.next().map_err(broken)? {
            if signal != Signal::WINCH {
                return Ok(Some(signal));
            }
            self.resize();
        }
        Ok(None)
    }

    fn resize(&self) {
        let master = self.pipes.stdout.as_ref().filter(|_| self.pipes.tty);
        if let (Some(master), Some(size)) = (master, super::size()) {
            // A terminal that is gone has no size, and its end is on the way.
            terminal::set_size(master, size).ok();
        }
    }

    /// Copies what one of the output streams holds.
    fn copy_output(&mut self, token: u64) -> Result<Written> {
        let stream = if token == STDOUT {
            &mut self.pipes.stdout
        } else {
            &mut self.pipes.stderr
        };
        let Some(file) = stream.as_ref() else {
            return Ok(Written::All);
        };
        let count = match pipe::read(file, &mut self.buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Written::All),
            // A pty without a slave: the same as the end of a pipe.
            Err(error) if is_gone(&error) => 0,
            Err(error) => return Err(broken(error)),
        };
        if count == 0 {
            self.poller.remove(file).map_err(broken)?;
            *stream = None;
            return Ok(Written::All);
        }
        let bytes = &self.buffer[..count];
        let written = if token == STDOUT {
            write_all(io::stdout().as_fd(), bytes)
        } else {
            write_all(io::stderr().as_fd(), bytes)
        };
        written.map_err(|error| {
            Error::new(Class::Unavailable, "cannot write the output of the process")
                .caused_by(error)
        })
    }

    /// Copies what is left after the process has ended. A child of it may still hold the streams, so
    /// their end is not waited for.
    fn drain(&mut self) -> Result<Written> {
        self.poller = Poller::new().map_err(broken)?;
        for (file, token) in [(&self.pipes.stdout, STDOUT), (&self.pipes.stderr, STDERR)] {
            if let Some(file) = file {
                self.poller
                    .add(file, token, Interest::READ)
                    .map_err(broken)?;
            }
        }
        loop {
            let ready: Vec<u64> = self
                .poller
                .wait(Some(Duration::ZERO))
                .map_err(broken)?
                .map(|event| event.token)
                .collect();
            if ready.is_empty() {
                return Ok(Written::All);
            }
            for token in ready {
                if self.copy_output(token)? == Written::Closed {
                    return Ok(Written::Closed);
                }
            }
        }
    }

    fn take_replies(&mut self) -> Result<Option<Exit>> {
        let open = self.connection.fill()?;
        while let Some(incoming) = self.connection.next()? {
            match incoming {
                Incoming::Reply(Reply::Exited { exit }, _) => return Ok(Some(exit)),
                Incoming::Reply(Reply::Failed { report }, _) => return Err(report.into()),
                _ => {}
            }
        }
        if open {
            return Ok(None);
        }
        Err(
            Error::new(Class::Unavailable, "the container's monitor is gone")
                .hint("berth ps -a shows what became of the container"),
        )
    }
}
